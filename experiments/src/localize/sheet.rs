//! Pictures of the benchmark: the same word by several methods, and the two models side by side.

use std::path::Path;

use anyhow::{Context, Result};
use attention_relevancy::Update;
use phantom_radiograph::Mask;
use relevancy_visualization::image::{DynamicImage, RgbImage};
use relevancy_visualization::ndarray::Array2;
use relevancy_visualization::{
    Caption, GridMap, Interpolation, Outline, OverlayOptions, Panel, Placement, Region, Section,
    Shape, grid_figure,
};

use crate::localize::case::{Case, GRID, Language};
use crate::localize::methods::Maps;
use crate::localize::settings::{Goals, Method, Setting};
use crate::localize::tag::{opacity_word, tagged};
use crate::questions::Word;
use crate::reader::{Reader, Spoken};

/// Pictures of the sheet of methods.
const PICTURES: usize = 3;

/// What the columns of the sheet of methods are.
fn columns() -> [(&'static str, Setting); 9] {
    let relevancy = |update, goals| Setting { method: Method::Relevancy(update), goals };
    let plain = |method| Setting { method, goals: Goals::None };
    [
        ("default", Setting::DEFAULT),
        ("named foil", relevancy(Update::Additive, Goals::Named)),
        ("runner-up", relevancy(Update::Additive, Goals::RunnerUp)),
        ("log-probability", relevancy(Update::Additive, Goals::LogProbability)),
        ("logit (as published)", relevancy(Update::Additive, Goals::Logit)),
        ("stochastic", relevancy(Update::Stochastic, Goals::Alternatives)),
        ("raw, mean of layers", plain(Method::RawMean)),
        ("raw, last layer", plain(Method::RawLast)),
        ("rollout", plain(Method::Rollout)),
    ]
}

/// The report's words of the first pictures with two findings that the model describes rightly: a row a word, a column a method.
pub fn methods(reader: &Reader, language: &Language, seed: u64, path: &Path) -> Result<()> {
    let mut rows = Vec::new();
    let mut pictures = 0;
    for index in 0.. {
        let case = Case::unseen(language, seed, index);
        let pictures_shown = case.pictures()?;
        if pictures_shown.len() != 1 || case.regions.len() != 2 {
            continue;
        }
        let reading = reader.read(&pictures_shown, &case.exchanges[..1])?.remove(0);
        if !reader.agrees(&reading)? {
            continue;
        }
        // A report of another wording names nothing behind the colon.
        if !reading.words.iter().any(names) {
            continue;
        }
        let maps = Maps::new(reader, &case, &reading)?;
        let by_column = maps.all(&columns().map(|(_, setting)| setting), index)?;
        for (at, word) in reading.words.iter().enumerate().filter(|(_, word)| names(word)) {
            let maps = by_column.iter().map(|maps| grid(&maps[at])).collect::<Result<Vec<_>>>()?;
            rows.push(Row::new(&case, word, maps)?);
        }
        pictures += 1;
        if pictures == PICTURES {
            break;
        }
    }
    let sections: Vec<Section<'_>> = rows.iter().map(Row::section).collect();
    let caption = Caption::new("One word, its map by each method, and what it names").subtitled(
        "first three unseen phantoms with two findings and a right report; outlined: the mask",
    );
    let columns = columns().len();
    Ok(grid_figure(&sections, Some(columns), &caption, &options())?.save(path)?)
}

/// The word "opacity" of both models, on the same pictures with the tag.
pub fn models(readers: [(&str, &Reader); 2], path: &Path) -> Result<()> {
    let mut rows = Vec::new();
    for (name, reader) in readers {
        for index in 0..PICTURES as u64 {
            let case = Case::of(tagged(index));
            let (reading, at) = opacity_word(reader, &case)?;
            let map = Maps::new(reader, &case, &reading)?.of(Setting::DEFAULT, index)?;
            rows.push((name, Row::new(&case, &reading.words[at], vec![grid(&map[at])?])?));
        }
    }
    let section = |name: &str| {
        let of = rows.iter().filter(|(of, _)| *of == name);
        let title = format!("the model {name}, word \"opacity\"");
        Section::new(title, of.flat_map(|(_, row)| row.section().panels).collect())
    };
    let sections = readers.map(|(name, _)| section(name));
    let caption = Caption::new("A model that looks at the finding, and one that looks at the tag")
        .subtitled(format!("{}; outlined: the mask of the opacity", Setting::DEFAULT));
    Ok(grid_figure(&sections, Some(PICTURES), &caption, &options())?.save(path)?)
}

/// A word over its picture.
struct Row {
    title: String,
    picture: RgbImage,
    outline: Vec<Outline>,
    maps: Vec<Array2<f32>>,
}

impl Row {
    fn new(case: &Case, word: &Spoken, maps: Vec<Array2<f32>>) -> Result<Self> {
        let at = word.finding().context("the word tells of a finding")?;
        let finding = &case.scene.findings()[at];
        Ok(Self {
            title: format!("\"{}\": {}, {}", word.text, finding.kind, finding.zone),
            picture: DynamicImage::ImageLuma8(case.phantom.grey8()).into_rgb8(),
            outline: vec![outline(&case.phantom.masks()[at])],
            maps,
        })
    }

    fn section(&self) -> Section<'_> {
        let placement = Placement::whole(&self.picture);
        let mut panels = Vec::new();
        for (at, map) in self.maps.iter().enumerate() {
            let label = if self.maps.len() == 1 { "" } else { columns()[at].0 };
            let mut panel = Panel::new(&self.picture, &[]).outlined(&self.outline);
            panel.maps = vec![GridMap { grid: map.view(), placement }];
            panels.push(panel.labelled(label, ""));
        }
        Section::new(&self.title, panels)
    }
}

/// Whether a word says what a finding is, and not where.
fn names(word: &Spoken) -> bool {
    matches!(word.word, Word::Finding | Word::Device)
}

fn grid(map: &[f32]) -> Result<Array2<f32>> {
    let side = GRID as usize;
    Array2::from_shape_vec((side, side), map.to_vec()).context("a map has one value a cell")
}

fn outline(mask: &Mask) -> Outline {
    let mask = relevancy_visualization::Mask::from_fn(mask.width(), mask.height(), |x, y| {
        mask.contains(x, y)
    });
    Region { name: String::new(), shape: Shape::Mask(mask) }.outline()
}

fn options() -> OverlayOptions {
    OverlayOptions::default().with_interpolation(Interpolation::Cells)
}
