//! Text relevancy in the terminal.

use std::env::var;
use std::io::{IsTerminal, stdout};

use medgemma_explainer::{Answer, ColorDepth, Colormap, TargetExplanation};

use crate::output;

/// Prompt and answer, each word on a ground that says how much it contributed to the explained one; numbers in brackets where
/// stdout is no terminal or has no colours. The self term is set apart: it is no contribution of another word.
pub(crate) fn print(
    answer: &Answer,
    target: &TargetExplanation,
    colormap: Colormap,
) -> anyhow::Result<()> {
    let [colorterm, term, no_color] = ["COLORTERM", "TERM", "NO_COLOR"].map(|name| var(name).ok());
    let depth = if stdout().is_terminal() {
        let (colorterm, term) = (colorterm.as_deref(), term.as_deref());
        ColorDepth::from_environment(colorterm, term, no_color.as_deref())
    } else {
        ColorDepth::None
    };
    let text = target.text_relevancy(answer)?.words();
    // The template's blank lines say nothing.
    let shown = text.ansi(colormap, None, depth);
    shown.lines().filter(|line| !line.trim().is_empty()).try_for_each(output::line)
}
