//! A model that answers a fixed text, for tests and for looking at the page. What it says of a picture means nothing.

use std::{
    collections::BTreeMap,
    io::Cursor,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use explanation_jobs::{
    AnswerText, AnswerToken, ImageMap, Options, Problem, ProblemKind, Row, RowKind, Run, Target,
};
use explanation_server::{
    Answered, Asked, Content, Explained, Model, ModelCard, Picture, ShownPicture, Step, Watch,
};
use image::{DynamicImage, GrayImage, ImageFormat, Luma};

/// What it answers where no answer is given.
pub const ANSWER: &str =
    "There is an opacity in the left lower lung. The heart is not enlarged. No effusion.";

/// Rows and columns of its maps.
const SIDE: usize = 16;

/// A model that answers a fixed text. Words of the prompt say what goes wrong: `PANIC`, `MEMORY`; so does the target `PANIC`.
#[derive(Clone)]
pub struct Fake {
    /// How long a token takes.
    pub token: Duration,
    /// How long a row takes.
    pub row: Duration,
    /// What a kept answer is said to take.
    pub kept_bytes: u64,
    /// What all work waits for.
    pub gate: Gate,
    /// Whether it takes only what can be decoded as a picture.
    pub strict: bool,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            token: Duration::ZERO,
            row: Duration::ZERO,
            kept_bytes: 1 << 20,
            gate: Gate::open(),
            strict: true,
        }
    }
}

/// Holds the model up until it is opened.
#[derive(Clone)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open() -> Self {
        Self(Arc::new((Mutex::new(true), Condvar::new())))
    }

    pub fn set(&self, open: bool) {
        *self.0.0.lock().unwrap() = open;
        self.0.1.notify_all();
    }

    fn pass(&self, watch: &Watch) -> Result<(), Problem> {
        let mut open = self.0.0.lock().unwrap();
        loop {
            if watch.is_cancelled() {
                return Err(Problem::new(ProblemKind::Cancelled, "cancelled"));
            }
            if *open {
                return Ok(());
            }
            open = self.0.1.wait_timeout(open, Duration::from_millis(5)).unwrap().0;
        }
    }
}

pub struct Question {
    prompt: String,
    pictures: Vec<ShownPicture>,
}

pub struct Kept {
    text: AnswerText,
    sha256: Vec<String>,
}

impl Model for Fake {
    type Question = Question;
    type Kept = Kept;

    fn card(&self) -> ModelCard {
        ModelCard {
            name: "fake".to_owned(),
            program: concat!("fake ", env!("CARGO_PKG_VERSION")).to_owned(),
            device: "cpu".to_owned(),
            dtype: "none".to_owned(),
            parameters: 0,
            layers: 0,
            sees_pictures: true,
            phantoms: true,
            image_tokens: SIDE * SIDE,
            grid: [SIDE, SIDE],
            memory_budget_bytes: None,
            pixels: 100_000_000,
            weights_sha256: Vec::new(),
        }
    }

    fn check(&self, options: &Options, _: &[Target]) -> Result<(), Problem> {
        match &options.contrast {
            Some(word) if word.trim().is_empty() => {
                Err(Problem::new(ProblemKind::Option, "options.contrast is blank"))
            }
            _ => Ok(()),
        }
    }

    fn read(&self, asked: Asked, _: &Options) -> Result<Question, Problem> {
        let (pictures, prompt) = match asked {
            Asked::Prompt { images, prompt } => {
                let pictures =
                    images.iter().enumerate().map(|(index, image)| self.decode(index, image));
                (pictures.collect::<Result<_, _>>()?, prompt)
            }
            Asked::Phantom { seed, prompt } => {
                (vec![shown(&drawn(seed), Some(format!("phantom {seed}")))?], prompt)
            }
            Asked::Messages(messages) => {
                let parts: Vec<_> =
                    messages.into_iter().flat_map(|message| message.content).collect();
                let images = parts.iter().filter_map(|part| match part {
                    Content::Image(image) => Some(image),
                    Content::Text(_) => None,
                });
                let pictures = images.enumerate().map(|(index, image)| self.decode(index, image));
                let texts = parts.iter().filter_map(|part| match part {
                    Content::Text(text) => Some(text.as_str()),
                    Content::Image(_) => None,
                });
                (pictures.collect::<Result<_, _>>()?, texts.collect::<Vec<_>>().join("\n"))
            }
        };
        if prompt.contains("MEMORY") {
            return Err(Problem::new(ProblemKind::Memory, "this needs 1 TB; 0 GB are free"));
        }
        assert!(!prompt.contains("PANIC IN READ"), "while reading {prompt}");
        Ok(Question { prompt, pictures })
    }

