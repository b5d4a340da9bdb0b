//! The option of `explain` that explains the answer with another model as well.

use clap::builder::NonEmptyStringValueParser;
use medgemma_explainer::{
    Answer, Counterpart, Explainer, Explanations, ModelSource, TargetExplanation,
};
use serde::{Deserialize, Serialize};

use crate::args::ModelArgs;
use crate::explain::shorten;
use crate::job::{Job, Named};
use crate::{answer, output, progress};

/// What stands for the model without its adapters.
const BASE: &str = "base";

#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CompareArgs {
    /// Explain the same words of the same answer with another model, too, and show both maps and their difference: base (the model
    /// without its adapters), or a directory, GGUF file or id of a model with the same tokenizer
    #[arg(long, value_name = "base|DIR_OR_ID", value_parser = NonEmptyStringValueParser::new(), help_heading = "Methods")]
    compare: Option<String>,
}

impl CompareArgs {
    pub(crate) fn is_asked(&self) -> bool {
        self.compare.is_some()
    }

    /// What is wrong with it beside these targets, when options bear such names.
    pub(crate) fn problem(
        &self,
        has_targets: bool,
        model: &ModelArgs,
        named: Named,
    ) -> Option<String> {
        let other = self.compare.as_ref()?;
        let compare = named("compare");
        if !has_targets {
            let keyword = named("keyword");
            return Some(format!("{compare} is for targets: add {keyword}, or another target"));
        }
        let is_base = other == BASE && !std::path::Path::new(BASE).exists();
        let could_be_adapter = !matches!(model.source(), ModelSource::Shipped(_));
        (is_base && model.adapters().is_empty() && !could_be_adapter).then(|| {
            let adapter = named("adapter");
            format!("{compare} {BASE} is the model without its adapters: add {adapter}, or name another model")
        })
    }

    /// The other model, loaded as the first one was.
    pub(crate) fn load(
        &self,
        job: &Job,
        explainer: &Explainer,
    ) -> anyhow::Result<Option<Explainer>> {
        let Some(other) = &self.compare else { return Ok(None) };
        let options = job.load_options().with_adapters(Vec::new());
        let source = if other == BASE {
            anyhow::ensure!(
                !explainer.inspection().adapters().is_empty(),
                "--compare {BASE} is the model without its adapters, and it has none: add --adapter, or name another model (a directory of that name is ./{BASE})"
            );
            explainer.base().clone()
        } else {
            job.model.other(other)
        };
        // A vision tower that was named belongs to a language model in a file of its own.
        let is_file = matches!(&source, ModelSource::Directory(path) if path.is_file());
        let mmproj = options.mmproj.clone().filter(|_| is_file);
        answer::load_from(&source, options.with_mmproj(mmproj)).map(Some)
    }
}

/// Explains the targets with the other model, where there is one.
pub(crate) fn add(
    explainer: &Explainer,
    other: Option<&Explainer>,
    answer: &Answer,
    explanations: &mut Explanations,
) -> anyhow::Result<()> {
    let Some(other) = other else { return Ok(()) };
    let compare = || explainer.counterparts(answer, explanations, other);
    explanations.counterparts = Some(progress::step("comparing", compare)?);
    Ok(())
}

/// One line for each target: its probability with both models and how far the maps agree.
pub(crate) fn print(explanations: &Explanations) {
    let Some(found) = &explanations.counterparts else { return };
    output::blank_line();
    output::line(format_args!("Compared with {}:", found.name()));
    row(["explained", "prob.", "there", "nats", "in pictures", "there", "ranks", "top tenth"]);
    for (target, counterpart) in explanations.targets.iter().zip(&found.targets) {
        print_target(target, counterpart);
    }
    output::line(
        "(nats: log-probability with this model minus that there; ranks: Spearman's correlation of the cells of both maps; top tenth: cells in the hottest tenth of both over those of either)",
    );
}

fn print_target(target: &TargetExplanation, counterpart: &Counterpart) {
    let percent = |share: Option<f32>| {
        share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
    };
    let own = target.relevancy().shares().map(|shares| shares.image());
    let agreement = counterpart.agreement(target, 0);
    let part = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
    row([
        &shorten(&target.label(), 24),
        &target.probability_text(),
        &counterpart.probability_text(),
        &format!("{:+.2}", counterpart.gain(target)),
        &percent(own),
        &percent(counterpart.image_share),
        &part(agreement.map(|found| found.rank_correlation)),
        &part(agreement.map(|found| found.top_overlap)),
    ]);
}

fn row([text, own, other, nats, share, other_share, ranks, top]: [&str; 8]) {
    output::line(format_args!(
        "{text:<24} {own:>8} {other:>8} {nats:>7} {share:>11} {other_share:>7} {ranks:>6} {top:>9}"
    ));
}
