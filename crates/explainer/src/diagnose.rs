//! Whether a checkpoint is run as it must be for its explanations to mean anything, found out on one answer.

use attention_capture::{
    Engine as _, Patches, ROW_SUM_TOLERANCE, States, Streaming, SweepOptions, forced_scores,
    witness_attention, witness_patches,
};
use attention_relevancy::{Backward, Target, Update};
use gemma3_tch::Weights;
use serde_json::json;
use std::fmt;

use crate::error::Cause;
use crate::finer::Images;
use crate::{Answer, Error, ErrorKind, Request, input_checks};
use attention::{Masks, RowSums};
use checks::Tolerances;

mod attention;
mod checks;
mod engines;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// In the order in which one relies on the other.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, or why the check was skipped; for people.
    pub detail: String,
    /// The kind of the error that ended it, where one did.
    pub error: Option<ErrorKind>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// As it must be.
    Ok,
    /// Not as it must be: do not trust explanations of this checkpoint.
    Failed,
    /// It could not be made here.
    Skipped,
    /// The checkpoint is sound, and a person should look at what it is given.
    Look,
}

impl Request<'_> {
    /// Checks, on an answer and its pictures, what every explanation rests on: the weights, the tokens of the prompt, the attention of
    /// every layer, that an answer that is made and one that is given are the same to the model, that both engines agree for every
    /// objective, and that finer maps are swept as the plain reference does it.
    ///
    /// Attention is looked at block by block; only the retained engine, which engines are compared with, holds all of it.
    ///
    /// # Errors
    /// What has nothing to do with the checkpoint, such as [`ErrorKind::Cancelled`]. What goes wrong within a check is
    /// a check that failed.
    pub fn diagnose(&self, answer: &Answer) -> Result<Diagnosis, Error> {
        let tolerances = Tolerances::of_width(self.model.kind().elt_size_in_bytes());
        let config = self.model.config();
        let (prompt, begin) = (&answer.prepared.ids, self.processor.begin_token());
        let spans: Vec<_> = answer.prepared.images.iter().map(|image| image.span.clone()).collect();
        let of_images = match self.processor.image_token() {
            Some(token) => checks::image_spans(prompt, &spans, (token, config.mm_tokens_per_image)),
            None => Check::skipped("image spans", "the model sees no pictures"),
        };
        let mut checks = vec![
            self.settle("weights", Self::weights)?,
            checks::one_bos(prompt, begin),
            of_images,
            self.input(answer),
        ];
        checks.extend(self.attention(answer, &tolerances)?);
        checks.push(self.settle("generation", |this| this.generation(answer, &tolerances))?);
        checks
            .extend(self.settle_all(&engines::names(), |this| this.engines(answer, &tolerances))?);
        checks.push(self.settle("patches", |this| this.patches(answer))?);
        Ok(Diagnosis { checks })
    }

    fn settle(
        &self,
        name: &'static str,
        check: impl FnOnce(&Self) -> Result<Check, Error>,
    ) -> Result<Check, Error> {
        let mut checks = self.settle_all(&[name], |this| Ok(vec![check(this)?]))?;
        Ok(checks.pop().expect("one check, one outcome"))
    }

    /// Checks that could not be made, because the model failed, are ones that failed; those that memory did not suffice for were not
    /// made.
    fn settle_all(
        &self,
        names: &[&'static str],
        check: impl FnOnce(&Self) -> Result<Vec<Check>, Error>,
    ) -> Result<Vec<Check>, Error> {
        if self.cancelled() {
            return Err(Cause::Cancelled.into());
        }
        let all = |outcome, error: &Error| {
            let check = |&name: &&'static str| Check { outcome, ..Check::ended(name, error) };
            Ok(names.iter().map(check).collect())
        };
        match check(self) {
            Ok(checks) => Ok(checks),
            Err(error) => match error.kind() {
                ErrorKind::Cancelled => Err(error),
                ErrorKind::OutOfMemory => all(Outcome::Skipped, &error),
                _ => all(Outcome::Failed, &error),
            },
        }
    }

    /// What in the pictures would mislead the model.
    fn input(&self, answer: &Answer) -> Check {
        let (prompt, pads) = (answer.question.prompt(), self.processor.options().pad_to_square);
        let found = answer.question.pictures.iter().flat_map(|picture| {
            let of =
                |check: &medical_pictures::Check| format!("{}: {}", picture.name(), check.message);
            input_checks(picture, &prompt, pads).map(of).collect::<Vec<_>>()
        });
        checks::input(&found.collect::<Vec<_>>(), answer.question.pictures.len())
    }

    fn weights(&self) -> Result<Check, Error> {
        let weights = Weights::at(&self.place)?;
        let tensors = self.model.config().tensors().into_keys();
        let range = |name: String| {
            let range = weights.range(&name)?;
            Ok::<_, Error>((name, range))
        };
        let ranges: Vec<_> = tensors.map(range).collect::<Result<_, _>>()?;
        Ok(checks::finite(&ranges))
    }

    /// Three checks of one forward pass: rows, masks, and that the fast attention computes what is explained.
    fn attention(&self, answer: &Answer, tolerances: &Tolerances) -> Result<[Check; 3], Error> {
        if self.cancelled() {
            return Err(Cause::Cancelled.into());
        }
        let text = &self.model.config().text;
        let spans = answer.prepared.images.iter().map(|image| image.span.clone());
        let mut rows = RowSums::default();
        let mut masks = Masks::new(&text.layers, text.sliding_window, spans.collect());
        let seen = witness_attention(self.model, &answer.sequence, &mut |block| {
            rows.see(block.layer, block.queries.start, block.weights);
            masks.see(block.layer, block.queries.start, block.weights);
        });
        Ok(match seen {
            Ok(differences) => [
                rows.check(ROW_SUM_TOLERANCE),
                masks.check(),
                checks::kernel(&differences, tolerances.kernel),
            ],
            Err(error) => attention::CHECKS.map(|name| Check::failed(name, error.to_string())),
        })
    }

    /// The tokens of the answer, as they were rated while it was generated and in a fresh pass over the whole of it.
    fn generation(&self, answer: &Answer, tolerances: &Tolerances) -> Result<Check, Error> {
        let Some(states) = &answer.states else {
            let reason = "the answer was given, or nothing was kept while it was generated";
            return Ok(Check::skipped("generation", reason));
        };
        let targets = targets(answer)?;
        let engine = self.streaming_engine(answer, states, SweepOptions::default());
        let generated = engine.scores(&targets)?;
        let fresh = forced_scores(self.model, &answer.sequence, &targets)?;
        Ok(checks::same_scores(&generated, &fresh, tolerances.scores))
    }

    /// A layer of the vision tower, swept as finer maps are and plainly.
    fn patches(&self, answer: &Answer) -> Result<Check, Error> {
        let images = Images::of(answer);
        if images.shown.is_empty() {
            return Ok(Check::skipped("patches", "the question has no image"));
        }
        let picture = self.model.picture(&self.pixels(images, 0))?;
        let twice = witness_patches(self.model, &picture)?.map(checks::same_sweep);
        Ok(twice.unwrap_or_else(|| {
            let why = Patches::missing_kernel(self.model, Update::Additive, Backward::Gradient);
            let plain = "this device has no fast sweep for this data type";
            Check::skipped("patches", why.as_deref().unwrap_or(plain))
        }))
    }

    fn streaming_engine<'a>(
        &'a self,
        answer: &'a Answer,
        states: &'a States,
        options: SweepOptions,
    ) -> Streaming<'a> {
        Streaming::new(self.model, answer.sequence.ids(), states, options)
    }
}

