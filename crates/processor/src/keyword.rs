//! Finding a word or phrase in generated text, and the tokens it takes.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::Error;
use crate::spelling::Spelled;

/// Tokens of the `nth` occurrence (from 0) of `keyword` in the text.
///
/// Case does not matter. White space in the keyword matches any white space. With `whole_word`, an occurrence that
/// continues into a further letter or digit (Unicode) does not count: `no` is not in `normal`. Occurrences do not
/// overlap. The range covers every token that writes a part of the keyword, and may so begin or end with more than it.
///
/// # Errors
/// [`Error::EmptyKeyword`]; [`Error::KeywordNotFound`] with the text that was searched.
pub fn find_keyword(
    spelled: &Spelled,
    keyword: &str,
    nth: usize,
    whole_word: bool,
) -> Result<Range<usize>, Error> {
    let letters: Vec<char> = fold(keyword.trim()).into_iter().map(|letter| letter.folded).collect();
    if letters.is_empty() {
        return Err(Error::EmptyKeyword);
    }
    let text = fold(&spelled.text);
    let found = occurrences(&text, &letters, whole_word);
    let tokens = found.get(nth).and_then(|bytes| tokens(spelled, bytes));
    tokens.ok_or_else(|| Error::KeywordNotFound {
        keyword: keyword.trim().into(),
        nth,
        found: found.len(),
        text: spelled.text.clone(),
    })
}

/// Tokens of every occurrence of `keyword` in the text, from left to right, as [`find_keyword`] counts them; at least one.
///
/// # Errors
/// As [`find_keyword`].
pub fn find_every(
    spelled: &Spelled,
    keyword: &str,
    whole_word: bool,
) -> Result<Vec<Range<usize>>, Error> {
    let mut all = vec![find_keyword(spelled, keyword, 0, whole_word)?];
    while let Ok(next) = find_keyword(spelled, keyword, all.len(), whole_word) {
        all.push(next);
    }
    Ok(all)
}

impl Spelled {
    /// The tokens that write some of these bytes of the text; none where no token does.
    pub fn tokens_of(&self, bytes: &Range<usize>) -> Option<Range<usize>> {
        tokens(self, bytes)
    }

    /// The bytes of each sentence (UAX #29) that has a letter or digit, white space around it left out.
    pub fn sentences(&self) -> Vec<Range<usize>> {
        let trimmed = |(start, sentence): (usize, &str)| {
            let start = start + (sentence.len() - sentence.trim_start().len());
            start..start + sentence.trim().len()
        };
        let speaks = |(_, sentence): &(usize, &str)| sentence.contains(char::is_alphanumeric);
        self.text.split_sentence_bound_indices().filter(speaks).map(trimmed).collect()
    }
}

/// A letter in lower case and the bytes it came from.
struct Letter {
    folded: char,
    bytes: Range<usize>,
}

/// Lower case; a run of white space becomes one space.
fn fold(text: &str) -> Vec<Letter> {
    let mut letters: Vec<Letter> = Vec::with_capacity(text.len());
    for (start, letter) in text.char_indices() {
        let bytes = start..start + letter.len_utf8();
        if !letter.is_whitespace() {
            letters.extend(
                letter.to_lowercase().map(|folded| Letter { folded, bytes: bytes.clone() }),
            );
            continue;
        }
        match letters.last_mut() {
            Some(last) if last.folded == ' ' => last.bytes.end = bytes.end,
            _ => letters.push(Letter { folded: ' ', bytes }),
        }
    }
    letters
}

