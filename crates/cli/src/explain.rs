//! `medgemma-explainer explain`.

use crate::args::ExplainArgs;
use crate::{answer, progress};
use medgemma_explainer::{Answer, Explanations, OutputFolder, OverlayOptions, Record, TargetExplanation, TokenKind};
use std::path::Path;

/// Answers, explains, writes the results and says where they are.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let question = answer::question(&args.question)?;
    let folder = OutputFolder::create(&args.out)?;
    let explainer = answer::load(&args.question)?;
    let answer = answer::ask(&args.question, &explainer, question, !args.json)?;
    let explanations =
        progress::step("explaining", || explainer.explain_all(&answer, &args.asks(), &args.options()))?;
    let options = OverlayOptions { colormap: args.colormap, ..OverlayOptions::default() };
    let written = folder.write(&explainer, &answer, &explanations, &options)?;
    if args.json {
        println!("{}", Record::new(&explainer, &answer, &explanations)?.to_json());
        return Ok(());
    }
    println!();
    print_targets(&answer, &explanations);
    println!();
    for path in written.overlays.iter().map(AsRef::as_ref).chain([written.arrays.as_path(), &written.record]) {
        println!("{}", Path::display(path));
    }
    Ok(())
}

/// One line for each explained word: what it is and where its relevancy lies.
fn print_targets(answer: &Answer, explanations: &Explanations) {
    println!("{:<24} {:>11} {:>9} {:>9}  most relevant text", "explained", "positions", "prob.", "pictures");
    for target in &explanations.targets {
        let share = target.relevancy().shares().map_or(0.0, |shares| 100.0 * shares.image());
        let positions = target.positions();
        println!(
            "{:<24} {:>11} {:>9.4} {:>7.1} %  {}",
            shorten(target.text(), 24),
            format!("{}..={}", positions.start, positions.end - 1),
            target.probability(),
            share,
            top_text(answer, target)
        );
    }
}

/// The three text tokens that contributed most, the self terms aside.
fn top_text(answer: &Answer, target: &TargetExplanation) -> String {
    let relevancy = target.relevancy().without_self();
    let mut tokens: Vec<_> = answer.tokens().iter().filter(|token| token.kind != TokenKind::Image).collect();
    tokens.sort_by(|a, b| relevancy[b.position].total_cmp(&relevancy[a.position]));
    let names = tokens.iter().take(3).map(|token| format!("{:?}", token.text.trim()));
    names.collect::<Vec<_>>().join(" ")
}

/// At most `n` characters on one line.
fn shorten(text: &str, n: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= n { line } else { line.chars().take(n - 1).chain(['…']).collect() }
}
