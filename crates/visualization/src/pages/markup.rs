//! Pieces of HTML that several pages have.

use super::escape::html;
use super::{Fact, Tone};
use crate::escape::append;

/// The lines of a `<dl class="facts">`.
pub(crate) fn facts(facts: &[Fact]) -> String {
    let mut out = String::new();
    for Fact { name, value } in facts {
        let (name, value) = (html(name), html(value));
        append(&mut out, format_args!("<div><dt>{name}</dt><dd dir=\"auto\">{value}</dd></div>"));
    }
    out
}

/// The items of a list.
pub(crate) fn items(texts: &[String]) -> String {
    let mut out = String::new();
    for text in texts {
        append(&mut out, format_args!("<li dir=\"auto\">{}</li>", html(text)));
    }
    out
}

/// A few words in the colour of a tone.
pub(crate) fn badge(tone: Tone, text: &str) -> String {
    let (name, sign) = (tone.name(), tone.sign());
    format!(
        "<span class=\"badge {name}\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span><bdi>{}</bdi></span>",
        html(text)
    )
}

/// A table of texts; the first cell of a row names it. Columns have a name and whether they hold numbers, which stand to the right.
/// Rows are as long as the list of columns.
pub(crate) fn table(caption: &str, columns: &[(&str, bool)], rows: &[Vec<String>]) -> String {
    let class = |is_number: bool| if is_number { "" } else { " class=\"words\"" };
    let mut out = String::from("<table>");
    if !caption.is_empty() {
        append(&mut out, format_args!("<caption dir=\"auto\">{}</caption>", html(caption)));
    }
    out += "<thead><tr>";
    for &(name, is_number) in columns {
        let class = class(is_number);
        append(&mut out, format_args!("<th scope=\"col\"{class}><bdi>{}</bdi></th>", html(name)));
    }
    out += "</tr></thead><tbody>";
    for row in rows {
        out += "<tr>";
        for (index, (text, &(_, is_number))) in row.iter().zip(columns).enumerate() {
            let (start, end) = if index == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
            let (class, text) = (class(is_number), html(text));
            append(&mut out, format_args!("<{start}{class}><bdi>{text}</bdi></{end}>"));
        }
        out += "</tr>";
    }
    out + "</tbody></table>"
}
