//! Byte tokens: how a tokenizer with byte fallback spells a character that its vocabulary lacks.

use std::ops::Range;

/// A character that one or more byte tokens make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Character {
    /// Its tokens, counted from the first.
    pub(crate) tokens: Range<usize>,
    pub(crate) text: char,
}

/// The characters that byte tokens such as `<0xF0>` make, in order. A run of them that is no UTF-8 makes none, as when it is decoded,
/// and control characters stay spelled as bytes, which can be seen.
pub(crate) fn characters<S: AsRef<str>>(tokens: &[S]) -> Vec<Character> {
    let bytes: Vec<Option<u8>> = tokens.iter().map(|token| byte(token.as_ref())).collect();
    let mut found = Vec::new();
    let mut start = 0;
    for run in bytes.chunk_by(|a, b| a.is_some() == b.is_some()) {
        let spelled: Vec<u8> = run.iter().copied().flatten().collect();
        let text = String::from_utf8(spelled).unwrap_or_default();
        found.extend(text.char_indices().filter(|(_, c)| !c.is_control()).map(|(at, c)| {
            let first = start + at;
            Character { tokens: first..first + c.len_utf8(), text: c }
        }));
        start += run.len();
    }
    found
}

/// `<0x41>` is the byte 65.
fn byte(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_byte = hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_byte.then(|| u8::from_str_radix(hex, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tokens: &[&str]) -> Vec<(Range<usize>, char)> {
        characters(tokens).into_iter().map(|found| (found.tokens, found.text)).collect()
    }

    #[test]
    fn bytes_make_characters_as_they_are_decoded() {
        let lungs = ["a", "<0xF0>", "<0x9F>", "<0xAB>", "<0x81>", "<0xC3>", "<0xA9>", "b"];
        assert_eq!(found(&lungs), [(1..5, '🫁'), (5..7, 'é')]);
        assert_eq!(
            found(&["<0x41>", "x", "<0xE8>", "<0x82>", "<0xBA>"]),
            [(0..1, 'A'), (2..5, '肺')]
        );
    }

    #[test]
    fn what_is_no_character_stays_as_it_is() {
        assert_eq!(found(&["<0xF0>", "<0x9F>", "x", "<0xAB>", "<0x81>"]), []);
        assert_eq!(found(&["<0x0A>", "<0x00>", "<0x411>", "<0x+1>", "0x41", "<0xé>", "<0x>"]), []);
        assert_eq!(found(&["<0x0A>", "<0xC3>", "<0xA9>"]), [(1..3, 'é')]);
        assert_eq!(found(&[]), []);
    }
}
