//! What a report is made of: plain structs that a caller fills.

use std::ops::Range;

use image::RgbImage;
use ndarray::{Array2, ArrayView1, ArrayView2};

use super::{Fact, Tone};
use crate::{Colormap, Orientation, Outline, Placement, RemovalChart};

/// Everything that one report shows.
///
/// Positions count tokens from 0 over prompt and answer; every row has one value per token.
#[derive(Clone, Debug, Default)]
pub struct Report<'a> {
    /// The heading. Empty: a general one.
    pub title: String,
    /// What the user asked, without template. Empty: not shown.
    pub question: String,
    /// The answer as text.
    pub answer: String,
    /// All tokens, prompt first.
    pub tokens: Vec<Token>,
    /// The pictures, in order; none for a question about text alone.
    pub pictures: Vec<Picture<'a>>,
    /// Series of slices among the pictures: the slices of a CT or MR series are one volume, and a prior and a current study are two.
    /// A picture that is in none stands alone.
    pub volumes: Vec<Volume>,
    /// Where runs of tokens lie over the pictures. Several grids may cover one picture (crops).
    pub grids: Vec<Grid>,
    /// The methods, the main one first. More than one makes the page offer a switch.
    pub methods: Vec<Method>,
    /// What was explained, in reading order; the first is shown when the page opens.
    pub targets: Vec<Target<'a>>,
    /// Named parts of the pictures for the table of regions.
    pub regions: Vec<Region>,
    /// The colour map that the page starts with.
    pub colormap: Colormap,
    /// Quantiles of the cells that the page starts with contour lines at, by the rule of [`OverlayOptions::contours`].
    ///
    /// [`OverlayOptions::contours`]: crate::OverlayOptions::contours
    pub contours: Vec<f64>,
    /// Whether the page starts with the tokens of the template among those of the text; otherwise their sum stands apart.
    pub shows_template: bool,
    /// How the answer and its explanation were made.
    pub settings: Vec<Fact>,
    /// Where all of it comes from: checkpoint, versions, hashes. A date only if the caller gives one.
    pub provenance: Vec<Fact>,
    /// What went otherwise than planned, for people.
    pub notes: Vec<String>,
}

impl Report<'_> {
    pub(super) fn title(&self) -> &str {
        if self.title.trim().is_empty() { "What the model looked at" } else { &self.title }
    }
}

/// A token of the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its text for people.
    pub text: String,
    /// What it is.
    pub kind: TokenKind,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Text of the prompt.
    Prompt,
    /// What the chat template writes around the texts, such as `<bos>` and the names of roles: it draws much relevancy and says
    /// little.
    Template,
    /// A place of a picture. Only a [`Grid`] says which.
    Image,
    /// Made by the model.
    Answer,
}

/// A picture that the model saw.
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    /// Its name for people.
    pub name: String,
    /// Its pixels. Above 1.6 million of them (less where there are several pictures) the page holds a smaller copy and says so.
    pub image: &'a RgbImage,
    /// What is drawn in outline over it, in its pixels: boxes that the model wrote, regions of a file.
    pub outlines: Vec<Outline>,
    /// Which letters stand at its sides.
    pub orientation: Orientation,
}

/// Pictures that are the slices of one series, one behind the other. The page has a slider for them, the share of each slice, and
/// projections of the map.
///
/// The numbers of a page take about 0.7 kB for each slice of 16 × 16 cells, each target, each method and each recorded layer: with many
/// slices leave layers out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// Its name for people: `current study`.
    pub name: String,
    /// The slices, in the order in which they lie behind each other; at least one. Their pictures have one size.
    pub slices: Vec<VolumeSlice>,
    /// Height and width of a pixel of the pictures, in millimetres: the distance of its rows, then of its columns. `None`: unknown, and
    /// projections are not to scale.
    pub spacing_mm: Option<[f64; 2]>,
    /// The letter of the patient's side that the first slice lies nearest to, and that of the last: `['F', 'H']` for axial slices from
    /// the feet up. `None`: unknown.
    pub ends: Option<[char; 2]>,
}

/// A slice of a [`Volume`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeSlice {
    /// Index of the picture. No other slice has it.
    pub picture: usize,
    /// Its name for people, such as `SLICE 12`: as the question names it.
    pub label: String,
    /// Where it lies along the normal of the slices, in millimetres, finite. `None`: unknown.
    pub position_mm: Option<f64>,
}

