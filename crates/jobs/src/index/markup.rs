//! Rows as HTML.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Found, Index, MOST_SHOWN, THUMBNAILS};
use crate::CertificateRow;
use crate::dataset::DataKind;
use crate::dataset::columns::Flat;

/// Characters of a text that are shown.
const LONGEST: usize = 240;

/// Text as HTML: as content and in quoted attributes. Characters that are not seen but change how the rest is read (controls, and
/// overrides of direction) are named instead.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {
                let _infallible = write!(out, "⟨U+{:04X}⟩", u32::from(c));
            }
            c if c.is_control() => {
                let _infallible = write!(out, "⟨U+{:04X}⟩", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// The beginning of a text, which says if that is not all.
pub(super) fn beginning(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => text[..end].to_owned() + "…",
    }
}

/// A number with thin spaces between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if 0 < at && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// How much there is; what failed stands first.
pub(super) fn counts(found: &Found) -> String {
    let n_errors = found.of_kind(DataKind::Error);
    let mut out = String::new();
    if 0 < n_errors {
        let kinds: Vec<String> = found
            .errors
            .iter()
            .map(|(kind, number)| format!("{}: {}", html(kind), count(*number)))
            .collect();
        let _infallible = write!(
            out,
            "<li class=\"poor\">{} failed ({}) <button type=\"button\" id=\"errors\">Show</button></li>",
            counted(n_errors, "job", "jobs"),
            kinds.join(", "),
        );
    }
    let _infallible = write!(out, "<li>{}</li>", counted(found.n_jobs, "job", "jobs"));
    for (kind, one, many) in [
        (DataKind::Target, "target", "targets"),
        (DataKind::Phrase, "phrase against another", "phrases against others"),
        (DataKind::Word, "word", "words"),
        (DataKind::Missing, "target that is missing", "targets that are missing"),
        (DataKind::Answer, "answer alone", "answers alone"),
    ] {
        let number = found.of_kind(kind);
        if 0 < number {
            let _infallible = write!(out, "<li>{}</li>", counted(number, one, many));
        }
    }
    out
}

/// What is not on the page.
pub(super) fn note(found: &Found, left_out: usize) -> String {
    let mut out = String::new();
    let shown = found.rows.len() as u64;
    if shown < found.n_rows {
        let _infallible = write!(
            out,
            "<p class=\"note\">The page has {} of {} rows; targets and errors go before words, and there are at most {}. All rows are in <code>results/</code>.</p>",
            count(shown),
            count(found.n_rows),
            count(MOST_SHOWN as u64),
        );
    }
    if 0 < left_out {
        let _infallible = write!(
            out,
            "<p class=\"note\">{} too large for the page and left out.</p>",
            counted(left_out as u64, "thumbnail is", "thumbnails are"),
        );
    }
    out
}

/// All rows, and how many thumbnails are left out.
pub(super) fn rows(found: &Found, index: &Index<'_>) -> (String, usize) {
    let mut out = String::new();
    let (mut room, mut left_out) = (THUMBNAILS, 0);
    for (kind, flat) in &found.rows {
        let thumbnail = flat.thumbnail.as_ref();
        let thumbnail = thumbnail.filter(|it| it.is_empty() || it.starts_with(b"\x89PNG"));
        let fits = thumbnail.filter(|bytes| !bytes.is_empty() && bytes.len() <= room);
        room -= fits.map_or(0, bytes::Bytes::len);
        left_out += usize::from(thumbnail.is_some() && fits.is_none());
        row(&mut out, (*kind, flat), fits.map(AsRef::as_ref), index);
    }
    (out, left_out)
}

fn row(out: &mut String, (kind, flat): (DataKind, &Flat), png: Option<&[u8]>, index: &Index<'_>) {
    let id = flat.id.as_deref().unwrap_or_default();
    let share = flat.image_share.filter(|share| share.is_finite());
    let certificates = flat.certificates().unwrap_or_default();
    let certified = certified(&certificates);
    let _infallible = write!(out, "<tr role=\"row\" data-kind=\"{}\"", kind.name());
    if let Some(share) = share {
        let _infallible = write!(out, " data-share=\"{share:.6}\"");
    }
    let _infallible = write!(out, " data-certificate=\"{}\">", certified.name());
    out.push_str("<td role=\"cell\" class=\"picture\">");
    match png {
        Some(png) => {
            let data = STANDARD.encode(png);
            let _infallible = write!(
                out,
                "<img src=\"data:image/png;base64,{data}\" width=\"72\" height=\"72\" alt=\"\" decoding=\"async\">"
            );
        }
        None => out.push_str("<span class=\"empty\"></span>"),
    }
    let name = format!("<bdi>{}</bdi>", html(id));
    let name = match (index.link)(id).and_then(|path| href(&path)) {
        Some(href) => format!("<a href=\"{href}\">{name}</a>"),
        None => name,
    };
    let _infallible =
        write!(out, "</td><th role=\"rowheader\" scope=\"row\" class=\"id\">{name}</th>");
    let (text, asked) = match kind {
        DataKind::Error => (flat.error_message.as_deref(), None),
        DataKind::Answer => (flat.answer.as_deref(), None),
        _ => (flat.text.as_deref(), flat.asked.as_deref()),
    };
    let text = html(text.unwrap_or_default());
    let _infallible =
        write!(out, "<td role=\"cell\" class=\"text\"><span dir=\"auto\">{text}</span>");
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        let _infallible = write!(out, "<small dir=\"auto\">{}</small>", html(asked));
    }
    out.push_str("</td><td role=\"cell\" class=\"share\">");
    if let Some(share) = share {
        let (percent, width) = (100.0 * share, 60.0 * share.clamp(0.0, 1.0));
        let _infallible = write!(
            out,
            "<span>{percent:.1} %</span><svg width=\"60\" height=\"6\" aria-hidden=\"true\"><rect width=\"60\" height=\"6\" rx=\"3\" class=\"track\"/><rect width=\"{width:.1}\" height=\"6\" rx=\"3\"/></svg>"
        );
    } else {
        out.push_str(NOTHING);
    }
    out.push_str("</td><td role=\"cell\" class=\"certificate\">");
    certificate(out, certified, &certificates);
    out.push_str("</td><td role=\"cell\" class=\"kind\">");
    let problem = flat.error_kind.as_deref().filter(|_| kind == DataKind::Error);
    let _infallible = match problem {
        Some(problem) => {
            write!(out, "<span class=\"badge poor\">error: {}</span>", html(&beginning(problem)))
        }
        None => write!(out, "<span class=\"badge\">{}</span>", kind.name()),
    };
    out.push_str("</td></tr>\n");
}