    fn pictures(&self, question: &Question) -> Result<Vec<ShownPicture>, Problem> {
        Ok(question.pictures.clone())
    }

    fn answer(
        &self,
        question: Question,
        options: &Options,
        watch: &Watch,
    ) -> Result<Answered<Kept>, Problem> {
        watch.progress(Step::Looking, 0, Some(question.pictures.len() as u64));
        self.gate.pass(watch)?;
        assert!(!question.prompt.contains("PANIC"), "while answering {}", question.prompt);
        let text = options.answer.as_deref().unwrap_or(ANSWER);
        let most = options.max_new_tokens.unwrap_or(100) as usize;
        let mut tokens = Vec::new();
        let mut start = 0;
        for piece in text.split_inclusive(' ').take(most) {
            self.gate.pass(watch)?;
            pause(self.token, watch)?;
            let position = 10 + tokens.len();
            tokens.push(AnswerToken {
                position,
                span: Some([start, start + piece.len()]),
                text: piece.to_owned(),
            });
            start += piece.len();
            watch.token(piece);
            watch.progress(Step::Answering, tokens.len() as u64, None);
        }
        let text = AnswerText {
            text: text[..start].to_owned(),
            trace: String::new(),
            stop: "end of turn".to_owned(),
            tokens,
        };
        let sha256 = question.pictures.iter().map(|picture| picture.sha256.clone()).collect();
        Ok(Answered { text: text.clone(), kept: Kept { text, sha256 } })
    }

    fn explain(
        &self,
        kept: &mut Kept,
        targets: &[Target],
        options: &Options,
        watch: &Watch,
    ) -> Result<Explained, Problem> {
        let start = Instant::now();
        let words: Vec<_> = kept.text.text.split_whitespace().map(str::to_owned).collect();
        let words = words.into_iter().filter(|word| 3 < word.len()).take(5);
        let asked: Vec<(RowKind, String)> = if targets.is_empty() {
            words.map(|word| (RowKind::Word, word)).collect()
        } else {
            targets.iter().map(|target| (RowKind::Target, named(target))).collect()
        };
        let mut rows = Vec::new();
        for (index, (kind, text)) in asked.iter().enumerate() {
            watch.progress(Step::Explaining, index as u64, Some(asked.len() as u64));
            self.gate.pass(watch)?;
            pause(self.row, watch)?;
            assert!(text != "PANIC", "while explaining {}", kept.text.text);
            let row = row(index, *kind, text, kept);
            watch.row(row.clone());
            rows.push(row);
        }
        let settings = serde_json::to_string(options).unwrap_or_default();
        let run = Run {
            program: "fake".to_owned(),
            model: "fake".to_owned(),
            model_sha256: Vec::new(),
            pictures_sha256: kept.sha256.clone(),
            settings,
            notes: vec!["made up: means nothing".to_owned()],
            seconds: start.elapsed().as_secs_f64(),
        };
        let files = BTreeMap::from([
            ("explanation.json".to_owned(), serde_json::to_vec(&rows).unwrap_or_default()),
            ("figure-1.png".to_owned(), png(&drawn(1))?),
        ]);
        let report = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Report</title><h1>A report of the fake model</h1></html>";
        Ok(Explained { rows, run, report: report.to_owned(), files })
    }

    fn kept_bytes(&self, _: &Kept) -> u64 {
        self.kept_bytes
    }
}