/// Byte ranges of the keyword, from left to right.
fn occurrences(text: &[Letter], keyword: &[char], whole_word: bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(window) = text.get(at..at + keyword.len()) {
        let end = at + keyword.len();
        let same = window.iter().map(|letter| letter.folded).eq(keyword.iter().copied());
        if same && !(whole_word && (continues(text, at) || continues(text, end))) {
            found.push(window[0].bytes.start..window[window.len() - 1].bytes.end);
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// Whether a word goes on across position `at`.
fn continues(text: &[Letter], at: usize) -> bool {
    let word =
        |letter: Option<&Letter>| letter.is_some_and(|letter| letter.folded.is_alphanumeric());
    at > 0 && word(text.get(at - 1)) && word(text.get(at))
}

fn tokens(spelled: &Spelled, bytes: &Range<usize>) -> Option<Range<usize>> {
    let writes = |span: &Range<usize>| span.start < bytes.end && bytes.start < span.end;
    let first = spelled.spans.iter().position(writes)?;
    let last = spelled.spans.iter().rposition(writes)?;
    Some(first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens separated by `|`.
    fn spelled(tokens: &str) -> Spelled {
        let mut spelled = Spelled::default();
        for token in tokens.split('|') {
            let start = spelled.text.len();
            spelled.text += token;
            spelled.spans.push(start..spelled.text.len());
        }
        spelled
    }

    fn find(tokens: &str, keyword: &str, nth: usize) -> Option<Range<usize>> {
        find_keyword(&spelled(tokens), keyword, nth, true).ok()
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(find("nor|mal |lungs, |no |nod|ule", "no", 0), Some(3..4));
        assert_eq!(find("nor|mal |lungs", "no", 0), None);
        let inside = find_keyword(&spelled("nor|mal"), "no", 0, false);
        assert_eq!(inside.unwrap(), 0..1);
        assert_eq!(find("été|s", "été", 0), None);
        assert_eq!(find("x-|ray", "ray", 0), Some(1..2));
    }

    #[test]
    fn phrases_span_tokens_spaces_and_punctuation() {
        assert_eq!(find("a |pleu|ral\n|eff|usion|.", "Pleural  Effusion", 0), Some(1..5));
        assert_eq!(find("an |X-|ra|y.", "x-ray", 0), Some(1..4));
        assert_eq!(find("says |\"|no|\"", "\"no\"", 0), Some(1..4));
    }

    #[test]
    fn the_nth_is_counted_from_zero_without_overlap() {
        let text = "no |no |NO";
        assert_eq!(find(text, "no", 2), Some(2..3));
        assert_eq!(find("a a a", "a a", 1), None);
        match find_keyword(&spelled(text), "no", 3, true) {
            Err(Error::KeywordNotFound { found, nth, text, .. }) => {
                assert_eq!((found, nth, text.as_str()), (3, 3, "no no NO"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_keyword_takes_the_tokens_that_share_a_character() {
        let mut text = spelled("x|é");
        text.spans = vec![0..1, 1..3, 1..3];
        assert_eq!(find_keyword(&text, "É", 0, false).unwrap(), 1..3);
    }

    #[test]
    fn every_occurrence_is_found() {
        assert_eq!(find_every(&spelled("no |nor|mal |no"), "no", true).unwrap(), [0..1, 3..4]);
        let inside = find_every(&spelled("no |nor|mal |no"), "no", false).unwrap();
        assert_eq!(inside, [0..1, 1..2, 3..4]);
        assert!(find_every(&spelled("a"), "b", true).is_err());
    }

    #[test]
    fn sentences_are_those_that_say_something() {
        let text = spelled("The heart |is 1.5 times |too large. |\n\n- No effusion|!| …");
        let sentences: Vec<&str> =
            text.sentences().into_iter().map(|bytes| &text.text[bytes]).collect();
        assert_eq!(sentences[0], "The heart is 1.5 times too large.");
        assert!(sentences[1].ends_with("No effusion!"), "{sentences:?}");
        assert_eq!(sentences.len(), 2);
        assert_eq!(text.tokens_of(&(0..9)), Some(0..1));
        assert_eq!(text.tokens_of(&(900..901)), None);
    }

    #[test]
    fn a_blank_keyword_is_an_error() {
        assert!(matches!(find_keyword(&spelled("a"), " \n", 0, true), Err(Error::EmptyKeyword)));
    }
}
