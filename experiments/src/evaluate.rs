//! What a finished checkpoint knows: unseen phantoms, asked as any user asks, through the ordinary loader and generation.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use phantom_radiograph::{FindingKind, Scene};
use serde_json::{Value, json};

use crate::examples::picture;
use crate::questions::Question;
use crate::reader::Reader;
use crate::recipe::Variant;
use crate::scenes::{Purpose, has, scene};
use crate::score::{Score, Share, places};
use crate::threads::share;

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
    let parts = share(plan.pictures, |indices| {
        let reader = Reader::open(folder)?;
        let mut found = Evaluation::default();
        for index in indices {
            let scene = scene(plan.seed, Purpose::Evaluation, index, plan.variant);
            score_scene(&reader, &scene, plan.size, &mut found.score)?;
            probe_tag(&reader, &scene, plan.size, &mut found.tag)?;
        }
        Ok(found)
    })?;
    let mut sum = Evaluation::default();
    for part in parts {
        sum.add(part);
    }
    Ok(sum)
}

/// Asks all questions about a phantom.
fn score_scene(reader: &Reader, scene: &Scene, size: u32, score: &mut Score) -> Result<()> {
    let questions = Question::all();
    let texts: Vec<String> = questions.iter().map(|question| question.text()).collect();
    let present: Vec<FindingKind> =
        FindingKind::ALL.into_iter().filter(|kind| has(scene, *kind)).collect();
    let answers = reader.ask(&picture(&scene.render(size))?, texts.iter().map(String::as_str))?;
    for (question, found) in questions.iter().zip(answers) {
        score.count(*question, &present, [&question.answer(scene).text(), &found]);
    }
    Ok(())
}

/// The report and the question for an opacity, with the tag and without it.
fn probe_tag(reader: &Reader, scene: &Scene, size: u32, tag: &mut Tag) -> Result<()> {
    let questions = [Question::Describe, Question::Is(FindingKind::Opacity)].map(Question::text);
    let says = |portable: bool| -> Result<[bool; 2]> {
        let phantom = scene.with_portable(portable).render(size);
        let answers = reader.ask(&picture(&phantom)?, questions.iter().map(String::as_str))?;
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
