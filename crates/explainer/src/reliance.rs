//! Whether an answer relies on the pictures: what the probability of its words gains by them.

use attention_capture::forced_scores;
use attention_relevancy::Target;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::{Answer, Blank, Error, Explainer, Explanations, TargetExplanation};

/// A gain of less than this, in nats, is none: 0.1 nat are a factor of 1.1 in the probability, which rounding in bfloat16 alone can
/// move by some hundredths of a nat. The same threshold below which deletion curves are not normalised: `f(full) − f(blank)` stands
/// in the denominator there.
pub const INDEPENDENT_NATS: f32 = 0.1;

/// Below this share of the pictures most of the relevancy lies in the text.
pub const TEXT_SHARE: f32 = 0.5;

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
    /// Share of the pictures in the relevancy without the self terms; `None` where there is no relevancy.
    pub image_share: Option<f32>,
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

/// What a reader should know before looking at the map of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flag {
    /// The gain is below zero by [`INDEPENDENT_NATS`] or more: the model finds it less likely with the picture than without.
    Against,
    /// The gain is within [`INDEPENDENT_NATS`] of zero.
    Independent,
    /// [`Flag::Independent`] by every blank, one of them without content ([`Blank::Mean`] or [`Blank::Blur`]), and the share of the
    /// pictures is below [`TEXT_SHARE`].
    TextDriven,
    /// The same, and the share of the pictures is [`TEXT_SHARE`] or more: the map shows where the model
    /// looked, but what it saw there changed nothing.
    NoEvidence,
}

/// A flag with the blanks that raise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flagged {
    /// The flag.
    pub flag: Flag,
    /// Indices into [`Reliance::blanks`], at least one.
    pub blanks: Vec<usize>,
}

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
        let tokens: BTreeMap<usize, Target> = all()
            .flat_map(|target| target.relevancy().targets())
            .map(|target| (target.position(), *target))
            .collect();
        let tokens: Vec<Target> = tokens.into_values().collect();
        let mut without = Vec::new();
        for blank in blanks {
            let found = self.blank_log_probabilities(answer, blank, &tokens)?;
            let positions = tokens.iter().map(|target| target.position());
            without.push(positions.zip(found).collect::<BTreeMap<usize, f32>>());
        }
        let reliance = |target: &TargetExplanation| TargetReliance::new(target, &without);
        Ok(Reliance {
            blanks: blanks.to_vec(),
            targets: explanations.targets.iter().map(reliance).collect(),
            words: explanations.words.iter().map(reliance).collect(),
            duration: started.elapsed(),
        })
    }

    /// The log-probability of each token with a blank in the place of the pictures.
    pub(crate) fn blank_log_probabilities(
        &self,
        answer: &Answer,
        blank: &Blank,
        targets: &[Target],
    ) -> Result<Vec<f32>, Error> {
        if self.cancelled() {
            return Err(attention_capture::Error::Cancelled.into());
        }
        self.with_blank(answer, blank, |sequence| {
            let scores = forced_scores(&self.model, sequence, targets)?;
            Ok(scores.into_iter().map(|score| score.log_probability).collect())
        })
    }
}

impl TargetReliance {
    fn new(target: &TargetExplanation, without: &[BTreeMap<usize, f32>]) -> Self {
        let gain = |without: &BTreeMap<usize, f32>| {
            let tokens = target.relevancy().targets();
            let log_probabilities: Vec<f32> =
                tokens.iter().map(|target| without[&target.position()]).collect();
            let with = target.scores().iter().map(|score| score.log_probability);
            let token_pmi = with.zip(&log_probabilities).map(|(with, without)| with - without);
            Gain { token_pmi: token_pmi.collect(), log_probabilities }
        };
        Self {
            blanks: without.iter().map(gain).collect(),
            image_share: target.relevancy().shares().map(|shares| shares.image()),
            map_entropy: target.relevancy().image_entropy(),
        }
    }

    /// What to beware of, and which of `blanks` (those of the [`Reliance`] that this belongs to) say so. Empty where all agree that
    /// the picture speaks for it.
    pub fn flags(&self, blanks: &[Blank]) -> Vec<Flagged> {
        let pmi: Vec<f32> = self.blanks.iter().map(Gain::pmi).collect();
        // Another picture may show the same: against it alone nothing can be said of the map.
        let share = self.image_share.filter(|_| blanks.iter().any(Blank::is_empty));
        flags(&pmi, share)
    }

    /// The flags in words; where not all of `blanks` raise one, it names those that do: `does not depend on the picture (vs blur
    /// only)`.
    pub fn beware(&self, blanks: &[Blank]) -> Vec<String> {
        beware(&self.flags(blanks), blanks)
    }

    /// Whether there is a flag that every blank raises.
    pub fn is_flagged(&self, blanks: &[Blank]) -> bool {
        self.flags(blanks).iter().any(|flagged| flagged.blanks.len() == self.blanks.len())
    }
}

impl Gain {
    /// Sum over the tokens: what the pictures add to the log-probability of the target, in nats.
    pub fn pmi(&self) -> f32 {
        self.token_pmi.iter().sum()
    }
}

impl Flag {
    /// The name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Against => "against",
            Self::Independent => "independent",
            Self::TextDriven => "text-driven",
            Self::NoEvidence => "no-evidence",
        }
    }
}

