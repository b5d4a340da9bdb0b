//! Template, style and script as one page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::escape;
use super::markup::Markup;

const TEMPLATE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/style.css");

/// The script, in the order of use. Each file is a module of clear purpose; together they are one strict function.
const SCRIPTS: [&str; 16] = [
    include_str!("assets/format.js"),
    include_str!("assets/data.js"),
    include_str!("assets/maps.js"),
    include_str!("assets/field.js"),
    include_str!("assets/contours.js"),
    include_str!("assets/state.js"),
    include_str!("assets/marks.js"),
    include_str!("assets/panel.js"),
    include_str!("assets/pointer.js"),
    include_str!("assets/words.js"),
    include_str!("assets/removal.js"),
    include_str!("assets/evidence.js"),
    include_str!("assets/tables.js"),
    include_str!("assets/controls.js"),
    include_str!("assets/export.js"),
    include_str!("assets/main.js"),
];

/// Everything that differs from report to report.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) markup: Markup,
    /// JSON whose strings are escaped for HTML.
    pub(super) island: String,
}

impl Page<'_> {
    pub(super) fn html(&self) -> String {
        let script = script();
        let policy = policy(&script);
        let title = escape::html(self.title);
        filled(TEMPLATE, |place| match place {
            "policy" => &policy,
            "style" => STYLE,
            "script" => &script,
            "data" => &self.island,
            "title" => &title,
            "layout" => self.markup.layout,
            "question" => &self.markup.question,
            "answer" => &self.markup.answer,
            "beside" => &self.markup.beside,
            "evidence" => &self.markup.evidence,
            "tokens" => &self.markup.tokens,
            "settings" => &self.markup.settings,
            "provenance" => &self.markup.provenance,
            "notes" => &self.markup.notes,
            _ => "",
        })
    }
}

fn script() -> String {
    format!("(() => {{\n'use strict';\n{}}})();\n", SCRIPTS.concat())
}

/// Nothing but this very script, this very style and pictures of the page itself; no request can leave.
fn policy(script: &str) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data: blob:; base-uri 'none'; form-action 'none'",
        hash(script),
        hash(STYLE)
    )
}

/// Replaces every `{{place}}` in one pass, so that what was put in is never searched for places.
fn filled<'a>(template: &'a str, text: impl Fn(&str) -> &'a str) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once("}}").unwrap_or(("", part));
        out += text(place);
        out += rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_not_searched() {
        let page = filled("a{{one}}b{{two}}", |place| if place == "one" { "{{two}}" } else { "2" });
        assert_eq!(page, "a{{two}}b2");
    }

    #[test]
    fn style_and_script_cannot_end_their_elements() {
        let script = script();
        for text in [STYLE, script.as_str()] {
            assert!(!text.contains("</") && !text.contains("<!--") && !text.contains('\r'));
        }
    }

    #[test]
    fn nothing_is_loaded_from_anywhere() {
        // A name in the language of drawings, which nobody asks anything of.
        const NAME: &str = "http://www.w3.org/2000/svg";
        let texts = SCRIPTS.iter().chain([&TEMPLATE, &STYLE]).map(|text| text.replace(NAME, ""));
        for text in texts {
            for sign in ["http:", "https:", "url(", "@import", "fetch(", "innerHTML", "eval("] {
                assert!(!text.contains(sign), "{sign}");
            }
        }
    }
}
