//! The texts of the page as HTML. It can be read without any script; the script only adds colour and behaviour.

use super::evidence;
use super::pack::{shown_texts, text_positions};
use super::volume;
use super::words::Words;
use super::{Report, TokenKind};
use crate::pages::escape::html;
use crate::pages::markup;
use crate::pages::picture::Embedded;

/// Pieces of HTML for the places of the template.
#[derive(Debug)]
pub(super) struct Markup {
    /// The class of the whole: a page without pictures is laid out otherwise.
    pub(super) layout: &'static str,
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) beside: String,
    pub(super) evidence: String,
    pub(super) tokens: String,
    pub(super) settings: String,
    pub(super) provenance: String,
    pub(super) notes: String,
}

pub(super) fn markup(report: &Report<'_>, words: &Words<'_>, pictures: &[Embedded]) -> Markup {
    Markup {
        layout: if report.pictures.is_empty() { "text-only" } else { "with-pictures" },
        question: question(&report.question),
        answer: answer(report, words),
        beside: words.beside.iter().map(|&index| chip(report, index)).collect(),
        evidence: evidence::markup(&report.targets),
        tokens: tokens(report),
        settings: markup::facts(&report.settings),
        provenance: markup::facts(&report.provenance),
        notes: notes(report, pictures),
    }
}

fn question(text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    format!("<h2>Question</h2><p class=\"question\" dir=\"auto\">{}</p>", html(text))
}

fn answer(report: &Report<'_>, words: &Words<'_>) -> String {
    let piece = |target: Option<usize>, text: &str| match target {
        Some(index) => word("word", report, index, text),
        None => html(text),
    };
    words.pieces.iter().map(|p| piece(p.target, p.text)).collect()
}

fn chip(report: &Report<'_>, index: usize) -> String {
    word("word chip", report, index, &report.targets[index].text)
}

/// Elements inline, not `<button>`s: a phrase breaks over lines as text does. A flagged word says so without the script too.
fn word(class: &str, report: &Report<'_>, index: usize, text: &str) -> String {
    let flags = &report.targets[index].flags;
    let (mark, title) = if flags.is_empty() {
        ("", String::new())
    } else {
        (" flagged", format!(" title=\"{}\"", html(&flags.join("; "))))
    };
    format!(
        "<span class=\"{class}{mark}\" role=\"button\" tabindex=\"-1\" aria-pressed=\"false\" data-target=\"{index}\"{title}>{}</span>",
        html(text)
    )
}

/// All tokens in order, a grid as one.
fn tokens(report: &Report<'_>) -> String {
    let mut grids: Vec<_> = report.grids.iter().enumerate().collect();
    grids.sort_by_key(|(_, grid)| grid.start);
    let mut grids = grids.into_iter().peekable();
    let mut out = String::new();
    let texts = shown_texts(report);
    for (index, (position, text)) in text_positions(report).into_iter().zip(texts).enumerate() {
        while let Some((grid, _)) = grids.next_if(|(_, grid)| grid.start < position) {
            out += &grid_token(report, grid);
        }
        out += &token(report.tokens[position].kind, index, &text);
    }
    grids.for_each(|(grid, _)| out += &grid_token(report, grid));
    out
}

fn token(kind: TokenKind, index: usize, text: &str) -> String {
    let kind = match kind {
        TokenKind::Answer => " made",
        TokenKind::Template => " template",
        TokenKind::Prompt | TokenKind::Image => "",
    };
    // A token that is nothing but a line end needs something to see and point at.
    let text = html(text).replace('\n', "↵\n");
    format!("<span class=\"token{kind}\" data-text=\"{index}\">{text}</span>")
}

fn grid_token(report: &Report<'_>, index: usize) -> String {
    let grid = &report.grids[index];
    let name = html(&report.pictures[grid.picture].name);
    let cells = grid.positions().len();
    format!(
        "<span class=\"token picture\" data-grid=\"{index}\">▦ <bdi>{name}</bdi> · {cells} tokens</span>"
    )
}

fn notes(report: &Report<'_>, pictures: &[Embedded]) -> String {
    let mut alone = vec![true; report.pictures.len()];
    let slices = report.volumes.iter().flat_map(|volume| &volume.slices);
    slices.for_each(|slice| alone[slice.picture] = false);
    let volumes = report.volumes.iter().filter_map(|found| volume::note(report, found, pictures));
    let copies = report.pictures.iter().zip(pictures).zip(alone).filter(|(_, alone)| *alone);
    let copies = copies.filter_map(|((picture, embedded), _)| {
        let (name, (width, height)) = (&picture.name, picture.image.dimensions());
        let (w, h) = embedded.size;
        if !embedded.whole {
            Some(format!(
                "{name}: {width} × {height} pixels, shown here as a copy of {w} × {h}; cells and regions are those of the original."
            ))
        } else if !embedded.exact {
            Some(format!("{name}: stored in this page as JPEG, so that grey values differ slightly."))
        } else {
            None
        }
    });
    let notes: Vec<String> = report.notes.iter().cloned().chain(copies).chain(volumes).collect();
    markup::items(&notes)
}
