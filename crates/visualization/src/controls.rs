//! Text that cannot steer a terminal.

use std::borrow::Cow;

use crate::escape::append;

/// Text with every character that could steer a terminal, or make text look like other text, written as in a Rust string:
/// `\u{1b}`, `\r`, `\n`. These are the control characters (C0, DEL, C1), those that change the direction of writing, the
/// separators of lines and paragraphs, and those that show nothing (byte order mark, annotations, tags). Joiners stay, because
/// Persian and others need them. The characters in `kept` are left as they are.
///
/// ```
/// use relevancy_visualization::escape_controls;
///
/// assert_eq!(escape_controls("a\u{1b}[31mb\n", &['\n']), "a\\u{1b}[31mb\n");
/// ```
pub fn escape_controls<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let is_escaped = |c: char| steers(c) && !kept.contains(&c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if !is_escaped(c) {
            out.push(c);
        } else if c.is_ascii() {
            out.extend(c.escape_default());
        } else {
            out.extend(c.escape_unicode());
        }
    }
    Cow::Owned(out)
}

/// The same within JSON, in the notation of JSON: the value stays the same. Line breaks between its parts are kept.
///
/// ```
/// assert_eq!(relevancy_visualization::escape_json_controls("[\"a\u{9b}\"]"), "[\"a\\u009b\"]");
/// ```
pub fn escape_json_controls(json: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| steers(c) && !matches!(c, '\n' | '\t' | '\r');
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_escaped(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                append(&mut out, format_args!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_escaped_and_the_rest_stays() {
        for (text, expected) in [
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("a\rb\tc\0", "a\\rb\\tc\\u{0}"),
            ("\u{7f}\u{85}\u{9b}31m", "\\u{7f}\\u{85}\\u{9b}31m"),
            ("\u{202e}abc\u{202c}\u{2066}\u{2069}", "\\u{202e}abc\\u{202c}\\u{2066}\\u{2069}"),
            ("\u{2028}\u{2029}\u{200f}\u{61c}", "\\u{2028}\\u{2029}\\u{200f}\\u{61c}"),
            ("\u{feff}\u{e0041}", "\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(escape_controls(text, &[]), expected);
        }
        for text in ["plain \\ text", "نعم‌ها", "肺炎 👨\u{200d}👩", "é e\u{301}"] {
            assert!(matches!(escape_controls(text, &[]), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(escape_controls("a\nb\tc\r", &['\n', '\t']), "a\nb\tc\\r");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let json = "{\n  \"a\": \"\u{85}\u{202e}\u{e0041}é\"\n}";
        let escaped = escape_json_controls(json);
        assert_eq!(escaped, "{\n  \"a\": \"\\u0085\\u202e\\udb40\\udc41é\"\n}");
    }
}
