//! Whether an answer relies on the pictures: what the probability of its words gains by them.

mod verdict;

pub use verdict::{DependsOnPicture, NATS_OF_A_CHANGE};

use attention_capture::forced_scores;
use attention_relevancy::Target;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::{Answer, Blank, Error, Explainer, Explanations, TargetExplanation};

/// What the pictures do to the probability of explained tokens.
#[derive(Clone, Debug)]
pub struct Reliance {
    /// What stood in the place of the pictures.
    pub blanks: Vec<Blank>,
    /// One for each of [`Explanations::targets`].
    pub targets: Vec<TargetReliance>,
    /// One for each of [`Explanations::words`].
    pub words: Vec<TargetReliance>,
    /// How long it took.
    pub duration: Duration,
}

/// How much a word or phrase relies on the pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetReliance {
    /// One for each of [`Reliance::blanks`].
    pub blanks: Vec<Gain>,
    /// Entropy of the relevancy of all image cells, divided by the logarithm of their number: 0 for all in one cell, 1 for an even
    /// map. `None` where no cell has any.
    pub map_entropy: Option<f32>,
}

/// What the pictures add to the log-probability of the tokens of a target, against one blank.
#[derive(Clone, Debug, PartialEq)]
pub struct Gain {
    /// Of each token, given all before it, with the blank in the place of the pictures.
    pub log_probabilities: Vec<f32>,
    /// `log p(token | pictures, text) − log p(token | blank, text)` of each token in nats: its pointwise mutual information with the
    /// pictures.
    pub token_pmi: Vec<f32>,
}

/// What a reader should know before looking at the map of a target. A flag is about the blanks that raise it and no others;
/// whether the target depends on the picture at all is for [`DependsOnPicture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flag {
    /// The gain is below zero by [`NATS_OF_A_CHANGE`] or more: the model finds it less likely with the picture than with the blank.
    Against,
    /// The gain is within [`NATS_OF_A_CHANGE`] of zero: it is as likely with the blank.
    AsLikely,
}

/// A flag with the blanks that raise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flagged {
    /// The flag.
    pub flag: Flag,
    /// Indices into [`Reliance::blanks`], at least one.
    pub blanks: Vec<usize>,
}

/// The log-probability of tokens by their position.
type ByPosition = BTreeMap<usize, f32>;

impl Explainer {
    /// What the pictures add to the log-probability of every explained target and word: one forward pass for each blank, whatever the
    /// number of words. The answer is given whole (teacher forcing), so that only the pictures differ.
    ///
    /// # Errors
    /// [`Error::NoPictures`] for a question without pictures.
    pub fn reliance(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        blanks: &[Blank],
    ) -> Result<Reliance, Error> {
        let started = Instant::now();
        let all = || explanations.targets.iter().chain(&explanations.words);
        let tokens = all().flat_map(|target| target.relevancy().targets().iter().copied());
        let without = self.without(answer, tokens, blanks)?;
        let reliance = |target: &TargetExplanation| {
            let (tokens, scores) = (target.relevancy().targets(), target.scores());
            let with = tokens.iter().zip(scores);
            let with: Vec<(usize, f32)> =
                with.map(|(token, score)| (token.position(), score.log_probability)).collect();
            TargetReliance {
                blanks: without.iter().map(|without| Gain::new(&with, without)).collect(),
                map_entropy: target.relevancy().image_entropy(),
            }
        };
        Ok(Reliance {
            blanks: blanks.to_vec(),
            targets: explanations.targets.iter().map(reliance).collect(),
            words: explanations.words.iter().map(reliance).collect(),
            duration: started.elapsed(),
        })
    }

    /// The same for words that nobody explained: what the pictures add to the tokens at each of `spans`, positions of the answer such
    /// as [`Answer::words`] gives. For each span one gain for each blank.
    ///
    /// # Errors
    /// [`Error::NoPictures`] for a question without pictures, [`attention_capture::Error::Target`] for a position outside the
    /// sequence.
    pub fn gains(
        &self,
        answer: &Answer,
        spans: &[Range<usize>],
        blanks: &[Blank],
    ) -> Result<Vec<Vec<Gain>>, Error> {
        let ids = answer.sequence.ids();
        let token = |position: usize| {
            let id = ids.get(position).copied().unwrap_or(u32::MAX);
            Target::new(position, id).map_err(attention_capture::Error::from)
        };
        let tokens: Vec<Target> =
            spans.iter().cloned().flatten().map(token).collect::<Result<_, _>>()?;
        let scores = forced_scores(&self.model, &answer.sequence, &tokens)?;
        let with = tokens.iter().zip(scores);
        let with: ByPosition =
            with.map(|(token, score)| (token.position(), score.log_probability)).collect();
        let without = self.without(answer, tokens.into_iter(), blanks)?;
        let of_span = |span: &Range<usize>| {
            let with: Vec<(usize, f32)> = span.clone().map(|at| (at, with[&at])).collect();
            without.iter().map(|without| Gain::new(&with, without)).collect()
        };
        Ok(spans.iter().map(of_span).collect())
    }

