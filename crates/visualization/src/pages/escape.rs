//! Text that others wrote, made harmless.

use std::fmt::Write as _;

use crate::escape::escape;

/// Text as HTML: as content and in quoted attributes.
///
/// Besides markup, characters that are not seen but change how the rest is read are named instead: control characters, and the
/// overrides and embeddings of direction, which would let an answer rearrange the page around it. Line ends and tabs stay.
pub(crate) fn html(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(&mut visible, c));
    escape(&visible).into_owned()
}

/// Text as the inside of a JSON string that stands in HTML: nothing in it can end the script element, open a comment, or be
/// read as markup, and the separators that JavaScript once took for line ends are escaped as well.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut visible = String::new();
    for c in text.chars() {
        visible.clear();
        push_visible(&mut visible, c);
        for c in visible.chars() {
            push_json(&mut out, c);
        }
    }
    out
}

fn push_json(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '<' | '>' | '&' | '\'' | '\0'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
            let _infallible = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.push(c),
    }
}

fn push_visible(out: &mut String, c: char) {
    if is_unseen(c) {
        let _infallible = write!(out, "⟨U+{:04X}⟩", u32::from(c));
    } else {
        out.push(c);
    }
}

fn is_unseen(c: char) -> bool {
    let control = c.is_control() && !matches!(c, '\n' | '\t');
    let direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    control || direction || matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(
            html("<script>alert('1') & \"2\"</script>"),
            "&lt;script&gt;alert(&#39;1&#39;) &amp; &quot;2&quot;&lt;/script&gt;"
        );
    }

    #[test]
    fn json_cannot_leave_its_script() {
        let escaped = json("</script><!-- \u{2028}\u{2029} & \"q\" \\ \n\t");
        assert_eq!(
            escaped,
            "\\u003c/script\\u003e\\u003c!-- \\u2028\\u2029 \\u0026 \\\"q\\\" \\\\ \\n\\u0009"
        );
    }

    #[test]
    fn what_is_not_seen_is_named() {
        assert_eq!(html("a\u{202e}b\0c\u{1b}\r"), "a⟨U+202E⟩b⟨U+0000⟩c⟨U+001B⟩⟨U+000D⟩");
        assert_eq!(json("a\u{2066}\0"), "a⟨U+2066⟩⟨U+0000⟩");
        assert_eq!(html("רְאִיָּה 👩‍⚕️\n肺"), "רְאִיָּה 👩‍⚕️\n肺");
    }
}
