//! Attention sinks in the terminal.

use medgemma_explainer::{Answer, Explanations, SinkRule};

use crate::explain::shorten;
use crate::output;

/// Of sinks and of dimensions no more than so many are listed.
const MOST: usize = 12;

/// A line for each; nothing where nobody asked.
pub(crate) fn print(answer: &Answer, explanations: &Explanations) {
    let Some((sinks, asked)) = explanations.sinks.as_ref().zip(explanations.options.sinks) else {
        return;
    };
    let limit = sinks.threshold_text();
    output::blank_line();
    if sinks.tokens.is_empty() {
        output::line(format_args!(
            "Attention sinks: none; no token has φ above {limit} in a dimension that is massive in half of the layers"
        ));
        return;
    }
    let what = match asked.rule {
        SinkRule::Keep => "they stay in the relevancy",
        SinkRule::Drop => "taken out of the relevancy",
    };
    let dimensions: Vec<String> = sinks.dimensions.iter().map(ToString::to_string).collect();
    let dimensions = match dimensions.len() {
        1 => format!("dimension {}", dimensions[0]),
        n if n <= MOST => format!("dimensions {}", dimensions.join(", ")),
        n => format!("{n} dimensions"),
    };
    output::line(format_args!("Attention sinks, φ above {limit} in {dimensions}; {what}:"));
    output::line(format_args!("{:>9}  {:<24} {:>6}  {}", "position", "token", "φ", "layer"));
    for sink in sinks.tokens.iter().take(MOST) {
        let text = shorten(&format!("{:?}", answer.tokens()[sink.position].text), 24);
        let (position, phi, layer) = (sink.position, sink.phi, sink.layer);
        output::line(format_args!("{position:>9}  {text:<24} {phi:>6.1}  {layer}"));
    }
    if MOST < sinks.tokens.len() {
        let more = sinks.tokens.len() - MOST;
        output::line(format_args!("(and {more} more, which explanation.json has)"));
    }
}
