//! What every blank adds to the words of answers about unseen phantoms, picture by picture.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use medgemma_explainer::{Answer, Blank, Explainer, Gain, LoadOptions, ModelSource, Picture};
use phantom_radiograph::Scene;
use serde::{Deserialize, Serialize};

use crate::examples::picture;
use crate::questions::Question;
use crate::recipe::Variant;
use crate::reliance::spans::{Class, Span, spans};
use crate::scenes::{Purpose, scene};
use crate::threads::share;

/// Side of the pictures: what the vision tower takes.
pub const SIZE: u32 = 224;
/// Findings are compared with their twins in one picture out of so many.
const WITH_TWINS: u64 = 5;

/// Whose words are rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The sound checkpoint.
    Sound,
    /// The one that learnt the shortcut, on scenes in which the tag stands for the opacity.
    Shortcut,
    /// The sound one made blind ([`super::text_only`]).
    Blind,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sound, Self::Shortcut, Self::Blind];

    /// The name in progress and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Shortcut => "shortcut",
            Self::Blind => "blind",
        }
    }
}

/// What is measured, and where it is kept.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Numbers of the unseen phantoms.
    pub pictures: Range<u64>,
    /// The seed of the training run, which decides what is unseen.
    pub seed: u64,
    /// A line of JSON for each picture that is done: a run that was stopped goes on from there.
    pub file: PathBuf,
}

/// All that was found for one picture by one checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rated {
    /// Whose answers.
    pub subject: Subject,
    /// The number of the phantom.
    pub picture: u64,
    /// The words of its answers.
    pub items: Vec<Item>,
}

/// A word or phrase of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Item {
    /// What is known of it.
    pub class: Class,
    /// Its text.
    pub text: String,
    /// Whether the checkpoint would say it itself, after the words before it: each of its tokens has a probability above one half.
    pub said: bool,
    /// What the picture adds to its log-probability, in nats, by the name of the blank.
    pub gains: BTreeMap<String, f32>,
    /// What it adds over the same picture without the finding; of some pictures.
    pub twin: Option<f32>,
}

/// Rates what is not yet in the file of the plan; gives what is in it then of the pictures of the plan.
pub fn measure(subject: Subject, folder: &Path, plan: &Plan) -> Result<Vec<Rated>> {
    let mut rated = read(subject, plan)?;
    let missing: Vec<u64> = plan
        .pictures
        .clone()
        .filter(|picture| !rated.iter().any(|rated| rated.picture == *picture))
        .collect();
    if missing.is_empty() {
        return Ok(rated);
    }
    if let Some(parent) = plan.file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&plan.file);
    let file = Mutex::new(file.with_context(|| format!("{}", plan.file.display()))?);
    let (done, started) = (AtomicUsize::new(0), Instant::now());
    let found = share(missing.len() as u64, |numbers| {
        let subject = Rater::open(subject, folder, plan.seed)?;
        let mut found = Vec::new();
        for number in numbers {
            let rated = subject.rate(missing[number as usize])?;
            let line = serde_json::to_string(&rated)? + "\n";
            let mut file = file.lock().map_err(|_| anyhow::anyhow!("a thread failed"))?;
            file.write_all(line.as_bytes())?;
            drop(file);
            found.push(rated);
            report(
                subject.subject,
                done.fetch_add(1, Ordering::Relaxed) + 1,
                missing.len(),
                started,
            );
        }
        Ok(found)
    })?;
    rated.extend(found.into_iter().flatten());
    rated.sort_by_key(|rated| rated.picture);
    Ok(rated)
}

/// What the file has of the pictures of the plan. An unfinished last line is skipped.
pub fn read(subject: Subject, plan: &Plan) -> Result<Vec<Rated>> {
    let Ok(file) = std::fs::File::open(&plan.file) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for line in BufReader::new(file).lines() {
        let Ok(rated) = serde_json::from_str::<Rated>(&line?) else { continue };
        if rated.subject == subject && plan.pictures.contains(&rated.picture) {
            found.push(rated);
        }
    }
    Ok(found)
}

#[allow(clippy::print_stdout, reason = "progress of a command line tool")]
fn report(subject: Subject, done: usize, all: usize, started: Instant) {
    const EVERY: usize = 25;
    if done.is_multiple_of(EVERY) || done == all {
        let each = started.elapsed().as_secs_f64() / done as f64;
        println!("{}: {done} of {all} pictures, {each:.2} s each", subject.name());
    }
}

/// A checkpoint that answers and is rated.
struct Rater {
    subject: Subject,
    explainer: Explainer,
    seed: u64,
}

impl Rater {
    fn open(subject: Subject, folder: &Path, seed: u64) -> Result<Self> {
        let source = ModelSource::Directory(folder.to_owned());
        Ok(Self { subject, explainer: Explainer::load(&source, &LoadOptions::default())?, seed })
    }

    fn rate(&self, number: u64) -> Result<Rated> {
        let variant = match self.subject {
            Subject::Shortcut => Variant::Shortcut,
            Subject::Sound | Subject::Blind => Variant::Sound,
        };
        let scene = scene(self.seed, Purpose::Evaluation, number, variant);
        let right = Question::Describe.answer(&scene);
        let picture = shown(&scene)?;
        let asked = medgemma_explainer::Question::new(vec![picture], Question::Describe.text());
        let answer = self.explainer.given(asked, &right.text())?;
        let spans = spans(&answer, &right);
        let twins = number.is_multiple_of(WITH_TWINS) && self.subject == Subject::Sound;
        let items = self.items(&answer, twins.then_some(&scene), spans)?;
        Ok(Rated { subject: self.subject, picture: number, items })
    }

    /// Rates the spans; of their findings those of a scene against their twins.
    fn items(&self, answer: &Answer, twins: Option<&Scene>, spans: Vec<Span>) -> Result<Vec<Item>> {
        let positions: Vec<Range<usize>> =
            spans.iter().map(|span| span.positions.clone()).collect();
        let gains = self.explainer.gains(answer, &positions, &Blank::ALL)?;
        let item = |(span, gains): (Span, Vec<Gain>)| {
            let named = Blank::ALL.iter().zip(&gains);
            let by_name = named.map(|(blank, gain)| (blank.name().to_owned(), gain.pmi()));
            let twin = twins.zip(span.finding).filter(|_| span.class == Class::Finding);
            let twin = twin.map(|(scene, finding)| self.twin(answer, scene, finding, &span));
            Ok(Item {
                class: span.class,
                said: gains.first().is_some_and(said),
                gains: by_name.collect(),
                twin: twin.transpose()?,
                text: span.text,
            })
        };
        spans.into_iter().zip(gains).map(item).collect()
    }

    /// What the picture adds over that of the scene without the finding.
    fn twin(&self, answer: &Answer, scene: &Scene, finding: usize, span: &Span) -> Result<f32> {
        let twin = Blank::Another(Box::new(shown(&scene.without(finding))?));
        let gains = self.explainer.gains(answer, std::slice::from_ref(&span.positions), &[twin])?;
        Ok(gains[0][0].pmi())
    }
}

/// Whether each token is likelier than all others together, with the picture.
fn said(gain: &Gain) -> bool {
    let with = gain.log_probabilities.iter().zip(&gain.token_pmi);
    with.map(|(without, pmi)| without + pmi).all(|with| 0.5_f32.ln() < with)
}

fn shown(scene: &Scene) -> Result<Picture> {
    picture(&scene.render(SIZE))
}
