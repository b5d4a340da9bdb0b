//! Text of untrusted files inside error messages: short, and without characters that a terminal acts on.

/// Characters of a foreign text that an error repeats.
const LIMIT: usize = 300;

/// `text` on one line, cut to a few hundred characters; control characters, line ends and marks that change the
/// direction of text are written as escapes such as `\u{1b}`.
pub(crate) fn shown(text: &str) -> String {
    let mut letters = text.chars();
    let mut out = String::new();
    for letter in letters.by_ref().take(LIMIT) {
        match letter {
            '"' | '\'' | '\\' => out.push(letter),
            _ => out.extend(letter.escape_debug()),
        }
    }
    match letters.count() {
        0 => out,
        more => format!("{out}… ({more} more characters)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(shown("l'opacité “là” \"a\\b\" ▁"), "l'opacité “là” \"a\\b\" ▁");
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        assert_eq!(
            shown("a\u{1b}[31mb\r\nc\u{202e}d\u{9b}"),
            "a\\u{1b}[31mb\\r\\nc\\u{202e}d\\u{9b}"
        );
    }

    #[test]
    fn long_texts_are_cut() {
        let cut = shown(&"é".repeat(1000));
        assert_eq!(cut, format!("{}… (700 more characters)", "é".repeat(300)));
    }
}
