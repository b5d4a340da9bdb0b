//! What a text says of a word: that it is so, that it is not, or nothing.

use relevancy_visualization::word_ranges;
use serde::{Deserialize, Serialize};

/// How a word stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stated {
    /// It is there, at least once without a negation before it.
    Affirmed,
    /// It is there, and each time denied: "no effusion".
    Denied,
    /// It is not there.
    Absent,
}

/// English words that deny what follows in the same clause.
const NEGATIONS: [&str; 9] =
    ["no", "not", "without", "neither", "nor", "none", "absence", "cannot", "never"];
/// English words that end what a negation before them reaches.
const TURNS: [&str; 4] = ["but", "however", "although", "yes"];

/// How a word or phrase stands in a text, whatever its case. It is denied where one of the English negations stands before it in the same
/// clause; a clause ends at `.`, `!`, `?`, `;`, `:`, a line break and words like "but". A negation is itself affirmed where it stands.
pub fn stated(text: &str, phrase: &str) -> Stated {
    let wanted: Vec<String> = words(phrase).into_iter().map(|(word, _)| word).collect();
    let (mut denied, mut found) = (false, Stated::Absent);
    let words = words(text);
    for (at, (word, begins)) in words.iter().enumerate() {
        if *begins || TURNS.contains(&word.as_str()) {
            denied = false;
        }
        let rest = words[at..].iter().map(|(word, _)| word);
        let is_here = !wanted.is_empty()
            && wanted.len() <= words.len() - at
            && rest.zip(&wanted).all(|(a, b)| a == b);
        if is_here && !denied {
            return Stated::Affirmed;
        }
        if is_here {
            found = Stated::Denied;
        }
        denied |= NEGATIONS.contains(&word.as_str());
    }
    found
}

/// Whether an answer says what is right. Where that is "yes" or "no" the first word of the answer decides; otherwise what is right must be
/// affirmed somewhere in it.
pub fn is_right(answer: &str, right: &str) -> bool {
    match yes_or_no(right) {
        Some(expected) if words(right).len() == 1 => yes_or_no(answer) == Some(expected),
        _ => stated(answer, right) == Stated::Affirmed,
    }
}

/// Whether a text begins with "yes" or with "no".
pub fn yes_or_no(text: &str) -> Option<bool> {
    match words(text).first()?.0.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Whether two answers are the same but for case, punctuation and spaces.
pub fn is_same(a: &str, b: &str) -> bool {
    let bare = |text: &str| words(text).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    bare(a) == bare(b)
}

/// The words in lower case, each with whether a clause begins with it.
fn words(text: &str) -> Vec<(String, bool)> {
    let mut end = 0;
    let word = |range: std::ops::Range<usize>| {
        let ends = |c: char| matches!(c, '.' | '!' | '?' | ';' | ':' | '\n');
        let begins = end == 0 || text[end..range.start].contains(ends);
        end = range.end;
        (text[range].to_lowercase(), begins)
    };
    word_ranges(text).into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negation_reaches_to_the_end_of_its_clause() {
        use Stated::{Absent, Affirmed, Denied};
        for (text, expected) in [
            ("There is an opacity in the left lung.", Affirmed),
            ("Opacity: none.", Affirmed),
            ("No opacity.", Denied),
            ("There is no nodule or opacity.", Denied),
            ("No nodule. An opacity is seen.", Affirmed),
            ("No nodule, but an opacity.", Affirmed),
            ("No. There is an opacity.", Affirmed),
            ("No opacity on the right; an opacity on the left.", Affirmed),
            ("The lungs are clear.", Absent),
            ("Opacities.", Absent),
            ("", Absent),
        ] {
            assert_eq!(stated(text, "opacity"), expected, "{text}");
        }
        assert_eq!(stated("A Pleural  Effusion.", "pleural effusion"), Affirmed);
        assert_eq!(stated("A pleural line.", "pleural effusion"), Absent);
        assert_eq!(stated("No, there is none.", "no"), Affirmed);
        assert_eq!(stated("anything", ""), Absent);
    }

    #[test]
    fn yes_and_no_are_first_words() {
        assert!(is_right("Yes, there is no doubt.", "Yes"));
        assert!(!is_right("Yes, there is no doubt.", "no"));
        assert!(is_right("No, there is no opacity.", "no"));
        assert!(is_right("There is a nodule.", "nodule"));
        assert!(!is_right("No nodule.", "nodule"));
        assert!(is_right("No nodule.", "no nodule"));
    }

    #[test]
    fn answers_are_compared_by_their_words() {
        assert!(is_same("Yes, there is.", "yes  there is"));
        assert!(!is_same("Yes.", "No."));
    }
}
