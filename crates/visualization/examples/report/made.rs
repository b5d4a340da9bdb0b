//! What a model would give, made up: pictures, tokens, and rows with a peak where a word belongs.

use chest::chest;
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::ndarray::{Array1, Array2};
use relevancy_visualization::report::{
    Attribution, Evidence, EvidenceTable, Fact, Grid, Method, Picture, Region, Report, Target,
    Token, TokenKind, Tone,
};
use relevancy_visualization::{Orientation, Placement};
use removals::removals;

#[path = "../gallery/chest.rs"]
mod chest;
#[path = "../gallery/removals.rs"]
mod removals;

/// Cells of a side of a grid.
pub(crate) const SIDE: usize = 16;
/// Parts of a side of a cell, for the method with finer maps.
pub(crate) const PARTS: usize = 4;
const LAYERS: usize = 6;

/// Owns what a [`Report`] borrows.
pub(crate) struct Made {
    pub question: String,
    pub answer: String,
    pub pictures: Vec<RgbImage>,
    pub tokens: Vec<Token>,
    pub grids: Vec<Grid>,
    /// Byte range of each explained word.
    pub spans: Vec<std::ops::Range<usize>>,
    /// For each word: result and layers of the first method, then the result of the second.
    pub rows: Vec<Vec<Array1<f32>>>,
    /// For each word and each grid the finer map of the third.
    pub parts: Vec<Vec<Array2<f32>>>,
}

impl Made {
    /// Every word of the answer is one token and is explained.
    pub(crate) fn new(question: &str, answer: &str, n_pictures: usize) -> Self {
        let sizes = [(760, 896), (640, 512), (512, 512)];
        let pictures: Vec<_> = (0..n_pictures)
            .map(|i| chest(sizes[i % 3].0, sizes[i % 3].1, if i == 0 { 0.3 } else { 0.0 }))
            .collect();
        let mut tokens =
            vec![token("<bos>", TokenKind::Template), token("user\n", TokenKind::Template)];
        let mut grids = Vec::new();
        for (picture, image) in pictures.iter().enumerate() {
            let start = tokens.len();
            grids.push(Grid {
                picture,
                start,
                rows: SIDE,
                columns: SIDE,
                placement: padded(image),
            });
            tokens.extend((0..SIDE * SIDE).map(|_| token("", TokenKind::Image)));
        }
        tokens.extend(question.split_inclusive(' ').map(|word| token(word, TokenKind::Prompt)));
        tokens.push(token("\nmodel\n", TokenKind::Template));
        let first = tokens.len();
        tokens.extend(answer.split_inclusive(' ').map(|word| token(word, TokenKind::Answer)));
        let spans = spans(answer);
        let mut made = Self {
            question: question.to_owned(),
            answer: answer.to_owned(),
            pictures,
            tokens,
            grids,
            spans,
            rows: Vec::new(),
            parts: Vec::new(),
        };
        made.rows = (0..made.spans.len()).map(|word| made.rows_of(word, first + word)).collect();
        made.parts = made.rows.iter().map(|rows| made.finer(&rows[0])).collect();
        made
    }

