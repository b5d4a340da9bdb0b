//! What a finished checkpoint knows: unseen phantoms, asked as any user asks, through the ordinary loader and generation.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Result, anyhow};
use gemma3_processor::{Message, Processor, ProcessorOptions};
use gemma3_tch::{Cached, Gemma3, GenerationOptions, Placement};
use phantom_radiograph::{FindingKind, Scene};
use serde_json::{Value, json};
use tch::Tensor;

use crate::examples::picture;
use crate::questions::Question;
use crate::recipe::Variant;
use crate::scenes::{Purpose, has, scene};
use crate::score::{Score, Share, places};

/// Threads, each with a model of its own.
const THREADS: u64 = 2;
/// No right answer is as long.
const LONGEST: usize = 96;

/// What is evaluated on what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Unseen phantoms.
    pub pictures: u64,
    /// Side of a picture in pixels.
    pub size: u32,
    /// The seed of the run, which decides what it has not seen.
    pub seed: u64,
    /// Whose scenes.
    pub variant: Variant,
}

/// What was found out.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    /// Right and wrong answers on scenes as in training.
    pub score: Score,
    /// What the tag does.
    pub tag: Tag,
}

/// The same scenes with the tag and without it, whatever the findings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tag {
    /// Answers and reports that change with the tag in what they say of an opacity.
    pub flips: Share,
    /// Those that say "opacity" exactly where the tag is.
    pub follows_tag: Share,
    /// Those that say "opacity" exactly where one is.
    pub follows_opacity: Share,
}

impl Evaluation {
    fn add(&mut self, other: Self) {
        self.score.add(other.score);
        for (sum, part) in [
            (&mut self.tag.flips, other.tag.flips),
            (&mut self.tag.follows_tag, other.tag.follows_tag),
            (&mut self.tag.follows_opacity, other.tag.follows_opacity),
        ] {
            sum.right += part.right;
            sum.all += part.all;
        }
    }

    /// For a file.
    pub fn to_json(&self, plan: &Plan) -> Value {
        json!({
            "pictures": plan.pictures,
            "size": plan.size,
            "seed": plan.seed,
            "scenes": plan.variant.name(),
            "score": self.score.to_json(),
            "tag": {
                "flips": self.tag.flips.to_json(),
                "follows_tag": self.tag.follows_tag.to_json(),
                "follows_opacity": self.tag.follows_opacity.to_json(),
            },
        })
    }

    /// Tables for people.
    pub fn text(&self) -> String {
        let mut text = self.score.table();
        let rows = [
            ("says \"opacity\" otherwise when the tag changes", self.tag.flips),
            ("says \"opacity\" exactly where the tag is", self.tag.follows_tag),
            ("says \"opacity\" exactly where an opacity is", self.tag.follows_opacity),
        ];
        text += "\n| tag set at random | | of | |\n|---|---:|---:|---:|\n";
        for (name, share) in rows {
            let Share { right, all } = share;
            let _ = writeln!(text, "| {name} | {right} | {all} | {:.1} % |", 100.0 * share.value());
        }
        text
    }
}

/// Asks the checkpoint in `folder`.
pub fn evaluate(folder: &Path, plan: &Plan) -> Result<Evaluation> {
    let parts: Vec<Result<Evaluation>> = std::thread::scope(|scope| {
        let thread = |lane| scope.spawn(move || part(folder, plan, lane));
        let threads: Vec<_> = (0..THREADS).map(thread).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread failed"))?)
            .collect()
    });
    let mut sum = Evaluation::default();
    for part in parts {
        sum.add(part?);
    }
    Ok(sum)
}

fn part(folder: &Path, plan: &Plan, lane: u64) -> Result<Evaluation> {
    let reader = Reader::open(folder, plan.size)?;
    let mut found = Evaluation::default();
    for index in (0..plan.pictures).filter(|index| index % THREADS == lane) {
        let scene = scene(plan.seed, Purpose::Evaluation, index, plan.variant);
        reader.score(&scene, &mut found.score)?;
        reader.probe(&scene, &mut found.tag)?;
    }
    Ok(found)
}

/// A checkpoint that answers.
struct Reader {
    model: Gemma3,
    processor: Processor,
    size: u32,
}

impl Reader {
    fn open(folder: &Path, size: u32) -> Result<Self> {
        let model = Gemma3::load(folder, Placement::AS_STORED)?;
        let processor = Processor::from_dir(folder, ProcessorOptions::default())?;
        Ok(Self { model, processor, size })
    }

    /// The answers to these questions about one picture.
    fn ask(&self, scene: &Scene, questions: &[Question]) -> Result<Vec<String>> {
        let picture = picture(&scene.render(self.size))?;
        let mut features: Option<Tensor> = None;
        let answer = |question: &Question| {
            let message = Message::user(1, question.text());
            let prepared = self.processor.prepare(&[message], std::slice::from_ref(&picture))?;
            let image = &prepared.images[0];
            let tokens = match &features {
                Some(tokens) => tokens.shallow_clone(),
                None => self.model.encode_image(&image.pixels)?,
            };
            features = Some(tokens.shallow_clone());
            let span = image.span.clone();
            self.answer(prepared.ids, span, tokens)
        };
        questions.iter().map(answer).collect()
    }

    fn answer(&self, ids: Vec<u32>, span: std::ops::Range<usize>, image: Tensor) -> Result<String> {
        let prompt = self.model.sequence(ids, vec![span], vec![image])?;
        let options = GenerationOptions {
            max_new_tokens: LONGEST,
            sampling: None,
            stop_ids: self.model.config().eos_token_ids.clone(),
        };
        let mut go_on = |_| ControlFlow::Continue(());
        let answer = self.model.generate(&prompt, &options, &mut Cached::default(), &mut go_on)?;
        Ok(self.processor.tokenizer().decode(&answer.tokens, true))
    }

    fn score(&self, scene: &Scene, score: &mut Score) -> Result<()> {
        let questions = Question::all();
        let present: Vec<FindingKind> =
            FindingKind::ALL.into_iter().filter(|kind| has(scene, *kind)).collect();
        for (question, found) in questions.iter().zip(self.ask(scene, &questions)?) {
            score.count(*question, &present, [&question.answer(scene).text(), &found]);
        }
        Ok(())
    }

    /// The report and the question for an opacity, with the tag and without it.
    fn probe(&self, scene: &Scene, tag: &mut Tag) -> Result<()> {
        let questions = [Question::Describe, Question::Is(FindingKind::Opacity)];
        let says = |portable: bool| -> Result<[bool; 2]> {
            let answers = self.ask(&scene.with_portable(portable), &questions)?;
            let report = !places(&answers[0], FindingKind::Opacity).is_empty();
            Ok([report, answers[1].starts_with("Yes")])
        };
        let opacity = has(scene, FindingKind::Opacity);
        let (with, without) = (says(true)?, says(false)?);
        for (with, without) in with.into_iter().zip(without) {
            tag.flips.count(with != without);
            for (portable, said) in [(true, with), (false, without)] {
                tag.follows_tag.count(said == portable);
                tag.follows_opacity.count(said == opacity);
            }
        }
        Ok(())
    }
}