    /// The log-probability of the tokens with each blank in the place of the pictures.
    fn without(
        &self,
        answer: &Answer,
        tokens: impl Iterator<Item = Target>,
        blanks: &[Blank],
    ) -> Result<Vec<ByPosition>, Error> {
        let tokens: BTreeMap<usize, Target> =
            tokens.map(|token| (token.position(), token)).collect();
        let tokens: Vec<Target> = tokens.into_values().collect();
        let with_blank = |blank: &Blank| {
            if self.cancelled() {
                return Err(attention_capture::Error::Cancelled.into());
            }
            let scores = self.blank_scores(answer, blank, &tokens)?;
            let named = tokens.iter().zip(scores);
            Ok(named.map(|(token, score)| (token.position(), score.log_probability)).collect())
        };
        blanks.iter().map(with_blank).collect()
    }
}

impl TargetReliance {
    /// Whether it depends on the picture, by all `blanks` together (those of the [`Reliance`] that this belongs to).
    pub fn depends_on_picture(&self, blanks: &[Blank]) -> DependsOnPicture {
        DependsOnPicture::of(blanks.iter().zip(self.blanks.iter().map(Gain::pmi)))
    }

    /// What to beware of, and which of `blanks` say so. Empty where the picture makes it likelier than every blank does.
    pub fn flags(&self, blanks: &[Blank]) -> Vec<Flagged> {
        let those = |flag: Flag| -> Flagged {
            let gains = self.blanks.iter().zip(blanks).enumerate();
            let raising = gains.filter(|(_, (gain, _))| gain.flag() == Some(flag));
            Flagged { flag, blanks: raising.map(|(index, _)| index).collect() }
        };
        let found = [Flag::Against, Flag::AsLikely].map(those);
        found.into_iter().filter(|flagged| !flagged.blanks.is_empty()).collect()
    }

    /// The same in words: `as likely with a blurred picture`. Where all blanks together show that it does not depend on the picture,
    /// this alone, and whether the text is enough for it without any picture.
    pub fn beware(&self, blanks: &[Blank]) -> Vec<String> {
        let flags = self.flags(blanks);
        if self.depends_on_picture(blanks) == DependsOnPicture::No {
            let knockout = |flagged: &Flagged| {
                flagged.flag == Flag::AsLikely
                    && flagged.blanks.iter().any(|&index| blanks[index] == Blank::Knockout)
            };
            let text = flags.iter().any(knockout).then_some("the text alone gives it");
            let verdict = ["does not depend on the picture"].into_iter().chain(text);
            return verdict.map(str::to_owned).collect();
        }
        let words = |flagged: &Flagged| {
            let names: Vec<&str> =
                flagged.blanks.iter().map(|&index| blanks[index].phrase()).collect();
            match flagged.flag {
                Flag::Against if names.len() == blanks.len() => flagged.flag.to_string(),
                Flag::Against => format!("{} (compared with {})", flagged.flag, listed(&names)),
                Flag::AsLikely => format!("{} {}", flagged.flag, listed(&names)),
            }
        };
        flags.iter().map(words).collect()
    }
}

/// `a`, `a or b`, `a, b or c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

impl Gain {
    /// Of tokens with their log-probability with the pictures.
    fn new(with: &[(usize, f32)], without: &ByPosition) -> Self {
        let without_of = |&(position, _): &(usize, f32)| without[&position];
        Self {
            log_probabilities: with.iter().map(without_of).collect(),
            token_pmi: with.iter().map(|token| token.1 - without_of(token)).collect(),
        }
    }

    /// Sum over the tokens: what the pictures add to the log-probability of the target, in nats.
    pub fn pmi(&self) -> f32 {
        self.token_pmi.iter().sum()
    }

    /// What it warns of; `None` where the pictures add [`NATS_OF_A_CHANGE`] or more.
    pub fn flag(&self) -> Option<Flag> {
        let pmi = self.pmi();
        if pmi.abs() < NATS_OF_A_CHANGE {
            Some(Flag::AsLikely)
        } else {
            (pmi < 0.0).then_some(Flag::Against)
        }
    }
}

impl Flag {
    /// The name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Against => "against",
            Self::AsLikely => "as-likely",
        }
    }
}

/// The flag in words; those of [`Flag::AsLikely`] want the name of a blank behind them.
impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Against => "the picture argues against it",
            Self::AsLikely => "as likely with",
        })
    }
}

#[cfg(test)]
mod tests;
