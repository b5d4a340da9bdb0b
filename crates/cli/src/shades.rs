//! An explanation in the terminal: its map, its text.

use std::env::var;

use medgemma_explainer::{
    Answer, ColorDepth, Colormap, NOTHING_SPEAKS, Presentation, TargetExplanation,
};

use crate::output;

/// Prompt and answer, each word on a ground that says how much it contributed to the explained one; numbers in brackets where
/// stdout is no terminal or has no colours. The self term is set apart: it is no contribution of another word.
pub(crate) fn print(
    answer: &Answer,
    target: &TargetExplanation,
    (colormap, shows_template): (Colormap, bool),
) -> anyhow::Result<()> {
    let text = target.text_relevancy(answer, shows_template)?.words();
    // The template's blank lines say nothing.
    let shown = text.ansi(colormap, None, depth());
    for line in shown.lines().filter(|line| !line.trim().is_empty()) {
        output::painted(line);
        output::blank_line();
    }
    Ok(())
}

/// The map of each picture, then the text; nothing where stdout is no terminal.
pub(crate) fn show(
    answer: &Answer,
    target: &TargetExplanation,
    presentation: &Presentation,
) -> anyhow::Result<()> {
    let options = &presentation.overlay;
    let Some((columns, rows)) = output::terminal_size() else {
        return Ok(());
    };
    output::blank_line();
    output::line(format_args!("{}:", target.label()));
    if target.is_empty() {
        output::line(NOTHING_SPEAKS);
        return Ok(());
    }
    // The text beneath wants a third of the lines.
    let room = (columns, (rows * 2 / 3).max(8));
    for image in 0..answer.prepared().images.len() {
        output::painted(&target.terminal_view(answer, image, options, (room, depth()))?);
    }
    print(answer, target, (options.colormap, presentation.shows_template))
}

/// The colours that stdout has.
fn depth() -> ColorDepth {
    let [colorterm, term, no_color] = ["COLORTERM", "TERM", "NO_COLOR"].map(|name| var(name).ok());
    if !output::is_terminal() {
        return ColorDepth::None;
    }
    ColorDepth::from_environment(colorterm.as_deref(), term.as_deref(), no_color.as_deref())
}
