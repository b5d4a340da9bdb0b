//! Asks a checkpoint about a picture and says, for every word of the answer, how much of its relevancy lies in the picture.
//!
//! `cargo run -p medgemma-explainer --example explain_answer -- CHECKPOINT PICTURE QUESTION`

#![expect(clippy::print_stdout, reason = "an example prints")]

use medgemma_explainer::{
    AnswerOptions, Ask, Error, ExplainOptions, Explainer, LoadOptions, ModelSource, Picture,
    PictureOptions, Question,
};
use std::ops::ControlFlow;
use std::path::Path;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, picture, prompt] = arguments.as_slice() else {
        eprintln!("usage: explain_answer CHECKPOINT PICTURE QUESTION");
        std::process::exit(2);
    };
    let explainer =
        Explainer::load(&ModelSource::parse(checkpoint, None, false), &LoadOptions::default())?;
    let pictures = vec![Picture::open(Path::new(picture), &PictureOptions::default())?];
    let question = Question::new(pictures, prompt);
    let options = AnswerOptions::default().with_max_new_tokens(40);
    let answer = explainer.answer(question, &options, &mut |_| ControlFlow::Continue(()))?;

    let asks: Vec<Ask> = answer.positions().map(Ask::Position).collect();
    let explanations = explainer.explain(&answer, &asks, &ExplainOptions::default())?;
    for target in &explanations.targets {
        let share = target.relevancy().shares().map_or(0.0, |shares| shares.image());
        println!("{:>5.1} %  {}", 100.0 * share, target.text());
    }
    Ok(())
}
