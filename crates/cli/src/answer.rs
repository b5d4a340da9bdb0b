//! `medgemma-explainer answer`, and the part that `explain` shares with it.

use crate::args::{AnswerArgs, QuestionArgs};
use crate::{interrupt, output, progress};
use anyhow::bail;
use medgemma_explainer::{
    Answer, AnswerOptions, ExplainObserver, Explainer, LoadOptions, Question, Sampling, StopReason,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Answers and prints the text as it is made.
pub(crate) fn run(args: &AnswerArgs) -> anyhow::Result<()> {
    let question = args.question.asked.question(&args.question.picture_options())?;
    let explainer = load(&args.question, args.question.load_options())?;
    let purpose = Ask { show: !args.json, record: false };
    let answer = ask(&args.question, &explainer, question, purpose)?;
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
pub(crate) fn load(args: &QuestionArgs, options: LoadOptions) -> anyhow::Result<Explainer> {
    if let Some(threads) = args.model.threads {
        medgemma_explainer::set_threads(threads)?;
    }
    let progress: Option<ExplainObserver> = Some(Arc::new(progress::advance));
    let context =
        options.context.clone().with_cancel(Some(interrupt::flag())).with_progress(progress);
    let options = options.with_fetch_progress(progress::fetch_bars()?).with_context(context);
    let load = || Explainer::load(&args.model.source(), &options);
    Ok(progress::step("loading the model", load)?)
}

/// What an answer is for.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    /// Its text is shown as it is made.
    pub(crate) show: bool,
    /// It will be explained.
    pub(crate) record: bool,
}

/// Answers the question; with `show` the text goes to stdout as it is made.
pub(crate) fn ask(
    args: &QuestionArgs,
    explainer: &Explainer,
    question: Question,
    Ask { show, record }: Ask,
) -> anyhow::Result<Answer> {
    let options = args.answer_options(sampling(args, explainer), record);
    stream(explainer, question, &options, show)
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

/// What the checkpoint's makers advise, where drawing was asked for.
fn sampling(args: &QuestionArgs, explainer: &Explainer) -> Option<Sampling> {
    args.sample.then(|| explainer.advised_sampling(args.seed))
}
