//! `medgemma-explainer diagnose`.

use anyhow::bail;
use medgemma_explainer::{Check, Diagnosis, Error, Outcome};

use crate::args::QuestionArgs;
use crate::asked::{Posed, warn_of};
use crate::{answer, demo, hint, output, progress};

pub(crate) const CHECKS: &str = concat!(
    "Checks: weights (all finite); one <bos> (at the beginning of the prompt and nowhere else); image spans (image tokens where the ",
    "pictures are, as many as the model expects); attention rows (each sums to one, in every layer); masks (zero outside window AND ",
    "(causal OR same image), nonzero inside, by the type of each layer); fast attention (the attention that answers is the one that ",
    "is explained); generation (the answer has the same logits when it is given as a whole); engines (streaming and retained find ",
    "the same relevancy, in place and size, for the surest and the least sure token of the answer, for every objective); patches ",
    "(the fast sweep over a layer of the vision tower agrees with the plain one).\n",
    "For a model that gives no answer, a fixed answer is checked instead.\n\n",
    "The exit code is 1 if a check failed. A check that cannot be made is skipped, with the reason."
);

#[derive(clap::Args, Debug)]
// Another condition under which each may be left out, and `--model` never is.
#[command(mut_arg("image", |arg| arg.required_unless_present("model")
    .help("Picture; a synthetic radiograph by default")))]
#[command(mut_arg("prompt", |arg| arg.required_unless_present("model")
    .help("The question; \"Describe the radiograph.\" by default")))]
#[command(mut_arg("max_new_tokens", |arg| arg.default_value("48")))]
pub(crate) struct DiagnoseArgs {
    #[command(flatten)]
    pub(crate) question: QuestionArgs,
    /// Print only JSON on stdout
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Answers the question and looks at how the model did it.
pub(crate) fn run(args: &DiagnoseArgs) -> anyhow::Result<()> {
    let QuestionArgs { model, asked, pictures, generation } = &args.question;
    let reader = pictures.reader();
    let question = || asked.question_or(demo::picture, demo::PROMPT, &reader);
    let Posed { question: first, sources, .. } = question()?;
    pictures.check_used(&sources)?;
    warn_of(&first.pictures, &first.prompt(), pictures);
    let explainer = answer::load(model, args.question.load_options())?;
    let options = generation.options(&explainer, true);
    let (answer, broken) = match answer::stream(&explainer, first, &options, !args.json) {
        Ok(answer) => (answer, None),
        // A model that cannot answer is what this command is for.
        Err(error) => match error.downcast_ref::<Error>() {
            Some(error) if error.is_of_model() => {
                let broken = Check::ended("answer", error);
                (explainer.given(question()?.question, IN_ITS_PLACE)?, Some(broken))
            }
            _ => return Err(error),
        },
    };
    let mut diagnosis = progress::step("checking", || explainer.diagnose(&answer))?;
    diagnosis.checks.splice(0..0, broken);
    for check in &mut diagnosis.checks {
        check.detail += check.error.map_or("", hint::of_kind);
    }
    if args.json {
        output::json(&diagnosis.to_json());
    } else {
        output::blank_line();
        diagnosis.checks.iter().for_each(print);
    }
    verdict(&diagnosis)
}

/// What the checks are made on where the model gives no answer.
const IN_ITS_PLACE: &str = "clear";

fn print(check: &Check) {
    // What needs a look stands out.
    let outcome = match check.outcome {
        Outcome::Failed => "FAILED".to_owned(),
        Outcome::Look => "LOOK".to_owned(),
        other => other.to_string(),
    };
    output::line(format_args!("{:<24} {outcome:<8} {}", check.name, check.detail));
}

fn verdict(diagnosis: &Diagnosis) -> anyhow::Result<()> {
    match diagnosis.failed() {
        0 => Ok(()),
        1 => bail!("one check failed: do not trust explanations of this checkpoint"),
        count => {
            bail!("{count} checks failed: do not trust explanations of this checkpoint")
        }
    }
}
