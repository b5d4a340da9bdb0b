//! What is explained of an answer.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Object, Problem, ProblemKind, Whole, whole};

/// A part of the answer. In JSON an object of one field: `{"keyword": "opacity"}`, `{"answer_span": true}`; some take a second:
/// `{"keyword": "left", "occurrence": 2}`, `{"phrase": "left lung", "against": "right lung"}`.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Target {
    /// A word or phrase of the answer; case does not matter, and it must stand alone.
    Keyword {
        /// The word or phrase.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 10_000))]
        keyword: String,
        /// Which occurrence; by default the first.
        #[serde(skip_serializing_if = "Option::is_none")]
        occurrence: Option<Occurrence>,
    },
    /// A part of a word, or more.
    Substring {
        /// The text.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 10_000))]
        substring: String,
    },
    /// The token at this position, counted from 0 over prompt and answer.
    Position {
        /// The position.
        position: usize,
    },
    /// The tokens of some positions together.
    Tokens {
        /// The first position, and the one after the last.
        #[cfg_attr(feature = "openapi", schema(min_items = 2, max_items = 2))]
        tokens: [usize; 2],
    },
    /// A sentence of the answer.
    Sentence {
        /// Its number, from 1.
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        sentence: usize,
    },
    /// Characters of the answer.
    Characters {
        /// The first character, counted from 0, and the one after the last.
        #[cfg_attr(feature = "openapi", schema(min_items = 2, max_items = 2))]
        characters: [usize; 2],
    },
    /// The values of a field in JSON that the answer holds.
    Field {
        /// Its name, such as `label`.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 10_000))]
        field: String,
    },
    /// The whole answer.
    AnswerSpan {
        /// `true`.
        answer_span: Yes,
    },
    /// A phrase of the answer against another in its place.
    Phrase {
        /// The phrase.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 10_000))]
        phrase: String,
        /// The words in its place.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 10_000))]
        against: String,
    },
}

/// Which occurrence of a word: its number, from 1, or `"all"`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Occurrence {
    /// The number, from 1.
    Number(#[serde(deserialize_with = "whole::one")] usize),
    /// Every one, each a target of its own.
    Every(All),
}

/// `"all"`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum All {
    /// `"all"`.
    All,
}

/// `true`: a field that is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yes;

impl Serialize for Yes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Yes {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        let allowed = Some([serde_json::Value::Bool(true)]);
        ObjectBuilder::new().schema_type(Type::Boolean).enum_values(allowed).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Yes {}

/// All fields that a target may have. Read as such, what is wrong can be named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    keyword: Option<String>,
    occurrence: Option<Occurrence>,
    substring: Option<String>,
    position: Option<Whole<usize>>,
    tokens: Option<[Whole<usize>; 2]>,
    sentence: Option<Whole<usize>>,
    characters: Option<[Whole<usize>; 2]>,
    field: Option<String>,
    answer_span: Option<bool>,
    phrase: Option<String>,
    against: Option<String>,
}

/// Characters of a text of a target.
const LONGEST: usize = 10_000;

/// What a target may be, for messages.
const KINDS: &str = "keyword, substring, position, tokens, sentence, characters, field, answer_span, or phrase with against";