/// A run of tokens that are the cells of a picture, row by row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Index of the picture.
    pub picture: usize,
    /// Position of the first cell, the upper left one.
    pub start: usize,
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub columns: usize,
    /// The rectangle of the picture, in its own pixels, that the whole grid covers.
    pub placement: Placement,
}

impl Grid {
    /// Positions of its cells.
    pub(super) fn positions(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.rows.saturating_mul(self.columns))
    }
}

/// A way to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name for people.
    pub name: String,
    /// A sentence about it. Empty: none.
    pub note: String,
    /// The names of the recorded layers, in the order of [`Attribution::layers`]. Empty: none were recorded.
    pub layers: Vec<String>,
    /// Into how many parts each cell of a grid is cut along each side: above 1 every attribution has [`Attribution::parts`], and
    /// where one has them there are no layers.
    pub parts: usize,
    /// What its values mean where they have signs; `None`: they start at zero.
    pub signs: Option<Signs>,
}

/// What values below and above zero mean, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Such as `speaks against`.
    pub below: String,
    /// Such as `speaks for`.
    pub above: String,
}

impl Default for Method {
    fn default() -> Self {
        Self { name: String::new(), note: String::new(), layers: Vec::new(), parts: 1, signs: None }
    }
}

impl Method {
    /// A method without recorded layers whose cells are those of the grids.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A word, a phrase or the whole answer, and what explains it.
#[derive(Clone, Debug, Default)]
pub struct Target<'a> {
    /// Its text.
    pub text: String,
    /// Positions of its tokens.
    pub positions: Range<usize>,
    /// Where it stands in [`Report::answer`], in bytes. `None`, as for the whole answer, or a span that overlaps a shorter one:
    /// it stands beside the text.
    pub span: Option<Range<usize>>,
    /// Positions whose values hold a self term; they are told apart and take no part in shares and shades.
    pub self_positions: Vec<usize>,
    /// How likely the model found it, within 0 and 1.
    pub probability: Option<f32>,
    /// More about it: logit, rule, token ids.
    pub facts: Vec<Fact>,
    /// What to be careful about, for people: a word with flags is marked wherever it stands.
    pub flags: Vec<String>,
    /// One for each method, or why it has none, for people.
    pub attributions: Vec<Result<Attribution<'a>, String>>,
    /// What taking cells away says of the first method's map; `None`: nothing is shown of it.
    pub evidence: Option<Evidence>,
}

impl Target<'_> {
    /// A target without span, probability, attributions and evidence.
    pub fn new(text: impl Into<String>, positions: Range<usize>) -> Self {
        Self { text: text.into(), positions, ..Self::default() }
    }
}

/// What one method says of one target.
#[derive(Clone, Debug)]
pub struct Attribution<'a> {
    /// The result `[S]`: raw, finite, negative only where the method has [`Method::signs`]. Shares are those of absolute values.
    pub row: ArrayView1<'a, f32>,
    /// The same by layer, one `[S]` for each name in [`Method::layers`]; empty where there are none for this target.
    pub layers: Vec<ArrayView1<'a, f32>>,
    /// For each grid values that are finer than its cells, `[rows·parts, columns·parts]`, as `row` has them. They are shown in the place
    /// of the cells; shares stay those of `row`. May be empty where [`Method::parts`] is 1.
    pub parts: Vec<ArrayView2<'a, f32>>,
}

impl<'a> Attribution<'a> {
    /// A result without layers and finer parts.
    pub fn new(row: ArrayView1<'a, f32>) -> Self {
        Self { row, layers: Vec::new(), parts: Vec::new() }
    }
}

/// What taking cells away says of the main method's map of a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// A few words for the badge beside the word: `faithful by 3 of 4`.
    pub badge: String,
    /// How the badge looks.
    pub tone: Tone,
    /// What it means and what it does not, for people: paragraphs.
    pub text: Vec<String>,
    /// One for each way to take cells away.
    pub charts: Vec<RemovalChart>,
    /// How several methods compare; `None`: there is nothing to compare.
    pub table: Option<EvidenceTable>,
}

/// A table of texts; the first cell of a row names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceTable {
    /// Names of the columns.
    pub head: Vec<String>,
    /// Rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
}

/// A named part of the pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// For each grid of the report how much of each cell lies in the region, `[rows, columns]` within 0 and 1; `None` where it
    /// does not reach into the grid.
    pub weights: Vec<Option<Array2<f32>>>,
}