impl Diagnosis {
    /// Whether no check failed.
    pub fn is_sound(&self) -> bool {
        self.failed() == 0
    }

    /// How many checks failed.
    pub fn failed(&self) -> usize {
        self.checks.iter().filter(|check| check.outcome == Outcome::Failed).count()
    }

    /// As JSON: `sound`, and `checks` with `name`, `outcome` (ok, failed or skipped) and `detail`.
    pub fn to_json(&self) -> String {
        let check = |check: &Check| {
            let (name, outcome, detail) = (check.name, check.outcome.to_string(), &check.detail);
            json!({ "name": name, "outcome": outcome, "detail": detail })
        };
        let checks: Vec<_> = self.checks.iter().map(check).collect();
        format!("{:#}", json!({ "sound": self.is_sound(), "checks": checks }))
    }
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Ok, detail: detail.into(), error: None }
    }

    fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Failed, detail: detail.into(), error: None }
    }

    /// A check that this error ended.
    pub fn ended(name: &'static str, error: &Error) -> Self {
        Self { error: Some(error.kind()), ..Self::failed(name, error.to_string()) }
    }

    fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Skipped, detail: detail.into(), error: None }
    }

    /// Fails unless `sound`.
    fn judged(name: &'static str, sound: bool, detail: impl Into<String>) -> Self {
        if sound { Self::ok(name, detail) } else { Self::failed(name, detail) }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Look => "look",
        })
    }
}

/// Every token of the answer.
fn targets(answer: &Answer) -> Result<Vec<Target>, Error> {
    let first = answer.prepared.ids.len();
    let tokens = answer.generated.tokens.iter().enumerate();
    let targets = tokens.map(|(index, &id)| Target::new(first + index, id));
    Ok(targets.collect::<Result<_, _>>()?)
}
