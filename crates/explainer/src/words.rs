//! The words of an answer.

use std::ops::Range;

use relevancy_visualization::word_ranges;

use crate::{Answer, Token};

/// Which words of an answer are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Words {
    /// Every word.
    All,
    /// All but English function words: articles, prepositions, pronouns, auxiliary verbs. Negations are content.
    Content,
    /// No word.
    #[default]
    None,
}

/// Words that say nothing of a picture by themselves.
const FUNCTION_WORDS: &[&str] = &[
    "a", "an", "and", "any", "are", "as", "at", "be", "been", "being", "but", "by", "can", "could",
    "did", "do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "i", "if", "in",
    "into", "is", "it", "its", "may", "might", "of", "on", "or", "our", "she", "should", "so",
    "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "those", "to", "was", "we", "were", "which", "will", "with", "would", "you", "your",
];

impl Answer {
    /// The words of the answer as positions of the tokens that write them, in reading order: those of Unicode (UAX #29) with a letter
    /// or a digit in them. Words that share a token are one.
    pub fn words(&self, which: Words) -> Vec<Range<usize>> {
        let text = self.text();
        let base = self.text.len() - text.len(); // the answer is the end of the generated text
        let tokens = &self.tokens[self.proper.clone()];
        let mut words: Vec<Range<usize>> = Vec::new();
        for bytes in
            word_ranges(text).into_iter().filter(|bytes| is_meant(&text[bytes.clone()], which))
        {
            let writes = |token: &Token| {
                let span = token.span.clone().unwrap_or_default();
                span.start < base + bytes.end && base + bytes.start < span.end
            };
            let first = tokens.iter().position(writes);
            let (Some(first), Some(last)) = (first, tokens.iter().rposition(writes)) else {
                continue;
            };
            let positions = self.proper.start + first..self.proper.start + last + 1;
            match words.last_mut() {
                Some(before) if positions.start < before.end => before.end = positions.end,
                _ => words.push(positions),
            }
        }
        words
    }
}

fn is_meant(word: &str, which: Words) -> bool {
    match which {
        Words::All => true,
        Words::Content => !FUNCTION_WORDS.contains(&word.to_lowercase().as_str()),
        Words::None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negations_and_numbers_are_content() {
        for (word, content) in
            [("The", false), ("no", true), ("effusion", true), ("1.5", true), ("there", false)]
        {
            assert_eq!(is_meant(word, Words::Content), content, "{word}");
            assert!(is_meant(word, Words::All) && !is_meant(word, Words::None));
        }
    }
}