/// What stands in a cell without a value.
const NOTHING: &str = "<span class=\"nothing\" aria-hidden=\"true\">–</span>";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Certified {
    /// By all operators that say something.
    Ahead,
    Not,
    None,
}

impl Certified {
    fn name(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Not => "not",
            Self::None => "none",
        }
    }
}

fn certified(certificates: &[CertificateRow]) -> Certified {
    let mut said = certificates.iter().filter_map(|certificate| certificate.ahead).peekable();
    if said.peek().is_none() {
        return Certified::None;
    }
    if said.all(|ahead| ahead) { Certified::Ahead } else { Certified::Not }
}

fn certificate(out: &mut String, certified: Certified, certificates: &[CertificateRow]) {
    let badge = match certified {
        Certified::Ahead => "<span class=\"badge good\">✓ ahead</span>",
        Certified::Not => "<span class=\"badge mixed\">✗ not ahead</span>",
        Certified::None if certificates.is_empty() => NOTHING,
        Certified::None => "<span class=\"badge\">unknown</span>",
    };
    out.push_str(badge);
    for certificate in certificates.iter().take(8) {
        let _infallible = match certificate.p {
            Some(p) => {
                write!(out, "<small>{}: p {p:.3}</small>", html(&beginning(&certificate.operator)))
            }
            None => write!(out, "<small>{}: –</small>", html(&beginning(&certificate.operator))),
        };
    }
}

/// A relative path as the value of an attribute; `None` for what is no relative path.
fn href(path: &str) -> Option<String> {
    if path.is_empty() || path.starts_with('/') {
        return None;
    }
    // Never read as an address: not even a colon is left.
    let mut out = "./".to_owned();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    Some(out)
}