impl Fake {
    fn decode(&self, index: usize, picture: &Picture) -> Result<ShownPicture, Problem> {
        match image::load_from_memory(&picture.data) {
            Ok(decoded) => shown(&decoded.to_luma8(), picture.name.clone()),
            Err(_) if self.strict => {
                let message = format!("picture {}: no format that is read", index + 1);
                Err(Problem::new(ProblemKind::Picture, message))
            }
            Err(_) => shown(&drawn(picture.data.len() as u64), picture.name.clone()),
        }
    }
}

fn pause(long: Duration, watch: &Watch) -> Result<(), Problem> {
    let end = Instant::now() + long;
    while Instant::now() < end {
        if watch.is_cancelled() {
            return Err(Problem::new(ProblemKind::Cancelled, "cancelled"));
        }
        thread::sleep(Duration::from_millis(2).min(long));
    }
    Ok(())
}

/// The part of the answer that a target means, as far as the fake knows.
fn named(target: &Target) -> String {
    match target {
        Target::Keyword { keyword: text, .. }
        | Target::Substring { substring: text }
        | Target::Field { field: text } => text.clone(),
        Target::Phrase { phrase, .. } => phrase.clone(),
        _ => "opacity".to_owned(),
    }
}

fn row(index: usize, kind: RowKind, text: &str, kept: &Kept) -> Row {
    let at = kept.text.text.find(text);
    let kind = if at.is_some() { kind } else { RowKind::Missing };
    let maps = kept.sha256.iter().enumerate().map(|(picture, _)| map(picture, index)).collect();
    Row {
        index,
        kind,
        asked: format!("keyword \"{text}\""),
        text: text.to_owned(),
        positions: at.map(|_| vec![10 + index]).unwrap_or_default(),
        span: at.map(|at| [at, at + text.len()]),
        probability: at.map(|_| 0.5),
        log_ratio: None,
        image_share: at.map(|_| 0.7),
        maps: if at.is_some() { maps } else { Vec::new() },
        text_positions: vec![1, 2],
        text_relevancy: vec![0.1, 0.2],
        regions: BTreeMap::new(),
        gains: BTreeMap::new(),
        depends_on_picture: None,
        certificate: Vec::new(),
    }
}

fn map(picture: usize, index: usize) -> ImageMap {
    let centre = [5.0 + (index % 5) as f32 * 1.5, 9.0 - (index % 3) as f32 * 2.0];
    let values = (0..SIDE * SIDE).map(|cell| {
        let (x, y) = ((cell % SIDE) as f32 - centre[0], (cell / SIDE) as f32 - centre[1]);
        (-(x * x + y * y) / 6.0).exp()
    });
    ImageMap {
        picture,
        region: [0.0, 0.0, 256.0, 256.0],
        rows: SIDE,
        columns: SIDE,
        values: values.collect(),
    }
}

/// A grey picture with a bright place.
fn drawn(seed: u64) -> GrayImage {
    let centre = [80.0 + (seed % 100) as f32, 90.0 + (seed / 100 % 80) as f32];
    GrayImage::from_fn(256, 256, |x, y| {
        let (x, y) = (x as f32, y as f32);
        let spot = (-((x - centre[0]).powi(2) + (y - centre[1]).powi(2)) / 800.0).exp();
        Luma([(40.0 + 60.0 * (y / 256.0) + 120.0 * spot) as u8])
    })
}

fn shown(picture: &GrayImage, name: Option<String>) -> Result<ShownPicture, Problem> {
    use sha2::{Digest, Sha256};

    let sha256 = Sha256::digest(picture.as_raw());
    let sha256 = sha256.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    Ok(ShownPicture {
        name,
        width: picture.width(),
        height: picture.height(),
        sha256,
        png: png(picture)?,
    })
}

fn png(picture: &GrayImage) -> Result<Vec<u8>, Problem> {
    let mut png = Cursor::new(Vec::new());
    DynamicImage::from(picture.clone())
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?;
    Ok(png.into_inner())
}
