//! What a dossier is made of: plain structs that a caller fills.

use image::RgbImage;

use super::{Fact, Tone};

/// Everything that one page shows, from top to bottom.
///
/// Every text is plain text: it is escaped, and its line ends are kept. Empty texts and lists are left out.
#[derive(Clone, Debug, Default)]
pub struct Dossier<'a> {
    /// The heading. Empty: a general one.
    pub title: String,
    /// One line beneath it: the model and the data set.
    pub subtitle: String,
    /// What all findings come to, as a banner; `None`: there is none.
    pub verdict: Option<Verdict>,
    /// The few numbers that matter most, large and in a row.
    pub figures: Vec<KeyFigure>,
    /// The findings, in reading order.
    pub sections: Vec<Section<'a>>,
    /// How the findings were made; folded away.
    pub settings: Vec<Fact>,
    /// Where all of it comes from: checkpoint, data, versions, hashes; folded away. A date only if the caller gives one.
    pub provenance: Vec<Fact>,
    /// What a reader must know about the findings: limits, and what went otherwise than planned.
    pub notes: Vec<String>,
}

impl Dossier<'_> {
    pub(super) fn title(&self) -> &str {
        if self.title.trim().is_empty() { "Findings about a model" } else { &self.title }
    }
}

/// What all findings come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How the banner looks.
    pub tone: Tone,
    /// The result in one sentence.
    pub headline: String,
    /// What it rests on, one line each.
    pub reasons: Vec<String>,
}

/// One of the numbers that matter most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFigure {
    /// What it is, in a few words.
    pub label: String,
    /// The number with its unit, as it is shown: `71 %`.
    pub value: String,
    /// How sure it is: `95 % interval 64 to 78`. Empty: not shown.
    pub interval: String,
    /// What it means, in a sentence. Empty: not shown.
    pub help: String,
}

/// A part of the page with a heading.
#[derive(Clone, Debug, Default)]
pub struct Section<'a> {
    /// Its heading.
    pub title: String,
    /// What it is about, beneath the heading. Empty: nothing.
    pub text: String,
    /// What it shows, in order.
    pub blocks: Vec<Block<'a>>,
}

/// One thing that a section shows.
#[derive(Clone, Debug)]
pub enum Block<'a> {
    /// A paragraph.
    Text(String),
    /// A table. More than forty rows stand in a box of their own that scrolls.
    Table(Table),
    /// Means with their intervals, one row each on a common axis.
    Intervals(IntervalChart),
    /// Single cases with their pictures.
    Cards(Vec<Card<'a>>),
}

/// A table of texts; the first cell of a row names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What stands above it. Empty: nothing.
    pub caption: String,
    /// Its columns, at least one.
    pub columns: Vec<Column>,
    /// Its rows, each with one cell for every column.
    pub rows: Vec<Vec<String>>,
}

/// A column of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// Whether its cells are numbers: they stand to the right and do not break. Other cells are words, to the left.
    pub is_number: bool,
}

impl Column {
    /// A column of words.
    pub fn words(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_number: false }
    }

    /// A column of numbers.
    pub fn numbers(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_number: true }
    }
}

/// Means with their intervals, one row each on a common axis: a forest plot.
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalChart {
    /// What stands above it; it should say what kind of interval is drawn. Empty: nothing.
    pub caption: String,
    /// The lowest and the highest value of the axis. What lies beyond is drawn as an arrow at that end.
    pub axis: [f64; 2],
    /// What is measured, and in which unit; stands beneath the axis. Empty: nothing.
    pub unit: String,
    /// A line across all rows, such as that of no effect; `None`: there is none.
    pub reference: Option<Reference>,
    /// The rows, from the top.
    pub rows: Vec<IntervalRow>,
}

impl Default for IntervalChart {
    /// A chart from 0 to 1 without rows.
    fn default() -> Self {
        Self {
            caption: String::new(),
            axis: [0.0, 1.0],
            unit: String::new(),
            reference: None,
            rows: Vec::new(),
        }
    }
}

/// A value that all rows are compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// The value, on the axis.
    pub at: f64,
    /// What it is. Empty: the line has no name.
    pub label: String,
}

/// A row of a chart of intervals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntervalRow {
    /// What it is about: a group.
    pub name: String,
    /// What was measured; `None`: nothing could be.
    pub estimate: Option<Estimate>,
    /// How many cases it rests on.
    pub count: usize,
    /// The numbers as text. Empty: the mean with its interval, or that nothing was measured.
    pub text: String,
}

/// A mean and how sure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The lowest and the highest value of the interval around it; `None`: it has none.
    pub interval: Option<[f64; 2]>,
}

/// A single case.
#[derive(Clone, Debug, Default)]
pub struct Card<'a> {
    /// Its heading.
    pub title: String,
    /// A few words beside the heading; `None`: nothing.
    pub badge: Option<Badge>,
    /// Its pictures, side by side; they are shown small.
    pub pictures: Vec<CardPicture<'a>>,
    /// What is known about it.
    pub facts: Vec<Fact>,
    /// More of it as a table; `None`: there is none.
    pub table: Option<Table>,
}

/// A few words in a colour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Badge {
    /// How it looks.
    pub tone: Tone,
    /// The words.
    pub text: String,
}

impl Badge {
    /// A badge.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into() }
    }
}

/// A picture of a card.
#[derive(Clone, Debug)]
pub struct CardPicture<'a> {
    /// What it shows; stands beneath it.
    pub caption: String,
    /// Its pixels. The page holds a copy that is at most 520 pixels wide and high, less where there are very many pictures.
    pub image: &'a RgbImage,
}

impl<'a> CardPicture<'a> {
    /// A picture.
    pub fn new(caption: impl Into<String>, image: &'a RgbImage) -> Self {
        Self { caption: caption.into(), image }
    }
}