    /// The report on it.
    pub(crate) fn report(&self) -> Report<'_> {
        let first = self.tokens.len() - self.spans.len();
        let layers = (1..=LAYERS).map(|layer| format!("layer {layer} to {LAYERS}")).collect();
        Report {
            question: self.question.clone(),
            answer: self.answer.clone(),
            tokens: self.tokens.clone(),
            pictures: self.pictures.iter().enumerate().map(picture).collect(),
            grids: self.grids.clone(),
            methods: vec![
                Method {
                    name: "gradient-weighted attention relevancy".to_owned(),
                    note: "Made-up numbers: no model was asked.".to_owned(),
                    layers,
                    ..Method::default()
                },
                Method::new("raw attention of the last layer"),
                Method { parts: PARTS, ..Method::new("relevancy of patches") },
            ],
            targets: (0..self.spans.len()).map(|word| self.target(word, first + word)).collect(),
            regions: self.regions(),
            settings: vec![Fact::new("Engine", "none"), Fact::new("Update", "additive")],
            provenance: vec![Fact::new("Checkpoint", "none: hand-made arrays")],
            notes: vec!["This is an example of the page, not an explanation.".to_owned()],
            ..Report::default()
        }
    }

    fn target(&self, word: usize, position: usize) -> Target<'_> {
        let rows = &self.rows[word];
        let relevancy = Attribution {
            layers: rows[1..=LAYERS].iter().map(|row| row.view()).collect(),
            ..Attribution::new(rows[0].view())
        };
        let patches = Attribution {
            parts: self.parts[word].iter().map(|parts| parts.view()).collect(),
            ..Attribution::new(rows[0].view())
        };
        let raw = Attribution::new(rows[LAYERS + 1].view());
        Target {
            span: Some(self.spans[word].clone()),
            self_positions: vec![position - 1],
            probability: Some(0.5 + 0.49 * (word as f32).sin()),
            facts: vec![Fact::new("Logit", format!("{:.2}", 14.0 + (word as f32).cos()))],
            attributions: vec![Ok(relevancy), Ok(raw), Ok(patches)],
            ..Target::new(&self.answer[self.spans[word].clone()], position..position + 1)
        }
    }

    fn rows_of(&self, word: usize, position: usize) -> Vec<Array1<f32>> {
        let text: String = self.answer[self.spans[word].clone()].to_lowercase();
        let seed = text.bytes().fold(7_u32, |seed, b| seed.wrapping_mul(31).wrapping_add(b.into()));
        let (centre, width, height) = match text.trim_matches(|c: char| !c.is_alphanumeric()) {
            "effusion" | "blunting" | "costophrenic" | "angle" => ((11.2, 12.0), 1.4, 0.03),
            "heart" | "cardiomegaly" | "enlarged" => ((10.0, 8.8), 2.2, 0.024),
            "right" | "clear" => ((7.5, 4.5), 2.6, 0.012),
            _ => (((seed % 13) as f32 + 1.0, (seed / 13 % 13) as f32 + 1.0), 2.4, 0.002),
        };
        let row = |sharpness: f32, blur: f32| {
            self.row(position, centre, width * blur, height * sharpness)
        };
        let mut rows = vec![row(1.0, 1.0)];
        rows.extend(
            (1..=LAYERS).map(|layer| row(0.3 + 0.7 / layer as f32, 0.8 + 0.3 * layer as f32)),
        );
        rows.push(row(0.1, 2.5));
        rows
    }

    /// Each cell of a row cut into parts that sum to it, the lower right one of them the brightest.
    fn finer(&self, row: &Array1<f32>) -> Vec<Array2<f32>> {
        let of_grid = |grid: &Grid| {
            Array2::from_shape_fn((SIDE * PARTS, SIDE * PARTS), |(r, c)| {
                let within = (r % PARTS + c % PARTS) as f32; // 0 to 6, 3 in the mean
                row[grid.start + r / PARTS * SIDE + c / PARTS] * within
                    / 3.0
                    / (PARTS * PARTS) as f32
            })
        };
        self.grids.iter().map(of_grid).collect()
    }

    fn row(&self, position: usize, (r, c): (f32, f32), width: f32, height: f32) -> Array1<f32> {
        let mut row = Array1::zeros(self.tokens.len());
        for (i, value) in row.iter_mut().take(position).enumerate() {
            *value = 0.0004 * ((i * 37 % 11) as f32) / 11.0;
        }
        row[0] = 0.05; // the first token draws attention whatever it is
        for (index, grid) in self.grids.iter().enumerate() {
            for cell in 0..SIDE * SIDE {
                let (y, x) = ((cell / SIDE) as f32, (cell % SIDE) as f32);
                let d = ((y - r).powi(2) + (x - c).powi(2)) / (2.0 * width * width);
                let noise = 0.02 * ((cell * 7 % 13) as f32) / 13.0;
                row[grid.start + cell] = height / (1.0 + 2.0 * index as f32) * ((-d).exp() + noise);
            }
        }
        row[position - 1] = 1.0;
        row
    }

    fn regions(&self) -> Vec<Region> {
        let half = SIDE / 2;
        let region = |name: &str, inside: &dyn Fn(usize, usize) -> bool| Region {
            name: name.to_owned(),
            weights: vec![
                Some(Array2::from_shape_fn((SIDE, SIDE), |(r, c)| f32::from(u8::from(
                    inside(r, c)
                ))));
                self.grids.len()
            ],
        };
        vec![
            region("right upper (picture left)", &|r, c| r < half && c < half),
            region("left upper (picture right)", &|r, c| r < half && c >= half),
            region("right lower (picture left)", &|r, c| r >= half && c < half),
            region("left lower (picture right)", &|r, c| r >= half && c >= half),
        ]
    }
}

/// What taking cells away might say of a map.
pub(crate) fn evidence() -> Evidence {
    let text = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    Evidence {
        badge: "faithful by 2 of 4".to_owned(),
        tone: Tone::Good,
        text: vec![
            "Cells of the picture were taken away, the most relevant first and the least relevant first. Where the map is right about what the word rests on, the first curve falls early and the second late."
                .to_owned(),
            "This says that the map names cells that the model uses. It does not say that the word is true.".to_owned(),
        ],
        charts: removals(),
        table: Some(EvidenceTable {
            head: text(["Map", "knock-out", "grey", "blur"]),
            rows: vec![
                text(["gradient-weighted attention relevancy", "0.62", "0.48", "0.11"]),
                text(["raw attention of the last layer", "0.31", "0.27", "0.09"]),
            ],
        }),
    }
}

fn token(text: &str, kind: TokenKind) -> Token {
    Token { text: text.to_owned(), kind }
}

fn picture((index, image): (usize, &RgbImage)) -> Picture<'_> {
    Picture {
        name: format!("radiograph-{}.png", index + 1),
        image,
        outlines: Vec::new(),
        orientation: Orientation::None,
    }
}

/// The words of a text without the space behind them.
fn spans(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    let span = |piece: &str| {
        let span = start..start + piece.trim_end_matches(' ').len();
        start += piece.len();
        span
    };
    text.split_inclusive(' ').map(span).collect()
}

/// The model saw the picture padded to a square.
fn padded(image: &RgbImage) -> Placement {
    let (w, h) = (f64::from(image.width()), f64::from(image.height()));
    let (x, y) = ((w.max(h) - w) / 2.0, (w.max(h) - h) / 2.0);
    Placement { x0: -x, y0: -y, x1: w + x, y1: h + y }
}
