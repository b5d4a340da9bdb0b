//! Text relevancy: tokens with their values, merged to words, and how they are shown as text.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::{Error, bytes};

pub use ansi::ColorDepth;
pub(crate) use ansi::Painter;

mod ansi;
mod html;
mod plain;

/// A piece of text with its relevancy: a token, or a word.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The text, leading space included where there is one.
    pub text: String,
    /// The relevancy, raw.
    pub relevancy: f32,
    /// Whether the self term is in the value: the position that the explained token was predicted from. It is shown apart, and
    /// does not set the scale.
    pub is_self: bool,
    /// Whether it was [set apart](TextRelevancy::setting_apart): it has no bar, and does not set the scale.
    pub is_apart: bool,
    /// The tokens that it is made of, counted from the first of the text.
    pub tokens: Range<usize>,
}

impl Piece {
    /// Whether it takes part in scales, shares and lists.
    fn counts(&self) -> bool {
        !self.is_self && !self.is_apart
    }
}

/// Text with relevancy, piece by piece.
///
/// ```
/// use relevancy_visualization::TextRelevancy;
///
/// let tokens = [("Is", 0.1), (" there", 0.2), (" an", 0.0), (" eff", 0.5), ("usion", 0.4), ("?", 1.0)];
/// let text = TextRelevancy::from_tokens(tokens, &[5])?;
/// let words = text.words();
/// assert_eq!(words.pieces()[3].text, " effusion");
/// assert_eq!(words.plain(), "Is[8%] there[17%] an effusion[75%] ?[self]");
/// # Ok::<(), relevancy_visualization::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TextRelevancy {
    pieces: Vec<Piece>,
}

impl TextRelevancy {
    /// Text from its tokens, each with what it decodes to (the mark `▁` of `SentencePiece` counts as a space) and its relevancy;
    /// `self_positions` are the tokens that hold the self term, counted from the first.
    ///
    /// Byte tokens (`<0xF0>`) that make a character together are that character, one piece with the sum of their relevancy; it holds
    /// the self term if one of them does.
    ///
    /// # Errors
    /// [`Error::TokenNotFinite`].
    pub fn from_tokens<S: AsRef<str>>(
        tokens: impl IntoIterator<Item = (S, f32)>,
        self_positions: &[usize],
    ) -> Result<Self, Error> {
        let (texts, values): (Vec<S>, Vec<f32>) = tokens.into_iter().unzip();
        if let Some(token) = values.iter().position(|value| !value.is_finite()) {
            let text = texts[token].as_ref().to_owned();
            return Err(Error::TokenNotFinite { token, text, value: values[token] });
        }
        let piece = |text: String, tokens: Range<usize>| Piece {
            text,
            relevancy: values[tokens.clone()].iter().sum(),
            is_self: self_positions.iter().any(|position| tokens.contains(position)),
            is_apart: false,
            tokens,
        };
        let mut characters = bytes::characters(&texts).into_iter().peekable();
        let mut pieces = Vec::new();
        let mut token = 0;
        while token < texts.len() {
            let (text, tokens) = match characters.next_if(|found| found.tokens.start == token) {
                Some(found) => (found.text.to_string(), found.tokens),
                None => (texts[token].as_ref().replace('▁', " "), token..token + 1),
            };
            token = tokens.end;
            pieces.push(piece(text, tokens));
        }
        Ok(Self { pieces })
    }

    /// The same with some tokens, counted from the first, set apart: such as those that a chat template writes, which draw much
    /// relevancy and say little.
    #[must_use]
    pub fn setting_apart(mut self, tokens: &[usize]) -> Self {
        for piece in &mut self.pieces {
            piece.is_apart |= piece.tokens.clone().any(|token| tokens.contains(&token));
        }
        self
    }

    /// The sum of what was set apart, without the self term; `None` where nothing was.
    pub fn apart(&self) -> Option<f32> {
        let mut apart = self.pieces.iter().filter(|piece| piece.is_apart).peekable();
        apart.peek()?;
        Some(apart.filter(|piece| !piece.is_self).map(|piece| piece.relevancy).sum())
    }

