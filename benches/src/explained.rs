//! A made-up explanation of a whole answer, as large as wanted: the numbers are noise, which compresses worst.

use ndarray::{Array2, ArrayView1};
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::report::{
    Attribution, Grid, Method, Picture, Report, Target, Token, TokenKind,
};
use relevancy_visualization::{Orientation, Placement};

/// Cells of a side, as Gemma3 has.
const SIDE: usize = 16;

/// Owns what a [`Report`] borrows: an answer to a question about one picture, every word of it one token and explained.
pub struct Explained {
    picture: RgbImage,
    answer: String,
    tokens: Vec<Token>,
    /// For each word and method: the result, then the layers, `[1 + layers, S]`.
    rows: Vec<Vec<Array2<f32>>>,
}

impl Explained {
    /// An answer of so many words, explained in so many ways, each with so many recorded layers.
    pub fn new(n_words: usize, n_layers: usize, n_methods: usize, picture: RgbImage) -> Self {
        let words: Vec<_> = (0..n_words).map(|word| format!("word{word} ")).collect();
        let token = |text: &str, kind| Token { text: text.to_owned(), kind };
        let mut tokens = vec![token("<bos>", TokenKind::Prompt)];
        tokens.extend((0..SIDE * SIDE).map(|_| token("", TokenKind::Image)));
        tokens.extend(words.iter().map(|word| token(word, TokenKind::Answer)));
        let shape = (1 + n_layers, tokens.len());
        let values = |seed| {
            let mut random = Random(seed);
            Array2::from_shape_simple_fn(shape, || (random.next() >> 8) as f32 / (1 << 24) as f32)
        };
        let rows = (0..n_words)
            .map(|word| (0..n_methods).map(|method| values(word * n_methods + method)).collect())
            .collect();
        Self { picture, answer: words.concat(), tokens, rows }
    }

    /// The report on it.
    pub fn report(&self) -> Report<'_> {
        let first = self.tokens.len() - self.rows.len();
        let n_methods = self.rows.first().map_or(0, Vec::len);
        let n_layers = self.rows.first().and_then(|word| word.first()).map_or(0, |r| r.nrows() - 1);
        let layers: Vec<_> = (0..n_layers).map(|layer| format!("layer {layer}")).collect();
        let mut start = 0;
        let mut target = |word: usize| {
            let text = self.tokens[first + word].text.trim_end();
            let span = start..start + text.len();
            start += text.len() + 1;
            Target {
                span: Some(span),
                attributions: self.rows[word].iter().map(attribution).map(Ok).collect(),
                ..Target::new(text, first + word..first + word + 1)
            }
        };
        Report {
            answer: self.answer.clone(),
            tokens: self.tokens.clone(),
            pictures: vec![Picture {
                name: "picture.png".to_owned(),
                image: &self.picture,
                outlines: Vec::new(),
                orientation: Orientation::None,
            }],
            grids: vec![Grid {
                picture: 0,
                start: 1,
                rows: SIDE,
                columns: SIDE,
                placement: Placement::whole(&self.picture),
            }],
            methods: (0..n_methods)
                .map(|i| Method { layers: layers.clone(), ..Method::new(format!("method {i}")) })
                .collect(),
            targets: (0..self.rows.len()).map(&mut target).collect(),
            ..Report::default()
        }
    }
}

/// A picture of grey noise, of this width and height.
pub fn noise(width: u32, height: u32) -> RgbImage {
    let mut random = Random(7);
    RgbImage::from_fn(width, height, |_, _| [random.next() as u8; 3].into())
}

fn attribution(rows: &Array2<f32>) -> Attribution<'_> {
    let row = |index: usize| -> ArrayView1<'_, f32> { rows.row(index) };
    Attribution { layers: (1..rows.nrows()).map(row).collect(), ..Attribution::new(row(0)) }
}

/// PCG's mixing of a counter: noise that is the same everywhere.
struct Random(usize);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        let state = (self.0 as u32).wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
        (word >> 22) ^ word
    }
}