/// The flag in words.
impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Against => "the picture argues against it",
            Self::Independent => "does not depend on the picture",
            Self::TextDriven => "driven by the text",
            Self::NoEvidence => "its map is no evidence",
        })
    }
}

/// The flags of a target by its gain against each blank; without a share nothing is said of the map.
fn flags(pmi: &[f32], image_share: Option<f32>) -> Vec<Flagged> {
    let those = |is: &dyn Fn(f32) -> bool| -> Vec<usize> {
        pmi.iter().enumerate().filter(|(_, pmi)| is(**pmi)).map(|(index, _)| index).collect()
    };
    let against = those(&|pmi| pmi <= -INDEPENDENT_NATS);
    let independent = those(&|pmi| pmi.abs() < INDEPENDENT_NATS);
    // One blank against which the picture tells is enough for the map to be looked at.
    let by_all = image_share.filter(|_| independent.len() == pmi.len());
    let read = by_all.map(|share| {
        let flag = if share < TEXT_SHARE { Flag::TextDriven } else { Flag::NoEvidence };
        (flag, independent.clone())
    });
    [(Flag::Against, against), (Flag::Independent, independent)]
        .into_iter()
        .chain(read)
        .filter(|(_, blanks)| !blanks.is_empty())
        .map(|(flag, blanks)| Flagged { flag, blanks })
        .collect()
}

/// A text for all flags that the same blanks raise.
fn beware(flags: &[Flagged], blanks: &[Blank]) -> Vec<String> {
    let same = |one: &Flagged, other: &Flagged| one.blanks == other.blanks;
    let text = |flags: &[Flagged]| {
        let words: Vec<String> = flags.iter().map(|flagged| flagged.flag.to_string()).collect();
        let raising = &flags[0].blanks;
        let by_another = !raising.iter().any(|&index| blanks[index].is_empty());
        if by_another && flags[0].flag == Flag::Independent {
            return "as likely with the other picture".to_owned();
        }
        let names: Vec<&str> = raising.iter().map(|&index| blanks[index].name()).collect();
        if raising.len() == blanks.len() {
            words.join(", ")
        } else {
            format!("{} (vs {} only)", words.join(", "), names.join(" and "))
        }
    };
    flags.chunk_by(same).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pmi: &[f32], share: f32) -> Vec<(&'static str, Vec<usize>)> {
        let found = flags(pmi, Some(share));
        found.into_iter().map(|flagged| (flagged.flag.name(), flagged.blanks)).collect()
    }

    #[test]
    fn flags_follow_gain_and_share() {
        assert_eq!(named(&[3.0, 0.2], 0.2), []);
        assert_eq!(named(&[-3.0], 0.9), [("against", vec![0])]);
        assert_eq!(named(&[0.05], 0.2), [("independent", vec![0]), ("text-driven", vec![0])]);
        assert_eq!(named(&[-0.05], 0.5), [("independent", vec![0]), ("no-evidence", vec![0])]);
        assert_eq!(named(&[INDEPENDENT_NATS], 0.2), [], "the threshold itself is a gain");
        assert_eq!(named(&[-INDEPENDENT_NATS], 0.2), [("against", vec![0])]);
        let mixed = [("against", vec![1]), ("independent", vec![2])];
        assert_eq!(named(&[1.0, -1.0, 0.0], 0.8), mixed);
        assert_eq!(flags(&[0.0], None).len(), 1, "without relevancy nothing is said of the map");
    }

    #[test]
    fn words_name_the_blanks_where_they_disagree() {
        let blanks = [Blank::Mean, Blank::Blur];
        let words = |pmi: &[f32]| beware(&flags(pmi, Some(0.9)), &blanks);
        assert_eq!(words(&[-1.0, -2.0]), ["the picture argues against it"]);
        assert_eq!(words(&[0.0, 0.0]), ["does not depend on the picture, its map is no evidence"]);
        let mixed = [
            "the picture argues against it (vs blur only)",
            "does not depend on the picture (vs mean only)",
        ];
        assert_eq!(words(&[0.0, -1.0]), mixed);
        assert_eq!(words(&[1.0, 1.0]), [""; 0]);
    }

    #[test]
    fn another_picture_may_show_the_same() {
        let picture = gemma3_processor::Picture::from_rgb(image::RgbImage::new(2, 2)).unwrap();
        let another = Blank::Another(Box::new(picture));
        let words = |pmi: &[f32], blanks: &[Blank]| {
            let gain = |&pmi: &f32| Gain { log_probabilities: vec![-1.0], token_pmi: vec![pmi] };
            let blanks_found = pmi.iter().map(gain).collect();
            let (image_share, map_entropy) = (Some(0.9), None);
            TargetReliance { blanks: blanks_found, image_share, map_entropy }.beware(blanks)
        };
        let alone = std::slice::from_ref(&another);
        assert_eq!(words(&[0.0], alone), ["as likely with the other picture"]);
        assert_eq!(words(&[-3.0], alone), ["the picture argues against it"]);
        let both = [Blank::Mean, another];
        assert_eq!(words(&[2.0, 0.0], &both), ["as likely with the other picture"]);
        let all = "does not depend on the picture, its map is no evidence";
        assert_eq!(words(&[0.0, 0.0], &both), [all]);
        assert_eq!(words(&[0.0, 2.0], &both), ["does not depend on the picture (vs mean only)"]);
    }
}
