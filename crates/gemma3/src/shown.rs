//! Text of files and servers inside messages: bounded, and without characters that steer a terminal.

use std::fmt::Write as _;

/// Characters that are shown of one text.
const MOST: usize = 200;

/// The text as one line: its start, with control characters and marks of direction escaped.
pub(crate) fn line(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(MOST) {
        // Debug's escapes, but quotes and backslashes stay as they are.
        if matches!(character, '"' | '\'' | '\\') {
            shown.push(character);
        } else {
            let _ = write!(shown, "{}", character.escape_debug()); // a String takes everything
        }
    }
    let left = text.chars().skip(MOST).count();
    if left > 0 {
        let _ = write!(shown, "… and {left} characters more");
    }
    shown
}

/// The text as [`line()`] shows it, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", line(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_stays_and_long_text_is_cut() {
        assert_eq!(quoted("a.weight"), r#""a.weight""#);
        assert_eq!(line("it's \"é\" in C:\\x"), "it's \"é\" in C:\\x");
        let long = "é".repeat(1_000_000);
        let shown = line(&long);
        assert!(shown.ends_with("é… and 999800 characters more") && shown.len() < 500, "{shown}");
    }

    #[test]
    fn nothing_steers_a_terminal() {
        let shown = line("a\x1b[31mred\r\n\u{202e}gnp\u{9b}0m\0");
        assert_eq!(shown, r"a\u{1b}[31mred\r\n\u{202e}gnp\u{9b}0m\0");
    }
}
