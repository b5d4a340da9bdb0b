//! The options of `explain` that set a phrase against another.

use medgemma_explainer::{Ask, Explanations, PhraseExplanation};
use serde::{Deserialize, Serialize};

use crate::args::not_blank;
use crate::job::Named;
use crate::output;
use crate::targets::numbered;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct VersusArgs {
    /// Compare a phrase of the answer with the one that --against puts in its place: which of them the model favours, and what
    /// speaks for each. PHRASE#2 is its second occurrence; may be repeated, each time with its own --against
    #[arg(long, value_name = "PHRASE", value_parser = phrase, requires = "against", help_heading = "Targets")]
    phrase: Vec<Ask>,
    /// The words to put in the place of --phrase, such as "right lung" for "left lung"
    #[arg(long, value_name = "PHRASE", value_parser = not_blank(), requires = "phrase", help_heading = "Targets")]
    against: Vec<String>,
}

/// Pairs of one run: each is a sweep of its own.
const MOST_PAIRS: usize = 20;

/// A phrase of the answer, and the one in its place.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    pub(crate) phrase: Ask,
    pub(crate) against: String,
}

impl VersusArgs {
    /// The pairs; what is wrong where a phrase has no other.
    pub(crate) fn pairs(&self) -> Result<Vec<Pair>, String> {
        let (phrases, others) = (self.phrase.len(), self.against.len());
        if phrases != others {
            return Err(format!(
                "--phrase is given {phrases} times and --against {others} times; each --phrase needs its own --against"
            ));
        }
        let pairs = self.phrase.iter().cloned().zip(self.against.iter().cloned());
        Ok(pairs.map(|(phrase, against)| Pair { phrase, against }).collect())
    }
}

/// What is wrong with pairs, when options bear such names.
pub(crate) fn problem(pairs: &[Pair], named: Named) -> Option<String> {
    let count = pairs.len();
    if MOST_PAIRS < count {
        let phrase = named("phrase");
        return Some(format!(
            "{phrase} is given {count} times; at most {MOST_PAIRS} pairs are explained"
        ));
    }
    let same = pairs.iter().find(|Pair { phrase, against }| {
        let Ask::Keyword { word, .. } = phrase else { return false };
        word.trim().to_lowercase() == against.trim().to_lowercase()
    });
    same.map(|Pair { against, .. }| {
        let [phrase, other] = ["phrase", "against"].map(named);
        format!("{phrase} and {other} are both {against:?}; name different words")
    })
}

fn phrase(text: &str) -> Result<Ask, String> {
    let (word, occurrence) = numbered(text)?;
    let occurrence = occurrence.ok_or_else(|| "#all is for --keyword".to_owned())?;
    Ok(Ask::Keyword { word: word.to_owned(), occurrence })
}

/// One line for each: both log-probabilities, and which phrase is favoured.
pub(crate) fn print(explanations: &Explanations) {
    if !explanations.versus.is_empty() {
        output::blank_line();
    }
    for versus in &explanations.versus {
        let [phrase, other] = [&versus.phrase, &versus.against].map(PhraseExplanation::text);
        let [of_phrase, of_other] =
            [&versus.phrase, &versus.against].map(PhraseExplanation::log_probability_text);
        let verdict = verdict([phrase, other], versus.log_ratio());
        output::line(format_args!(
            "{phrase:?} against {other:?}: log p {of_phrase} against {of_other}; {verdict}"
        ));
    }
}

fn verdict([phrase, other]: [&str; 2], log_ratio: f32) -> String {
    let favoured = match log_ratio {
        0.0 => return "neither is favoured".to_owned(),
        above if above > 0.0 => phrase,
        _ => other,
    };
    let by = log_ratio.abs();
    let times = match f64::from(by).exp() {
        few if few < 10.0 => format!("{few:.2}"),
        some if some < 1000.0 => format!("{some:.0}"),
        many => format!("{many:.0e}"),
    };
    format!("{favoured:?} is favoured by {by:.3} nats, {times} times as likely")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_favoured_phrase_is_named_with_how_much() {
        let verdict = |ratio| verdict(["left", "right"], ratio);
        assert_eq!(verdict(0.5), "\"left\" is favoured by 0.500 nats, 1.65 times as likely");
        assert_eq!(verdict(-4.0), "\"right\" is favoured by 4.000 nats, 55 times as likely");
        assert_eq!(verdict(20.0), "\"left\" is favoured by 20.000 nats, 5e8 times as likely");
        assert_eq!(verdict(0.0), "neither is favoured");
    }

    #[test]
    fn a_phrase_is_one_place() {
        assert!(phrase("left lung#all").is_err());
        let second = Ask::Keyword { word: "left lung".to_owned(), occurrence: 1 };
        assert_eq!(phrase("left lung#2").unwrap(), second);
    }
}
