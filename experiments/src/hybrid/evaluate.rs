//! What a finished hybrid knows: unseen phantoms, every question in every wording, asked of the merged checkpoint ([`super::merged`])
//! through the ordinary loader.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Result;
use gemma3_processor::{Processor, ProcessorOptions};
use gemma3_tch::{
    Cached, Checkpoint, DeviceSpec, DtypeSpec, Gemma3, GenerationOptions, SequenceLayout, guard,
};
use safetensors::Dtype;
use serde_json::{Value, json};
use tch::Tensor;

use super::cases::Case;
use super::examples::Examples;
use super::language::Query;
use super::merged::{self, Files};
use super::run::SIZE;
use crate::examples::Turn;
use crate::forward::image_tokens;
use crate::prefix::Prefix;
use crate::recipe::Variant;
use crate::scenes::Purpose;
use crate::score::Share;
use crate::threads::share;

/// No right answer is as long.
const LONGEST: usize = 96;

/// What is evaluated on what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Unseen phantoms.
    pub pictures: u64,
    /// The seed of the run, which decides what it has not seen.
    pub seed: u64,
    /// Whose scenes.
    pub variant: Variant,
    /// Which scenes: those of [`Purpose::Evaluation`] serve for nothing but the last word.
    pub purpose: Purpose,
}

/// Right and wrong clauses: a report has five, another answer is one.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    /// By family of question.
    pub clauses: BTreeMap<&'static str, Share>,
    /// Wrong answers: question, right answer, what was said.
    pub wrong: Vec<[String; 3]>,
}

impl Evaluation {
    /// Over all clauses.
    pub fn total(&self) -> Share {
        let mut total = Share::default();
        self.clauses.values().for_each(|share| total.add(*share));
        total
    }

    fn add(&mut self, other: Self) {
        for (family, share) in other.clauses {
            self.clauses.entry(family).or_default().add(share);
        }
        self.wrong.extend(other.wrong);
    }

    /// Takes in an answer.
    pub fn count(&mut self, query: Query, [expected, found]: [&str; 2]) {
        let share = self.clauses.entry(query.about.family()).or_default();
        let sentences = |text: &str| -> Vec<String> {
            text.split_inclusive('.').map(|part| part.trim().to_owned()).collect()
        };
        if query.about == super::language::About::All {
            let said = sentences(found);
            let right = sentences(expected);
            right
                .iter()
                .enumerate()
                .for_each(|(at, clause)| share.count(said.get(at) == Some(clause)));
        } else {
            share.count(found == expected);
        }
        if found != expected {
            self.wrong.push([query.text(), expected.to_owned(), found.to_owned()]);
        }
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut table = String::from("| | right | of | |\n|---|---:|---:|---:|\n");
        let all = [("all clauses", self.total())];
        let families = self.clauses.iter().map(|(family, share)| (*family, *share));
        for (name, share) in all.into_iter().chain(families) {
            let Share { right, all } = share;
            let _ =
                writeln!(table, "| {name} | {right} | {all} | {:.1} % |", 100.0 * share.value());
        }
        table
    }

    /// For a file.
    pub fn to_json(&self, plan: &Plan) -> Value {
        let of = |(family, share): (&&str, &Share)| ((*family).to_owned(), share.to_json());
        json!({
            "pictures": plan.pictures,
            "seed": plan.seed,
            "scenes": plan.variant.name(),
            "clauses": self.total().to_json(),
            "questions": self.clauses.iter().map(of).collect::<serde_json::Map<_, _>>(),
            "wrong": self.wrong,
        })
    }
}

/// Asks a hybrid.
///
/// # Errors
/// Files that are not what they should be, and what libtorch fails with.
pub fn evaluate(files: Files<'_>, plan: &Plan) -> Result<Evaluation> {
    let merged = merged::write(files, Dtype::BF16)?;
    let parts = share(plan.pictures, |indices| {
        let (model, examples) = open(merged.path(), plan)?;
        let mut found = Evaluation::default();
        for index in indices {
            let case = examples.case(plan.purpose, index);
            ask(&model, &examples, &case, &mut found)?;
        }
        Ok(found)
    })?;
    let mut sum = Evaluation::default();
    for part in parts {
        sum.add(part);
    }
    Ok(sum)
}

/// The model as the ordinary loader gives it, and what it is asked.
fn open(folder: &Path, plan: &Plan) -> Result<(Gemma3, Examples)> {
    let checkpoint = Checkpoint::open(folder)?;
    let placement = checkpoint.placement(DeviceSpec::Cpu, DtypeSpec::default())?;
    let model = checkpoint.load(placement)?;
    let processor = Processor::from_dir(folder, ProcessorOptions::default())?;
    let vocabulary = model.config().text.vocab_size;
    Ok((model, Examples::new(processor, vocabulary, plan.seed, plan.variant, SIZE)?))
}

/// Asks everything about a case. An answer whose every token is the most likely one, behind those before it, is what generation gives;
/// where one is not, it is generated.
fn ask(model: &Gemma3, examples: &Examples, case: &Case, found: &mut Evaluation) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    let beginning = examples.beginning(case);
    let pixels = examples.pixels(case)?;
    let features = guard("looking at a phantom", || {
        pixels.iter().map(|pixels| image_tokens(model, pixels)).collect::<Vec<_>>()
    })?;
    let copies = || features.iter().map(Tensor::shallow_clone).collect::<Vec<_>>();
    let sequence = model.sequence(beginning.ids.clone(), beginning.images.clone(), copies())?;
    let mut prefix = Prefix::default();
    let _ = guard("reading a prompt", || model.forward(&sequence, &mut prefix))?;
    let text = model.text();
    for (query, turn) in examples.queries(case).into_iter().zip(examples.turns(case, |_| true)?) {
        let Turn { ids, prompt, .. } = turn;
        let chosen = guard("reading an answer", || {
            let layout = SequenceLayout::unforked(beginning.images.clone());
            let embeddings = text.embed(&ids[..ids.len() - 1]);
            let hidden = text.forward(&embeddings, beginning.ids.len(), &layout, &mut prefix);
            let rows = hidden.narrow(0, prompt as i64 - 1, (ids.len() - prompt) as i64);
            text.logits(&rows).argmax(-1, false)
        })?;
        let chosen = Vec::<i64>::try_from(chosen)?;
        let tokenizer = examples.processor().tokenizer();
        let expected = tokenizer.decode(&ids[prompt..ids.len() - 1], true);
        let said = if chosen.iter().copied().eq(ids[prompt..].iter().map(|&id| i64::from(id))) {
            expected.clone()
        } else {
            let whole = [&beginning.ids[..], &ids[..prompt]].concat();
            let sequence = model.sequence(whole, beginning.images.clone(), copies())?;
            let options = GenerationOptions {
                max_new_tokens: LONGEST,
                sampling: None,
                stop_ids: model.config().eos_token_ids.clone(),
            };
            let mut go_on = |_| ControlFlow::Continue(());
            let answer = model.generate(&sequence, &options, &mut Cached::default(), &mut go_on)?;
            tokenizer.decode(&answer.tokens, true)
        };
        found.count(query, [&expected, &said]);
    }
    Ok(())
}
