//! Which characters a token writes: text with a byte range per token, and text as tokens arrive.

use std::ops::Range;

use crate::tokenizer::TextTokenizer;

/// The text of a token sequence and where each token stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spelled {
    /// The decoded text, special tokens left out.
    pub text: String,
    /// For each token the bytes of `text` it writes; empty for special tokens. Byte tokens that make one
    /// character together all cover that character.
    pub spans: Vec<Range<usize>>,
}

impl TextTokenizer {
    /// The text of `ids`, as `decode(ids, true)` gives it, with the byte range of every token.
    pub fn spans(&self, ids: &[u32]) -> Spelled {
        spell(ids.iter().map(|&id| self.piece(id, true)))
    }

    /// A decoder for tokens as they are generated.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream { tokenizer: self, run: Vec::new() }
    }
}

/// Turns tokens into text while they are made.
///
/// What it emits, put together, is what [`TextTokenizer::decode`] gives for all the tokens. A run of byte tokens is
/// therefore held back until it ends: only then it is known to be a character or broken.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a TextTokenizer,
    run: Vec<u8>,
}

impl TextStream<'_> {
    /// Takes the next token; returns the text that is certain now, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        match self.tokenizer.piece(id, true) {
            Piece::Nothing => None,
            Piece::Byte(byte) => {
                self.run.push(byte);
                None
            }
            Piece::Text(text) => {
                let whole = self.finish().unwrap_or_default() + &text;
                (!whole.is_empty()).then_some(whole)
            }
        }
    }

    /// What was held back. The stream can go on afterwards.
    pub fn finish(&mut self) -> Option<String> {
        let run = std::mem::take(&mut self.run);
        (!run.is_empty()).then(|| run_text(run))
    }
}

/// What one token contributes to text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Special tokens and ids without a token.
    Nothing,
    /// One byte of a character the vocabulary lacks.
    Byte(u8),
    /// Characters.
    Text(String),
}

impl Piece {
    /// `<0x41>` is a byte; anything else is text with `▁` for spaces (the steps of the tokenizer's decoder).
    pub(crate) fn of_token(token: &str) -> Self {
        let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
        match hex.filter(|hex| hex.len() == 2).map(|hex| u8::from_str_radix(hex, 16)) {
            Some(Ok(byte)) => Self::Byte(byte),
            _ => Self::Text(token.replace('▁', " ")),
        }
    }
}

/// Puts the pieces together.
pub(crate) fn spell(pieces: impl Iterator<Item = Piece>) -> Spelled {
    let mut speller = Speller::default();
    for piece in pieces {
        speller.push(&piece);
    }
    speller.end_run();
    speller.spelled
}

/// The text of a run of byte tokens: its characters if it is valid UTF-8, else one mark per byte.
fn run_text(run: Vec<u8>) -> String {
    let n_bytes = run.len();
    String::from_utf8(run).unwrap_or_else(|_| "\u{fffd}".repeat(n_bytes))
}

#[derive(Default)]
struct Speller {
    spelled: Spelled,
    /// Bytes whose characters are not known yet, and the tokens they came from.
    run: Vec<u8>,
    run_tokens: Vec<usize>,
}

impl Speller {
    fn push(&mut self, piece: &Piece) {
        if let Piece::Text(text) = piece {
            self.end_run();
            self.spelled.text += text;
        }
        let (end, token) = (self.spelled.text.len(), self.spelled.spans.len());
        let start = if let Piece::Text(text) = piece { end - text.len() } else { end };
        if let Piece::Byte(byte) = piece {
            self.run.push(*byte);
            self.run_tokens.push(token);
        }
        self.spelled.spans.push(start..end);
    }

    /// Writes the held bytes and gives each token the character its byte belongs to.
    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        let n_bytes = run.len();
        let text = run_text(run);
        let whole = text.len() == n_bytes; // a mark takes three bytes
        let mut tokens = self.run_tokens.drain(..);
        for (at, letter) in text.char_indices() {
            let start = self.spelled.text.len() + at;
            let span = start..start + letter.len_utf8();
            let n_tokens = if whole { letter.len_utf8() } else { 1 };
            for token in tokens.by_ref().take(n_tokens) {
                self.spelled.spans[token] = span.clone();
            }
        }
        drop(tokens);
        self.spelled.text += &text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(tokens: &[&str]) -> Spelled {
        spell(tokens.iter().map(|token| match *token {
            "" => Piece::Nothing,
            token => Piece::of_token(token),
        }))
    }

    #[test]
    fn tokens_cover_their_characters() {
        let got = spelled(&["a▁", "", "bc"]);
        assert_eq!(got.text, "a bc");
        assert_eq!(got.spans, [0..2, 2..2, 2..4]);
    }

    #[test]
    fn bytes_of_one_character_share_it() {
        let got = spelled(&["x", "<0xC3>", "<0xA9>", "<0x41>", "y"]);
        assert_eq!(got.text, "xéAy");
        assert_eq!(got.spans, [0..1, 1..3, 1..3, 3..4, 4..5]);
    }

    #[test]
    fn broken_bytes_are_marked_one_by_one() {
        let got = spelled(&["<0xC3>", "<0x41>", "y"]);
        assert_eq!(got.text, "\u{fffd}\u{fffd}y");
        assert_eq!(got.spans, [0..3, 3..6, 6..7]);
    }

    #[test]
    fn what_only_looks_like_a_byte_is_text() {
        for token in ["<0x4>", "<0xZZ>", "0x41", "<0x411>", "<0xé>"] {
            assert_eq!(Piece::of_token(token), Piece::Text(token.into()));
        }
    }
}
