//! Parts of an answer's text, as the tokens that write them.

use std::ops::Range;

use gemma3_processor::Spelled;
use serde::de::IgnoredAny;

use crate::Error;
use crate::error::Cause;

/// The tokens of sentence `index`, from 0.
pub(crate) fn sentence(spelled: &Spelled, index: usize) -> Result<Range<usize>, Error> {
    let sentences = spelled.sentences();
    let found = sentences.get(index).and_then(|bytes| spelled.tokens_of(bytes));
    found.ok_or_else(|| Cause::NoSentence { index, sentences: sentences.len() }.into())
}

/// The tokens of some characters.
pub(crate) fn characters(spelled: &Spelled, range: &Range<usize>) -> Result<Range<usize>, Error> {
    let starts: Vec<usize> = spelled.text.char_indices().map(|(byte, _)| byte).collect();
    let none = || Cause::NoCharacters { range: range.clone(), characters: starts.len() }.into();
    if starts.len() < range.end || range.is_empty() {
        return Err(none());
    }
    let end = starts.get(range.end).copied().unwrap_or(spelled.text.len());
    spelled.tokens_of(&(starts[range.start]..end)).ok_or_else(none)
}

/// The tokens of each value of a field, without the quotes of a string.
pub(crate) fn fields(spelled: &Spelled, name: &str) -> Result<Vec<Range<usize>>, Error> {
    let values = field_values(&spelled.text, name);
    let found: Vec<_> = values.iter().filter_map(|bytes| spelled.tokens_of(bytes)).collect();
    if found.is_empty() {
        return Err(Cause::NoField { name: name.to_owned(), text: spelled.text.clone() }.into());
    }
    Ok(found)
}

/// The bytes of what stands behind `"name":`, wherever that is JSON; an answer may hold several pieces of it, and other text.
fn field_values(text: &str, name: &str) -> Vec<Range<usize>> {
    let key = serde_json::Value::from(name).to_string();
    let value = |(at, key): (usize, &str)| {
        let after = at + key.len();
        let rest = text[after..].trim_start().strip_prefix(':')?.trim_start();
        let start = text.len() - rest.len();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        // A string without its quotes.
        let quote = usize::from(rest.starts_with('"'));
        let (start, end) = (start + quote, start + values.byte_offset() - quote);
        (start < end).then_some(start..end)
    };
    text.match_indices(&key).filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
        field_values(text, name).into_iter().map(|bytes| &text[bytes]).collect()
    }

    #[test]
    fn fields_are_found_in_json_and_beside_text() {
        let text = r#"See ```json [{"box_2d": [1, 2, 3, 4], "label": "left \"small\" effusion"}, {"label" : "nodule", "sure": true}] ``` label: x"#;
        assert_eq!(values(text, "label"), [r#"left \"small\" effusion"#, "nodule"]);
        assert_eq!(values(text, "box_2d"), ["[1, 2, 3, 4]"]);
        assert_eq!(values(text, "sure"), ["true"]);
        assert_eq!(values(text, "none"), [""; 0]);
        assert_eq!(values(r#"{"a": "cut off"#, "a"), [""; 0]);
        assert_eq!(values(r#"{"a": ""}"#, "a"), [""; 0], "nothing is no target");
    }

    fn spelled(tokens: &[&str]) -> Spelled {
        let mut spelled = Spelled::default();
        for token in tokens {
            let start = spelled.text.len();
            spelled.text += token;
            spelled.spans.push(start..spelled.text.len());
        }
        spelled
    }

    #[test]
    fn sentences_and_characters_are_tokens() {
        let text = spelled(&["Née", " small", ".", " The", " rest", " is", " clear", "."]);
        assert_eq!(sentence(&text, 0).unwrap(), 0..3);
        assert_eq!(sentence(&text, 1).unwrap(), 3..8);
        let error = sentence(&text, 2).unwrap_err().to_string();
        assert!(error.contains("no sentence 3; the answer has 2"), "{error}");
        assert_eq!(characters(&text, &(1..5)).unwrap(), 0..2, "é is one character");
        let empty = 4..4;
        for range in [0..100, empty] {
            assert!(characters(&text, &range).is_err());
        }
    }
}
