//! The words of an answer.

use std::ops::Range;

use relevancy_visualization::TextRelevancy;

use crate::Answer;

/// Which words of an answer are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// The words of the answer as positions of their tokens, in reading order: those of Unicode (UAX #29) with a letter or a
    /// digit in them. A token that reaches over several words joins them.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail: the values are zero")]
    pub fn words(&self, which: Words) -> Vec<Range<usize>> {
        if which == Words::None {
            return Vec::new();
        }
        let first = self.proper.start;
        let tokens =
            self.tokens[self.proper.clone()].iter().map(|token| (token.text.as_str(), 0.0));
        let text = TextRelevancy::from_tokens(tokens, &[]).expect("zero is finite").words();
        let chosen = text.pieces().iter().filter(|piece| is_meant(&piece.text, which));
        chosen.map(|piece| first + piece.tokens.start..first + piece.tokens.end).collect()
    }
}

fn is_meant(text: &str, which: Words) -> bool {
    let word = text.trim().to_lowercase();
    word.contains(char::is_alphanumeric)
        && (which == Words::All || !FUNCTION_WORDS.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negations_and_numbers_are_content() {
        for (text, content) in
            [(" The", false), (" no", true), ("effusion", true), (" 1.5", true), ("there", false)]
        {
            assert_eq!(is_meant(text, Words::Content), content, "{text}");
            assert!(is_meant(text, Words::All));
        }
        assert!(
            ![".", " ", "\n", "**", "<end_of_turn>"[..1].as_ref()]
                .iter()
                .any(|t| is_meant(t, Words::All))
        );
    }
}
