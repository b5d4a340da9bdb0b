//! `medgemma-explainer answer`, and the part that `explain` shares with it.

use crate::args::{AnswerArgs, ModelArgs, QuestionArgs};
use crate::asked::{Posed, check_sight, warn_of};
use crate::{interrupt, output, progress};
use anyhow::bail;
use medgemma_explainer::{
    Answer, AnswerOptions, AppliedAdapter, ExplainObserver, Explainer, LoadOptions, ModelSource,
    Question, StopReason,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Answers and prints the text as it is made.
pub(crate) fn run(args: &AnswerArgs) -> anyhow::Result<()> {
    let QuestionArgs { model, asked, pictures, generation } = &args.question;
    let Posed { question, sources, .. } = asked.conversation().posed(&pictures.reader())?;
    pictures.check_used(&sources)?;
    warn_of(&question.pictures, &question.prompt(), pictures);
    let explainer = load(model, args.question.load_options())?;
    check_sight(&explainer, &asked.conversation(), &question)?;
    let options = generation.options(&explainer, false);
    let answer = stream(&explainer, question, &options, !args.json)?;
    if args.json {
        output::json(&answer.to_json());
        return Ok(());
    }
    if args.tokens {
        for token in &answer.tokens()[answer.prepared().ids.len()..] {
            let (position, id, text) = (token.position, token.id, &token.text);
            output::line(format_args!("{position:>6}  {id:>6}  {text:?}"));
        }
    }
    Ok(())
}

/// Loads the checkpoint; from here on Ctrl-C ends the work between two steps.
pub(crate) fn load(model: &ModelArgs, options: LoadOptions) -> anyhow::Result<Explainer> {
    if let Some(threads) = model.threads {
        medgemma_explainer::set_threads(threads)?;
    }
    let explainer = load_from(&model.source(), options)?;
    alone_if_small(&explainer, model.threads)?;
    Ok(explainer)
}

/// A model with no more bytes of weights is computed by one thread, where nobody asked for more: waking a second takes longer than its
/// share of the work. (`phantom` has 3 MB: on two cores an explanation takes 2.0 s in place of 2.6, a certificate 11.4 in place of 16.8.)
const SMALL: u64 = 32_000_000;

/// Chooses the number of threads where `asked` is `None` and the model is [`SMALL`].
pub(crate) fn alone_if_small(
    explainer: &Explainer,
    asked: Option<usize>,
) -> Result<(), medgemma_explainer::Error> {
    let is_small = explainer.inspection().bytes_on_disk().0 <= SMALL;
    if asked.is_none() && is_small { medgemma_explainer::set_threads(1) } else { Ok(()) }
}

/// Loads a checkpoint of this place.
pub(crate) fn load_from(source: &ModelSource, options: LoadOptions) -> anyhow::Result<Explainer> {
    let options = watched(options)?;
    let load = || Explainer::load(source, &options);
    let explainer = progress::step("loading the model", load)?;
    warn_of_adapters(&explainer);
    Ok(explainer)
}

/// The options with progress in the terminal, and an end by signals.
pub(crate) fn watched(options: LoadOptions) -> anyhow::Result<LoadOptions> {
    let progress: Option<ExplainObserver> = Some(Arc::new(progress::advance));
    let context =
        options.context.clone().with_cancel(Some(interrupt::flag())).with_progress(progress);
    Ok(options.with_fetch_progress(progress::fetch_bars()?).with_context(context))
}

/// Says what users should know of the adapters of a model.
pub(crate) fn warn_of_adapters(explainer: &Explainer) {
    let adapters = explainer.inspection().adapters().iter();
    adapters.filter_map(AppliedAdapter::warning).for_each(output::warning);
}

/// The answer; with `show` its text goes to stdout as it is made. An answer that is only shown ends where nobody reads on.
pub(crate) fn stream(
    explainer: &Explainer,
    question: Question,
    options: &AnswerOptions,
    show: bool,
) -> anyhow::Result<Answer> {
    let is_only_shown = show && !options.record;
    let mut on_text = |text: &str| {
        if show {
            output::text(text);
        }
        if is_only_shown && !output::is_read() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let answer = explainer.answer(question, options, &mut on_text)?;
    if interrupt::exit_code().is_some() && answer.generated().stop == StopReason::Caller {
        bail!("the answer was interrupted");
    }
    if show {
        output::blank_line();
    }
    Ok(answer)
}
