//! The options of `explain` that say what is explained.

use std::ops::Range;

use clap::{ArgMatches, Command, FromArgMatches, ValueEnum};
use medgemma_explainer::{Ask, SpanRule};
use serde::{Deserialize, Serialize};

use crate::args::not_blank;

/// What is explained, in the order of the command line.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TargetArgs {
    asks: Vec<Ask>,
    span: SpanArg,
    pub(crate) trace: bool,
}

/// The options as clap reads them: each kind by itself.
#[derive(clap::Args, Debug)]
struct Options {
    /// Explain the token at this position, counted from 0 over prompt and answer, or with A..B the tokens A to B−1 together; may
    /// be repeated
    #[arg(long, value_name = "N|A..B", value_parser = position, help_heading = "Targets")]
    position: Vec<Ask>,
    /// Explain a word or phrase of the answer, ignoring case; WORD#2 is its second occurrence, WORD#all all of them; may be
    /// repeated
    #[arg(long, value_name = "WORD", value_parser = keyword, help_heading = "Targets")]
    keyword: Vec<Ask>,
    /// Like --keyword, but also matches part of a word
    #[arg(long, value_name = "TEXT", value_parser = substring, help_heading = "Targets")]
    substring: Vec<Ask>,
    /// Explain a sentence of the answer, counted from 1; may be repeated
    #[arg(long, value_name = "N", value_parser = sentence, help_heading = "Targets")]
    sentence: Vec<Ask>,
    /// Explain the characters A to B−1 of the answer, counted from 0; may be repeated
    #[arg(long, value_name = "A..B", value_parser = characters, help_heading = "Targets")]
    characters: Vec<Ask>,
    /// Explain the values of a JSON field in the answer, such as label; may be repeated
    #[arg(long, value_name = "NAME", value_parser = not_blank(), help_heading = "Targets")]
    field: Vec<String>,
    /// Explain the whole answer
    #[arg(long, help_heading = "Targets")]
    answer_span: bool,
    /// How the explanations of several tokens are combined
    #[arg(long, value_enum, default_value_t, help_heading = "Targets")]
    span: SpanArg,
    /// Also look for words, sentences and characters in the thinking trace
    #[arg(long, help_heading = "Targets")]
    trace: bool,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum SpanArg {
    /// Mean of the explanations of the tokens
    #[default]
    Mean,
    /// A single explanation, of the sum of their objectives
    Sum,
    /// Mean of the explanations of the tokens, weighted by what the pictures add to the log-probability of each
    Reliance,
}

/// Targets of one run: each has files of its own and a line in every figure.
const MOST_TARGETS: usize = 100;

impl TargetArgs {
    /// What is more than one run explains.
    pub(crate) fn too_many(&self) -> Option<String> {
        let count = self.asks().len();
        (MOST_TARGETS < count).then(|| {
            format!("{count} targets are requested; one run explains at most {MOST_TARGETS}")
        })
    }

    pub(crate) fn asks(&self) -> &[Ask] {
        &self.asks
    }

    /// Adds a target behind the others.
    pub(crate) fn push(&mut self, ask: Ask) {
        self.asks.push(ask);
    }

    /// Whether a rule for spans was named that is not the default.
    pub(crate) fn has_span_rule(&self) -> bool {
        self.span != SpanArg::default()
    }

