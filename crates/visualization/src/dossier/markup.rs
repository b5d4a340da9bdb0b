//! The whole dossier as static HTML.

use super::{Badge, Block, Card, Dossier, KeyFigure, Section, Table, Verdict, chart};
use crate::escape::append;
use crate::pages::escape::html;
use crate::pages::markup;
use crate::pages::picture::Embedded;

/// A table with more rows scrolls in a box of its own.
const ROWS_AT_ONCE: usize = 40;
/// From this many headings on the page begins with links to them.
const HEADINGS_FOR_LINKS: usize = 3;

/// Pieces of HTML for the places of the template.
#[derive(Debug)]
pub(super) struct Markup {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) verdict: String,
    pub(super) figures: String,
    pub(super) contents: String,
    pub(super) sections: String,
    pub(super) about: String,
}

/// `pictures` are those of all cards, in the order of the page.
pub(super) fn markup(dossier: &Dossier<'_>, pictures: &[Embedded]) -> Markup {
    let mut rest = pictures.iter();
    let sections = dossier.sections.iter().enumerate();
    Markup {
        title: html(dossier.title()),
        subtitle: paragraph("subtitle", &dossier.subtitle),
        verdict: dossier.verdict.as_ref().map(verdict).unwrap_or_default(),
        figures: figures(&dossier.figures),
        contents: contents(&dossier.sections),
        sections: sections.map(|(index, found)| section(index, found, &mut rest)).collect(),
        about: about(dossier, pictures),
    }
}

/// Nothing for an empty text.
fn paragraph(class: &str, text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    format!("<p class=\"{class}\" dir=\"auto\">{}</p>", html(text))
}

fn verdict(verdict: &Verdict) -> String {
    let (name, sign) = (verdict.tone.name(), verdict.tone.sign());
    let mut out = format!(
        "<section class=\"card verdict {name}\" aria-label=\"Verdict\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span>\
         <p class=\"headline\" dir=\"auto\">{}</p>",
        html(&verdict.headline)
    );
    if !verdict.reasons.is_empty() {
        out += "<ul class=\"reasons\">";
        out += &markup::items(&verdict.reasons);
        out += "</ul>";
    }
    out + "</section>"
}

fn figures(figures: &[KeyFigure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let line = |class: &str, text: &str| match text.trim() {
        "" => String::new(),
        _ => format!("<dd class=\"{class}\" dir=\"auto\">{}</dd>", html(text)),
    };
    let mut out = String::from("<dl class=\"figures\">");
    for KeyFigure { label, value, interval, help } in figures {
        append(
            &mut out,
            format_args!(
                "<div class=\"card\"><dt dir=\"auto\">{}</dt>{}{}{}</div>",
                html(label),
                line("value", value),
                line("interval", interval),
                line("hint", help)
            ),
        );
    }
    out + "</dl>"
}

/// Links to the sections that have a heading.
fn contents(sections: &[Section<'_>]) -> String {
    let named = sections.iter().enumerate().filter(|(_, section)| has_heading(section));
    let links: Vec<String> = named
        .map(|(index, section)| {
            format!("<a href=\"#section-{index}\"><bdi>{}</bdi></a>", html(&section.title))
        })
        .collect();
    if links.len() < HEADINGS_FOR_LINKS {
        return String::new();
    }
    format!("<nav class=\"contents\" aria-label=\"Sections\">{}</nav>", links.concat())
}

fn has_heading(section: &Section<'_>) -> bool {
    !section.title.trim().is_empty()
}

fn section<'e>(
    index: usize,
    section: &Section<'_>,
    pictures: &mut impl Iterator<Item = &'e Embedded>,
) -> String {
    let mut out = format!("<section class=\"section\" id=\"section-{index}\">");
    if has_heading(section) {
        append(&mut out, format_args!("<h2 dir=\"auto\">{}</h2>", html(&section.title)));
    }
    out += &paragraph("prose", &section.text);
    for block in &section.blocks {
        match block {
            Block::Text(text) => out += &paragraph("prose", text),
            Block::Table(found) => {
                append(&mut out, format_args!("<div class=\"card\">{}</div>", table(found)));
            }
            Block::Intervals(found) => out += &chart::markup(found),
            Block::Cards(cards) => {
                out += "<div class=\"cards\">";
                for found in cards {
                    out += &card(found, pictures);
                }
                out += "</div>";
            }
        }
    }
    out + "</section>"
}

fn table(table: &Table) -> String {
    let columns: Vec<(&str, bool)> =
        table.columns.iter().map(|column| (column.name.as_str(), column.is_number)).collect();
    let tall = if ROWS_AT_ONCE < table.rows.len() { " tall" } else { "" };
    let label = if table.caption.trim().is_empty() { "Table" } else { &table.caption };
    format!(
        // Keys scroll it only when it can have the focus.
        "<div class=\"scroll{tall}\" role=\"group\" tabindex=\"0\" aria-label=\"{}\">{}</div>",
        html(label),
        markup::table(&table.caption, &columns, &table.rows)
    )
}

fn card<'e>(card: &Card<'_>, pictures: &mut impl Iterator<Item = &'e Embedded>) -> String {
    let badge = |Badge { tone, text }: &Badge| markup::badge(*tone, text);
    let mut out = format!(
        "<article class=\"card case\"><div class=\"case-head\"><h3 dir=\"auto\">{}</h3>{}</div><div class=\"case-body\">",
        html(&card.title),
        card.badge.as_ref().map(badge).unwrap_or_default()
    );
    if !card.pictures.is_empty() {
        out += "<div class=\"pictures\">";
        for (found, embedded) in card.pictures.iter().zip(pictures) {
            let (width, height) = embedded.size;
            let (url, caption) = (&embedded.url, html(&found.caption));
            // The caption says what there is to see; a text of the picture would only say it twice.
            append(
                &mut out,
                format_args!(
                    "<figure><img src=\"{url}\" width=\"{width}\" height=\"{height}\" loading=\"lazy\" decoding=\"async\" alt=\"\">\
                     <figcaption dir=\"auto\">{caption}</figcaption></figure>"
                ),
            );
        }
        out += "</div>";
    }
    if !card.facts.is_empty() {
        append(&mut out, format_args!("<dl class=\"facts\">{}</dl>", markup::facts(&card.facts)));
    }
    out += "</div>";
    card.table.iter().for_each(|found| out += &table(found));
    out + "</article>"
}

/// Notes in sight, settings and provenance folded away.
fn about(dossier: &Dossier<'_>, pictures: &[Embedded]) -> String {
    let mut notes = dossier.notes.clone();
    if pictures.iter().any(|embedded| !embedded.exact) {
        notes.push(
            "Pictures are shown as copies that are smaller or compressed; their grey values differ slightly."
                .to_owned(),
        );
    }
    let mut out = String::new();
    if !notes.is_empty() {
        append(
            &mut out,
            format_args!("<h2>Notes</h2><ul class=\"notes\">{}</ul>", markup::items(&notes)),
        );
    }
    for (name, facts) in [("Settings", &dossier.settings), ("Provenance", &dossier.provenance)] {
        if !facts.is_empty() {
            let facts = markup::facts(facts);
            append(
                &mut out,
                format_args!(
                    "<details><summary>{name}</summary><dl class=\"facts\">{facts}</dl></details>"
                ),
            );
        }
    }
    if out.is_empty() { out } else { format!("<section class=\"card about\">{out}</section>") }
}
