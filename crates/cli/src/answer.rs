//! `medgemma-explainer answer`, and the part that `explain` shares with it.

use crate::args::{AnswerArgs, QuestionArgs};
use crate::progress;
use anyhow::Context;
use medgemma_explainer::{Answer, Explainer, LoadOptions, Picture, Question, Sampling};
use std::io::Write;
use std::ops::ControlFlow;

/// Answers and prints the text as it is made.
pub(crate) fn run(args: &AnswerArgs) -> anyhow::Result<()> {
    let question = question(&args.question)?;
    let explainer = load(&args.question)?;
    let answer = ask(&args.question, &explainer, question, true)?;
    if args.tokens {
        for token in &answer.tokens()[answer.prepared().ids.len()..] {
            println!("{:>6}  {:>6}  {:?}", token.position, token.id, token.text);
        }
    }
    Ok(())
}

/// Reads the pictures; what a user should be told of them goes to stderr.
pub(crate) fn question(args: &QuestionArgs) -> anyhow::Result<Question> {
    let options = args.picture_options();
    let mut pictures = Vec::new();
    for path in &args.image {
        let picture = Picture::open(path, &options)?;
        for warning in picture.warnings() {
            eprintln!("warning: {}: {warning}", path.display());
        }
        pictures.push(picture);
    }
    Ok(Question { pictures, prompt: args.prompt.clone(), system: args.system.clone() })
}

/// Loads the checkpoint.
pub(crate) fn load(args: &QuestionArgs) -> anyhow::Result<Explainer> {
    let options = LoadOptions { fetch_progress: progress::fetch_bars()?, ..args.load_options() };
    Ok(progress::step("loading the model", || Explainer::load(&args.model.source(), &options))?)
}

/// Answers the question; with `show` the text goes to stdout as it is made.
pub(crate) fn ask(args: &QuestionArgs, explainer: &Explainer, question: Question, show: bool) -> anyhow::Result<Answer> {
    let advice = explainer.generation_config();
    let sampling = args.sample.then(|| Sampling {
        temperature: advice.temperature,
        top_k: advice.top_k.unwrap_or(0),
        top_p: advice.top_p,
        seed: args.seed,
    });
    let mut stdout = std::io::stdout().lock();
    let answer = explainer.answer(question, &args.answer_options(sampling), &mut |text| {
        let shown = if show { write!(stdout, "{text}").and_then(|()| stdout.flush()) } else { Ok(()) };
        if shown.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if show {
        writeln!(stdout).context("cannot write to stdout")?;
    }
    Ok(answer)
}
