//! A CT series that a model would have been shown, made up: slices of a chest with a bright nodule in a few of them.

use relevancy_visualization::image::RgbImage;
use relevancy_visualization::ndarray::Array1;
use relevancy_visualization::report::{
    Attribution, Grid, Method, Picture, Report, Target, Token, TokenKind, Volume, VolumeSlice,
};
use relevancy_visualization::{Orientation, Placement, Sides};
use thorax::{NODULE, chest_slice};

#[path = "../gallery/thorax.rs"]
mod thorax;

/// Cells of a side of a grid.
pub(crate) const SIDE: usize = 16;
/// Millimetres from slice to slice, and of a pixel.
const THICKNESS: f64 = 7.5;
const PIXEL: f64 = 1.4;

/// Owns what a [`Report`] borrows.
pub(crate) struct Series {
    pub answer: String,
    /// Slices of the current study, then of the prior one, then pictures that stand alone.
    pub pictures: Vec<RgbImage>,
    pub n_slices: [usize; 2],
    pub tokens: Vec<Token>,
    pub grids: Vec<Grid>,
    /// A row for each word of the answer.
    pub rows: Vec<Array1<f32>>,
}

impl Series {
    /// Series of so many slices of `size` pixels a side, the second may have none, and pictures beside them.
    pub(crate) fn new(answer: &str, n_slices: [usize; 2], n_alone: usize, size: u32) -> Self {
        let slices = |study: usize| {
            (0..n_slices[study]).map(move |slice| (study, middle(slice, n_slices[study])))
        };
        let places: Vec<(usize, f32)> =
            slices(0).chain(slices(1)).chain((0..n_alone).map(|_| (2, 0.5))).collect();
        let pictures: Vec<_> =
            places.iter().map(|&(study, z)| chest_slice(size, z, study == 0)).collect();
        let token = |text: &str, kind: TokenKind| Token { text: text.to_owned(), kind };
        let mut tokens = vec![token("<bos>", TokenKind::Template)];
        let mut grids = Vec::new();
        for (picture, image) in pictures.iter().enumerate() {
            tokens.push(token(&format!("SLICE {}: ", picture + 1), TokenKind::Prompt));
            let (start, placement) = (tokens.len(), Placement::whole(image));
            grids.push(Grid { picture, start, rows: SIDE, columns: SIDE, placement });
            tokens.extend((0..SIDE * SIDE).map(|_| token("", TokenKind::Image)));
        }
        tokens.push(token("Is there a nodule?", TokenKind::Prompt));
        let words: Vec<&str> = answer.split(' ').collect();
        tokens.extend(words.iter().map(|word| token(&format!("{word} "), TokenKind::Answer)));
        let first = tokens.len() - words.len();
        let row = |(index, word): (usize, &&str)| {
            let mut row = Array1::zeros(tokens.len());
            row[0] = 0.3;
            for (grid, &(study, z)) in grids.iter().zip(&places) {
                for cell in 0..SIDE * SIDE {
                    row[grid.start + cell] = relevancy(word, study, z, cell);
                }
            }
            row[first + index - 1] += 1.0;
            row
        };
        let rows = words.iter().enumerate().map(row).collect();
        Self { answer: answer.to_owned(), pictures, n_slices, tokens, grids, rows }
    }

    /// The report on it.
    pub(crate) fn report(&self) -> Report<'_> {
        let sides = Sides { left: 'R', right: 'L', top: 'A', bottom: 'P' };
        let picture = |(index, image)| Picture {
            name: format!("IM{index:04}.dcm"),
            image,
            outlines: Vec::new(),
            orientation: Orientation::Sides(sides),
        };
        let first = self.tokens.len() - self.rows.len();
        let mut start = 0;
        let target = |(word, text): (usize, &str)| {
            let span = start..start + text.len();
            start = span.end + 1;
            Target {
                span: Some(span),
                self_positions: vec![first + word - 1],
                probability: Some(0.93),
                attributions: vec![Ok(Attribution::new(self.rows[word].view()))],
                ..Target::new(text, first + word..first + word + 1)
            }
        };
        let targets = self.answer.split(' ').enumerate().map(target).collect();
        let [current, prior] = self.n_slices;
        let volumes = [("Current study", 0..current), ("Prior study", current..current + prior)];
        let volumes = volumes.into_iter().filter(|(_, slices)| !slices.is_empty());
        let volume = |(name, slices): (&str, std::ops::Range<usize>)| Volume {
            name: name.to_owned(),
            slices: slices
                .enumerate()
                .map(|(slice, picture)| VolumeSlice {
                    picture,
                    label: format!("SLICE {}", slice + 1),
                    position_mm: Some(THICKNESS * slice as f64 - 120.0),
                })
                .collect(),
            spacing_mm: Some([PIXEL, PIXEL]),
            ends: Some(['F', 'H']),
        };
        Report {
            question: "Is there a nodule?".to_owned(),
            answer: self.answer.clone(),
            tokens: self.tokens.clone(),
            pictures: self.pictures.iter().enumerate().map(picture).collect(),
            volumes: volumes.map(volume).collect(),
            grids: self.grids.clone(),
            methods: vec![Method::new("gradient-weighted attention relevancy")],
            targets,
            notes: vec!["This is an example of the page, not an explanation.".to_owned()],
            ..Report::default()
        }
    }
}

/// The middle of a slice as a part of its series.
fn middle(slice: usize, n_slices: usize) -> f32 {
    (slice as f32 + 0.5) / n_slices as f32
}

fn relevancy(word: &str, study: usize, z: f32, cell: usize) -> f32 {
    let (x, y) = ((cell % SIDE) as f32 + 0.5, (cell / SIDE) as f32 + 0.5);
    let (x, y) = (x / SIDE as f32, y / SIDE as f32);
    let peak = |at: (f32, f32, f32), width: f32| {
        let d = (z - at.0).powi(2) + (x - at.1).powi(2) + (y - at.2).powi(2);
        (-d / (2.0 * width * width)).exp()
    };
    let noise = 0.02 * ((cell * 7 + (z * 640.0) as usize) % 13) as f32 / 13.0;
    let value = match word.trim_matches(|c: char| !c.is_alphanumeric()) {
        "Nodule" | "nodule" | "lobe" => peak(NODULE, 0.06),
        "heart" => 0.4 * peak((0.35, 0.55, 0.45), 0.12),
        _ => 0.1 * peak((0.5, 0.5, 0.5), 0.4),
    };
    0.004 * (value + noise) / (1.0 + 2.0 * study as f32)
}