    /// Whether a piece holds the self term.
    pub fn has_self(&self) -> bool {
        self.pieces.iter().any(|piece| piece.is_self)
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The same text by whole words: tokens within one word are joined and their relevancy is added. Words are those of Unicode
    /// (UAX #29), so punctuation stands alone; a hyphen or slash between letters joins. A token that reaches over several words
    /// joins them. The self term stays apart from what it would join.
    #[must_use]
    pub fn words(&self) -> Self {
        let text: String = self.pieces.iter().map(|piece| piece.text.as_str()).collect();
        let starts = word_starts(&text);
        let mut words: Vec<Piece> = Vec::new();
        let mut at = 0;
        for piece in &self.pieces {
            let begins = starts.binary_search(&at).is_ok();
            at += piece.text.len();
            match words.last_mut() {
                Some(word)
                    if !begins
                        && (word.is_self, word.is_apart) == (piece.is_self, piece.is_apart) =>
                {
                    word.text.push_str(&piece.text);
                    word.relevancy += piece.relevancy;
                    word.tokens.end = piece.tokens.end;
                }
                _ => words.push(piece.clone()),
            }
        }
        Self { pieces: words }
    }

    /// The pieces with the largest magnitude, largest first, no more than `n`: without the self term, what was set apart, zeros and
    /// white space.
    pub fn top(&self, n: usize) -> Vec<&Piece> {
        let counts = |piece: &&Piece| {
            piece.counts() && piece.relevancy != 0.0 && !piece.text.trim().is_empty()
        };
        let mut pieces: Vec<_> = self.pieces.iter().filter(counts).collect();
        pieces.sort_by(|a, b| b.relevancy.abs().total_cmp(&a.relevancy.abs()));
        pieces.truncate(n);
        pieces
    }

    /// The largest magnitude without the self term and what was set apart.
    pub fn max(&self) -> f32 {
        self.others().map(|piece| piece.relevancy.abs()).fold(0.0, f32::max)
    }

    fn others(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| piece.counts())
    }

    /// The value over `max`, within 0 and 1; none for the self term and what was set apart, and for all where `max` is zero.
    fn position(piece: &Piece, max: f32) -> Option<f32> {
        let shows = piece.counts() && piece.relevancy != 0.0 && 0.0 < max;
        shows.then(|| (piece.relevancy.abs() / max).min(1.0))
    }
}

/// The bytes of each word of a text that has a letter or digit: those of Unicode (UAX #29), joined by a hyphen or slash between
/// letters, as [`TextRelevancy::words`] has them.
pub fn word_ranges(text: &str) -> Vec<Range<usize>> {
    let starts = word_starts(text);
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let word = |(start, end): (usize, usize)| {
        let segment = &text[start..end];
        let start = start + (segment.len() - segment.trim_start().len());
        start..start + segment.trim().len()
    };
    let words = starts.iter().copied().zip(ends).map(word);
    words.filter(|word| text[word.clone()].contains(char::is_alphanumeric)).collect()
}