    pub(crate) fn span(&self) -> SpanRule {
        match self.span {
            SpanArg::Mean => SpanRule::Mean,
            SpanArg::Sum => SpanRule::Sum,
            SpanArg::Reliance => SpanRule::Reliance,
        }
    }
}

impl Options {
    /// All that is asked for, in the order in which it was given.
    fn in_order(&self, matches: &ArgMatches) -> Vec<Ask> {
        let fields: Vec<Ask> = self.field.iter().cloned().map(Ask::Field).collect();
        let answer: Vec<Ask> = self.answer_span.then_some(Ask::Answer).into_iter().collect();
        let kinds = [
            ("position", &self.position),
            ("keyword", &self.keyword),
            ("substring", &self.substring),
            ("sentence", &self.sentence),
            ("characters", &self.characters),
            ("field", &fields),
            ("answer_span", &answer),
        ];
        let mut asks: Vec<(usize, Ask)> = Vec::new();
        for (name, kind) in kinds {
            let places = matches.indices_of(name).into_iter().flatten();
            asks.extend(places.zip(kind.iter().cloned()));
        }
        asks.sort_by_key(|(place, _)| *place);
        asks.into_iter().map(|(_, ask)| ask).collect()
    }
}

impl FromArgMatches for TargetArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let options = Options::from_arg_matches(matches)?;
        let asks = options.in_order(matches);
        Ok(Self { asks, span: options.span, trace: options.trace })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for TargetArgs {
    fn augment_args(command: Command) -> Command {
        Options::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args_for_update(command)
    }
}

fn position(text: &str) -> Result<Ask, String> {
    if let Ok(position) = text.parse() {
        return Ok(Ask::Position(position));
    }
    range(text).map(Ask::Tokens).ok_or_else(|| "give a position, or A..B with A below B".to_owned())
}

fn characters(text: &str) -> Result<Ask, String> {
    range(text).map(Ask::Characters).ok_or_else(|| "give A..B with A below B".to_owned())
}

fn sentence(text: &str) -> Result<Ask, String> {
    let number = text.parse().ok().filter(|number| 0_usize < *number);
    let number = number.ok_or_else(|| "give the number of a sentence, from 1".to_owned())?;
    Ok(Ask::Sentence(number - 1))
}

fn keyword(text: &str) -> Result<Ask, String> {
    let (word, occurrence) = numbered(text)?;
    let word = word.to_owned();
    Ok(match occurrence {
        Some(occurrence) => Ask::Keyword { word, occurrence },
        None => Ask::Every { word },
    })
}

fn substring(text: &str) -> Result<Ask, String> {
    let (part, occurrence) = numbered(text)?;
    let occurrence = occurrence.ok_or_else(|| "#all is for --keyword".to_owned())?;
    Ok(Ask::Substring { text: part.to_owned(), occurrence })
}

/// `word`, `word#2` for the second occurrence (from 0: 1), `word#all` for every one (none).
pub(crate) fn numbered(text: &str) -> Result<(&str, Option<usize>), String> {
    if text.trim().is_empty() {
        return Err("it is blank".to_owned());
    }
    let marked = text.rsplit_once('#').filter(|(word, _)| !word.is_empty());
    Ok(match marked.map(|(word, number)| (word, number, number.parse::<usize>())) {
        Some((word, "all", _)) => (word, None),
        Some((word, _, Ok(0))) => {
            return Err(format!("occurrences are counted from 1: {word}#1 is the first"));
        }
        Some((word, _, Ok(number))) => (word, Some(number - 1)),
        _ => (text, Some(0)),
    })
}

/// `A..B` with A below B.
fn range(text: &str) -> Option<Range<usize>> {
    let (start, end) = text.split_once("..")?;
    let range = start.trim().parse().ok()?..end.trim().parse().ok()?;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[test]
    fn a_keyword_may_name_its_occurrence() {
        let keyword = |text: &str| super::keyword(text).unwrap();
        let nth = |word: &str, occurrence| Ask::Keyword { word: word.to_owned(), occurrence };
        assert_eq!(keyword("heart"), nth("heart", 0));
        assert_eq!(keyword("heart#2"), nth("heart", 1));
        assert_eq!(keyword("heart#all"), Ask::Every { word: "heart".to_owned() });
        assert_eq!(keyword("C#"), nth("C#", 0));
        assert_eq!(keyword("#1"), nth("#1", 0));
        assert!(super::keyword(" ").is_err());
        assert!(super::keyword("heart#0").unwrap_err().contains("heart#1 is the first"));
        assert!(substring("effus#all").is_err());
    }

    #[test]
    fn targets_stand_in_the_order_of_the_command_line() {
        let line = [
            "x",
            "--answer-span",
            "--keyword",
            "b",
            "--position",
            "7",
            "--keyword",
            "a",
            "--field",
            "f",
        ];
        let matches =
            TargetArgs::augment_args(Command::new("x")).try_get_matches_from(line).unwrap();
        let keyword = |word: &str| Ask::Keyword { word: word.to_owned(), occurrence: 0 };
        let expected =
            [Ask::Answer, keyword("b"), Ask::Position(7), keyword("a"), Ask::Field("f".to_owned())];
        assert_eq!(TargetArgs::from_arg_matches(&matches).unwrap().asks(), expected);
        let matches =
            TargetArgs::augment_args(Command::new("x")).try_get_matches_from(["x"]).unwrap();
        assert_eq!(TargetArgs::from_arg_matches(&matches).unwrap().asks(), []);
    }

    #[test]
    fn ranges_have_an_end_above_their_start() {
        assert_eq!(position("7").unwrap(), Ask::Position(7));
        assert_eq!(position("7..9").unwrap(), Ask::Tokens(7..9));
        assert_eq!(characters("0..3").unwrap(), Ask::Characters(0..3));
        assert_eq!(sentence("1").unwrap(), Ask::Sentence(0));
        for text in ["9..7", "7..7", "..7", "a", "-1"] {
            assert!(position(text).is_err() && characters(text).is_err(), "{text}");
        }
        assert!(sentence("0").is_err());
    }
}
