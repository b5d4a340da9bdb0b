//! Template, style and script as one page.

use super::markup::Markup;
use crate::pages::{self, escape};

const TEMPLATE: &str = include_str!("assets/page.html");
const STYLE: &str =
    concat!(include_str!("../pages/assets/common.css"), include_str!("assets/style.css"));

/// The script, in the order of use. Each file is a module of clear purpose; together they are one strict function.
const SCRIPTS: [&str; 19] = [
    include_str!("assets/format.js"),
    include_str!("assets/data.js"),
    include_str!("assets/maps.js"),
    include_str!("assets/field.js"),
    include_str!("assets/contours.js"),
    include_str!("assets/state.js"),
    include_str!("assets/volume.js"),
    include_str!("assets/marks.js"),
    include_str!("assets/panel.js"),
    include_str!("assets/pointer.js"),
    include_str!("assets/words.js"),
    include_str!("assets/removal.js"),
    include_str!("assets/evidence.js"),
    include_str!("assets/tables.js"),
    include_str!("assets/slices.js"),
    include_str!("assets/projections.js"),
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
        let policy = pages::policy(STYLE, Some(&script), "data: blob:");
        let title = escape::html(self.title);
        pages::filled(TEMPLATE, |place| match place {
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

#[cfg(test)]
mod tests {
    use super::*;

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