impl TryFrom<Fields> for Target {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { keyword, occurrence, substring, position, tokens, .. } = fields;
        let Fields { sentence, characters, field, answer_span, phrase, against, .. } = fields;
        if occurrence.is_some() && keyword.is_none() {
            return Err("a target's occurrence is that of a keyword: name the keyword".to_owned());
        }
        if against.is_some() != phrase.is_some() {
            return Err("a target needs phrase and against together".to_owned());
        }
        let phrase = phrase.zip(against);
        let answer_span = match answer_span {
            Some(false) => {
                return Err("answer_span is true or left out".to_owned());
            }
            Some(true) => Some(Self::AnswerSpan { answer_span: Yes }),
            None => None,
        };
        let found = [
            keyword.map(|keyword| Self::Keyword { keyword, occurrence }),
            substring.map(|substring| Self::Substring { substring }),
            position.map(|Whole(position)| Self::Position { position }),
            tokens.map(|tokens| Self::Tokens { tokens: tokens.map(|Whole(at)| at) }),
            sentence.map(|Whole(sentence)| Self::Sentence { sentence }),
            characters.map(|range| Self::Characters { characters: range.map(|Whole(at)| at) }),
            field.map(|field| Self::Field { field }),
            answer_span,
            phrase.map(|(phrase, against)| Self::Phrase { phrase, against }),
        ];
        let mut found = found.into_iter().flatten();
        match (found.next(), found.next()) {
            (Some(target), None) => Ok(target),
            (None, _) => Err(format!("a target is empty; use one of {KINDS}")),
            (Some(_), Some(_)) => Err(format!("a target is two at once; use one of {KINDS}")),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(fields) = Object::<Fields>::deserialize(deserializer)?;
        fields.try_into().map_err(serde::de::Error::custom)
    }
}

impl Target {
    /// What is wrong with it, whatever the answer will be.
    ///
    /// # Errors
    /// [`ProblemKind::Target`]: a blank text or one of more than 10 000 characters, a number from 1 that is 0, an empty range.
    pub fn check(&self) -> Result<(), Problem> {
        let problem = |message: &str| Err(Problem::new(ProblemKind::Target, message));
        let texts: &[&String] = match self {
            Self::Keyword { keyword: text, .. }
            | Self::Substring { substring: text }
            | Self::Field { field: text } => &[text],
            Self::Phrase { phrase, against } => &[phrase, against],
            _ => &[],
        };
        if texts.iter().any(|text| text.trim().is_empty()) {
            return problem("the text of a target is blank");
        }
        if texts.iter().any(|text| LONGEST < text.chars().count()) {
            return problem("the text of a target has more than 10000 characters");
        }
        match self {
            Self::Keyword { occurrence: Some(Occurrence::Number(0)), .. }
            | Self::Sentence { sentence: 0 } => {
                problem("occurrences and sentences are counted from 1")
            }
            Self::Tokens { tokens: [start, end] }
            | Self::Characters { characters: [start, end] }
                if end <= start =>
            {
                problem("the range of a target is [A, B] with A below B")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Target, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_survives_being_written_and_read() {
        let all = [
            r#"{"keyword":"a"}"#,
            r#"{"keyword":"a","occurrence":2}"#,
            r#"{"keyword":"a","occurrence":"all"}"#,
            r#"{"substring":"a"}"#,
            r#"{"position":3}"#,
            r#"{"tokens":[3,5]}"#,
            r#"{"sentence":1}"#,
            r#"{"characters":[0,4]}"#,
            r#"{"field":"label"}"#,
            r#"{"answer_span":true}"#,
            r#"{"phrase":"a","against":"b"}"#,
        ];
        for json in all {
            let target = read(json).unwrap();
            target.check().unwrap();
            assert_eq!(serde_json::to_string(&target).unwrap(), json);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, part) in [
            ("{}", "is empty"),
            (r#"{"keyword":"a","sentence":1}"#, "two at once"),
            (r#"{"keyward":"a"}"#, "keyward"),
            (r#"{"phrase":"a"}"#, "together"),
            (r#"{"against":"a"}"#, "together"),
            (r#"{"answer_span":false}"#, "true or left out"),
            (r#"{"occurrence":1,"answer_span":true}"#, "name the keyword"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
        for json in [
            r#"{"keyword":" "}"#,
            r#"{"keyword":"a","occurrence":0}"#,
            r#"{"sentence":0}"#,
            r#"{"tokens":[5,5]}"#,
            r#"{"phrase":"a","against":""}"#,
        ] {
            assert!(read(json).unwrap().check().is_err(), "{json}");
        }
        let keyword = |length| Target::Keyword { keyword: "ä".repeat(length), occurrence: None };
        assert!(keyword(LONGEST).check().is_ok() && keyword(LONGEST + 1).check().is_err());
    }
}