/// The bytes at which words begin; the space before a word belongs to it.
fn word_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut previous = "\n";
    let mut before = "";
    for (at, segment) in text.split_word_bound_indices() {
        let is_word = |s: &str| s.chars().all(char::is_alphanumeric) && !s.is_empty();
        let joins = |s: &str| s == "-" || s == "/";
        let next = text[at + segment.len()..].chars().next();
        let continues = is_blank(previous) && !previous.contains('\n') && !is_blank(segment)
            || joins(segment) && is_word(previous) && next.is_some_and(char::is_alphanumeric)
            || joins(previous) && is_word(before) && is_word(segment);
        if !continues {
            starts.push(at);
        }
        (before, previous) = (previous, segment);
    }
    starts
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokens: &[&str]) -> Vec<String> {
        let tokens = tokens.iter().map(|token| (*token, 1.0));
        let text = TextRelevancy::from_tokens(tokens, &[]).unwrap();
        text.words().pieces.into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn tokens_join_to_words() {
        assert_eq!(words(&["pneu", "mo", "thorax", ",", " left"]), ["pneumothorax", ",", " left"]);
        assert_eq!(
            words(&["▁a", "▁follow", "-", "up", " 1", ".", "5"]),
            [" a", " follow-up", " 1.5"]
        );
        assert_eq!(
            words(&["<start_of_turn>", "user", "\n", "Is"]),
            ["<start_of_turn>", "user", "\n", "Is"]
        );
        assert_eq!(
            words(&["a", " ", "b"]),
            ["a", " b"],
            "a space of its own belongs to the next word"
        );
    }

    #[test]
    fn byte_tokens_are_the_character_that_they_make() {
        // As Gemma's tokenizer spells lungs (U+1FAC1), which its vocabulary lacks.
        let tokens = ["▁", "<0xF0>", "<0x9F>", "<0xAB>", "<0x81>", " clear", "<0xF0>"];
        let values = [0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 0.0];
        let text = TextRelevancy::from_tokens(tokens.into_iter().zip(values), &[4]).unwrap();
        let piece = &text.pieces()[1];
        assert_eq!((piece.text.as_str(), piece.relevancy, piece.is_self), ("🫁", 10.0, true));
        assert_eq!(piece.tokens, 1..5);
        assert_eq!(text.pieces()[2].tokens, 5..6);
        assert_eq!(text.pieces()[3].text, "<0xF0>", "half a character");
        let apart = text.setting_apart(&[5]);
        assert!(!apart.pieces()[1].is_apart && apart.pieces()[2].is_apart);
        assert_eq!(words(&tokens), [" 🫁", " clear", "<0xF0>"]);
    }

    #[test]
    fn other_scripts_and_signs_keep_their_text() {
        for tokens in [
            &["انصباب", " جن", "بي"][..],
            &["胸", "部X", "線"],
            &["👨\u{200d}", "👩\u{200d}", "👧", " ok"],
            &["", "", " "],
            &["\u{fffd}", "\u{fffd}"],
        ] {
            assert_eq!(words(tokens).concat(), tokens.concat());
        }
        assert_eq!(words(&["انصباب", " جن", "بي"]), ["انصباب", " جنبي"]);
        assert!(words(&[]).is_empty());
    }

    #[test]
    fn words_of_a_text_have_letters() {
        let text = " A follow-up:  1.5 cm,  — نعم!";
        let words: Vec<&str> = word_ranges(text).into_iter().map(|bytes| &text[bytes]).collect();
        assert_eq!(words, ["A", "follow-up", "1.5", "cm", "نعم"]);
        assert!(word_ranges("").is_empty() && word_ranges(" .\n").is_empty());
    }

    #[test]
    fn the_self_term_stays_apart() {
        let text = TextRelevancy::from_tokens([("ef", 1.0), ("fusion", 2.0)], &[1]).unwrap();
        let words = text.words();
        assert_eq!(words.pieces().len(), 2);
        assert_eq!((words.max().to_bits(), words.top(9).len()), (1f32.to_bits(), 1));
    }

    #[test]
    fn what_is_set_apart_has_no_bar_and_joins_nothing() {
        let tokens = [("<bos>", 9.0), ("radiograph", 1.0), (".", 0.5), ("\n", 3.0), ("Right", 2.0)];
        let text = TextRelevancy::from_tokens(tokens, &[4]).unwrap().setting_apart(&[0, 3]);
        assert_eq!(text.apart(), Some(12.0));
        assert_eq!(text.max().to_bits(), 1f32.to_bits());
        let words = text.words();
        let top: Vec<&str> = words.top(9).into_iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(top, ["radiograph", "."]);
        assert!(words.plain().starts_with("<bos>radiograph[67%].[33%]"), "{}", words.plain());
        let none = TextRelevancy::from_tokens(tokens, &[]).unwrap();
        assert_eq!(none.apart(), None);
    }

    #[test]
    fn values_that_are_none_are_named() {
        let error = TextRelevancy::from_tokens([("a", 0.0), ("b", f32::NAN)], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "token 1 (\"b\") has the relevancy NaN: only finite values can be shown"
        );
    }
}
