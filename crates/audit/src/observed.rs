//! What was seen of one case: the answer, what became of it where something was changed, and the map of its decisive word.

use std::f64::consts::LN_2;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::agreement::MethodAgreement;
use crate::stated::{Stated, yes_or_no};

/// What was changed in a case; everything else stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Change {
    /// Every picture is one even colour, its mean.
    Blank,
    /// The question is asked without any picture.
    NoPicture,
    /// The pictures are those of another patient with the same label.
    SameLabel,
    /// The pictures are those of another patient with another label.
    OtherLabel,
    /// The relevant part is hidden behind another part of the picture, fitted in without an edge.
    RelevantHidden,
    /// So is another part of the same size, shape and brightness.
    IrrelevantHidden,
    /// No token behind the pictures sees them, in any head of any layer. No new answer is made, as with all that follow.
    KnockOut,
    /// Every image token is the mean of its picture's.
    MeanEmbedding,
    /// The cells that the relevant part touches are hidden from the tokens behind the pictures.
    RelevantKnockOut,
    /// So are those of the other part.
    IrrelevantKnockOut,
    /// So are all cells but those of the relevant part.
    OutsideKnockOut,
}

impl Change {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 11] = [
        Self::Blank,
        Self::NoPicture,
        Self::SameLabel,
        Self::OtherLabel,
        Self::RelevantHidden,
        Self::IrrelevantHidden,
        Self::KnockOut,
        Self::MeanEmbedding,
        Self::RelevantKnockOut,
        Self::IrrelevantKnockOut,
        Self::OutsideKnockOut,
    ];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::NoPicture => "no-picture",
            Self::SameLabel => "same-label",
            Self::OtherLabel => "other-label",
            Self::RelevantHidden => "relevant-hidden",
            Self::IrrelevantHidden => "irrelevant-hidden",
            Self::KnockOut => "knock-out",
            Self::MeanEmbedding => "mean-embedding",
            Self::RelevantKnockOut => "relevant-knock-out",
            Self::IrrelevantKnockOut => "irrelevant-knock-out",
            Self::OutsideKnockOut => "outside-knock-out",
        }
    }

    /// What it is, for people.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Blank => "a blank picture",
            Self::NoPicture => "no picture",
            Self::SameLabel => "another patient's picture, same label",
            Self::OtherLabel => "another patient's picture, other label",
            Self::RelevantHidden => "relevant part hidden in the pixels",
            Self::IrrelevantHidden => "another part hidden in the pixels",
            Self::KnockOut => "picture hidden from the words",
            Self::MeanEmbedding => "every image token the mean one",
            Self::RelevantKnockOut => "relevant cells hidden from the words",
            Self::IrrelevantKnockOut => "other cells hidden from the words",
            Self::OutsideKnockOut => "all but the relevant cells hidden",
        }
    }

    /// Whether nothing of the case's own picture is left.
    pub fn takes_the_picture(self) -> bool {
        matches!(
            self,
            Self::Blank | Self::NoPicture | Self::OtherLabel | Self::KnockOut | Self::MeanEmbedding
        )
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the decisive word of an answer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Choice {
    /// The case names it.
    Word,
    /// The answer begins with "yes" or "no".
    YesOrNo,
    /// It is the case's label.
    Label,
    /// Of all words with a meaning the pictures add most to it, by knock-out and mean embedding.
    Gain,
}

/// The word of the answer that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisiveWord {
    /// As the answer has it.
    pub text: String,
    /// How it was found.
    pub choice: Choice,
    /// How it stands in the answer.
    pub stated: Stated,
    /// Its log-probability, in nats: the sum over its tokens.
    pub log_probability: f64,
    /// The token that it is set against in its map; none where the case names none, or one that cannot be told apart from the word.
    #[serde(default)]
    pub against: Option<String>,
}

/// What became of a case where something was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// What was changed.
    pub change: Change,
    /// The new answer; none where none was made.
    pub answer: Option<String>,
    /// Whether the decisive word stands otherwise in the new answer: gone, or denied where it was not.
    pub flipped: Option<bool>,
    /// Whether any word of the new answer is another.
    pub rewritten: Option<bool>,
    /// The log-probability of the decisive word in its old place, the old answer being given, in nats.
    pub log_probability: f64,
}

/// Something that could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchanged {
    /// What was to be changed.
    pub change: Change,
    /// Why it was not, for people.
    pub reason: String,
}

/// The map of the decisive word over one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WordMap {
    /// Which of the case's pictures.
    pub picture: usize,
    /// Rows and columns.
    pub grid: [usize; 2],
    /// The rectangle of the picture that the grid covers, `[x0, y0, x1, y1]` in its pixels.
    pub placement: [f64; 4],
    /// Relevancy by cell, row by row.
    pub values: Vec<f32>,
}

/// The certificate of that map, by knock-out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Certified {
    /// Symmetric relevance gain; none where there are no curves.
    pub srg: Option<f64>,
    /// Standard deviations above the controls.
    pub z: Option<f64>,
    /// How often a control does as well.
    pub p: Option<f64>,
    /// Whether it is ahead of its controls.
    pub ahead: bool,
    /// Why there are no curves.
    pub undefined: Option<String>,
}

/// How the decisive word gets to the pictures where the model thinks aloud before it answers: nats that its log-probability loses where
/// some tokens do not see others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TraceUse {
    /// Nothing behind the pictures sees them.
    pub picture: f64,
    /// The tokens of the thinking trace do not see the pictures.
    pub picture_in_trace: f64,
    /// The answer does not see the pictures.
    pub picture_in_answer: f64,
    /// The answer does not see the trace.
    pub trace: f64,
}

/// What one case came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The answer.
    pub answer: String,
    /// The word that is looked at.
    pub word: DecisiveWord,
    /// What was changed and what became of it.
    pub changes: Vec<Changed>,
    /// What could not be changed.
    pub unchanged: Vec<Unchanged>,
    /// Maps beside the relevant part, the relevancy first; empty where no part is known.
    pub maps: Vec<MethodAgreement>,
    /// The relevant part's share of its picture, and what a constant map comes to; none where no part is known.
    pub constant: Option<crate::Agreement>,
    /// The relevancy; none where nothing speaks for the word.
    pub map: Option<WordMap>,
    /// How faithful it is; none where nobody asked.
    pub certificate: Option<Certified>,
    /// What the thinking trace does for the word; none for an answer without one.
    #[serde(default)]
    pub trace: Option<TraceUse>,
    /// How long the case took, in seconds.
    pub seconds: f64,
}

/// Whether a case says that the model used the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// The word goes with the picture, in several ways of taking it away.
    Yes,
    /// It stays.
    No,
    /// They disagree.
    Unclear,
}

/// A word counts as moved where no new answer is made and it is less than half as likely: by so many nats.
pub const MOVED: f64 = LN_2;
/// Below so many nats there is no effect to divide.
const LEAST_EFFECT: f64 = 0.1;
/// Log-odds are within ± this: a probability that float32 cannot tell from one.
const MOST_ODDS: f64 = 27.6;

/// log p − log(1 − p) in nats from log p, within ± 27.6.
pub fn log_odds(log_probability: f64) -> f64 {
    let complement = (-log_probability.min(0.0).exp_m1()).ln();
    (log_probability - complement).clamp(-MOST_ODDS, MOST_ODDS)
}

impl Observed {
    /// What became of it by one change.
    pub fn by(&self, change: Change) -> Option<&Changed> {
        self.changes.iter().find(|changed| changed.change == change)
    }

    /// Nats that the word's log-probability falls by.
    pub fn loss(&self, change: Change) -> Option<f64> {
        Some(self.word.log_probability - self.by(change)?.log_probability)
    }

    /// How far its log-odds fall, in nats.
    pub fn log_odds_moved(&self, change: Change) -> Option<f64> {
        let now = self.by(change)?.log_probability;
        Some(log_odds(self.word.log_probability) - log_odds(now))
    }

    /// Whether the word is another by one change: flipped, or less than half as likely where no new answer was made.
    pub fn moved(&self, change: Change) -> Option<bool> {
        let found = self.by(change)?;
        Some(found.flipped.unwrap_or(MOVED <= self.word.log_probability - found.log_probability))
    }

    /// Whether the model used the picture. Ways of taking it away are unlike each other, and a model may answer as before where it gets
    /// something that no training showed; so one alone decides nothing. Pictures of other patients are such as it knows: for a yes one of
    /// them must move the word, whichever label it has (a model that looks at something else than the label may say another thing about one
    /// with the same), and at least half of all ways of taking the picture away; for a no the word must stay with that of another label and
    /// with that of the same, and with at least half of all ways. Where there is no picture of another label most of the ways decide. None
    /// where fewer than two could be tried.
    pub fn used(&self) -> Option<Use> {
        let ways = Change::ALL.into_iter().filter(|change| change.takes_the_picture());
        let tried: Vec<bool> = ways.filter_map(|change| self.moved(change)).collect();
        if tried.len() < 2 {
            return None;
        }
        let (twice, all) = (2 * tried.iter().filter(|moved| **moved).count(), tried.len());
        let same = self.moved(Change::SameLabel) == Some(true);
        Some(match self.moved(Change::OtherLabel) {
            Some(other) if (other || same) && all <= twice => Use::Yes,
            Some(other) if !other && !same && twice <= all => Use::No,
            None if all < twice => Use::Yes,
            None if twice < all && !same => Use::No,
            _ => Use::Unclear,
        })
    }

    /// The part of the word's probability that goes with the picture, from 0 to 1: the median over the ways of taking it away, so that one way
    /// which throws the model off says little.
    pub fn picture_use(&self) -> Option<f64> {
        let lost = |change: Change| Some(1.0 - (-self.loss(change)?).min(0.0).exp());
        median(Change::ALL.into_iter().filter(|it| it.takes_the_picture()).filter_map(lost))
    }

    /// Whether the answer says that something is there, so that a part of the picture can be relevant to it.
    pub fn names_something(&self) -> bool {
        self.word.stated == Stated::Affirmed
            && yes_or_no(&self.word.text) != Some(false)
            && yes_or_no(&self.answer) != Some(false)
    }

    /// 1 where the word goes with the relevant part and not with another, −1 the other way round, 0 where it goes with both or with neither;
    /// by new answers to pictures with that part hidden.
    pub fn part_in_pixels(&self) -> Option<i8> {
        let moved = |change| self.moved(change).map(i8::from);
        Some(moved(Change::RelevantHidden)? - moved(Change::IrrelevantHidden)?)
    }

    /// The share of what all cells are worth to the word that goes with the relevant ones, less that of the others: from −1 to 1. None where
    /// all are worth too little.
    pub fn part_in_cells(&self) -> Option<f64> {
        let all = self.loss(Change::KnockOut).filter(|all| MOVED <= *all)?;
        let share = |change| self.loss(change).map(|loss| (loss / all).clamp(0.0, 1.0));
        Some(share(Change::RelevantKnockOut)? - share(Change::IrrelevantKnockOut)?)
    }

    /// The share of the effect of cells that those outside of the relevant part have: hidden alone, against those inside hidden alone.
    pub fn effect_outside(&self) -> Option<f64> {
        let [outside, inside] = [Change::OutsideKnockOut, Change::RelevantKnockOut]
            .map(|change| self.loss(change).map(|loss| loss.max(0.0)));
        let (outside, inside) = (outside?, inside?);
        (LEAST_EFFECT <= outside + inside).then(|| outside / (outside + inside))
    }

    /// The share of the relevancy outside of the relevant part.
    pub fn relevancy_outside(&self) -> Option<f64> {
        Some(1.0 - self.maps.first()?.own?.mass)
    }

    /// How much of relevancy and effect lies outside of the relevant part, from 0 to 1: their mean.
    pub fn shortcut(&self) -> Option<f64> {
        Some(f64::midpoint(self.relevancy_outside()?, self.effect_outside()?))
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(f64::midpoint(values[last / 2], values[last.div_ceil(2)]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::agreement::Agreement;

    /// A case whose word "opacity" is nearly sure, with these changes: whether the answer flips, and nats lost.
    pub(crate) fn observed(changes: &[(Change, Option<bool>, f64)]) -> Observed {
        let changed = |&(change, flipped, loss): &(Change, Option<bool>, f64)| Changed {
            change,
            answer: flipped.map(|flipped| if flipped { "clear" } else { "opacity" }.to_owned()),
            flipped,
            rewritten: flipped,
            log_probability: -0.01 - loss,
        };
        Observed {
            answer: "An opacity.".to_owned(),
            word: DecisiveWord {
                text: "opacity".to_owned(),
                choice: Choice::Label,
                stated: Stated::Affirmed,
                log_probability: -0.01,
                against: None,
            },
            changes: changes.iter().map(changed).collect(),
            unchanged: Vec::new(),
            maps: vec![MethodAgreement {
                method: "relevancy".to_owned(),
                own: Some(Agreement { mass: 0.75, ..Agreement::default() }),
                shifted: None,
            }],
            constant: None,
            map: None,
            certificate: None,
            trace: None,
            seconds: 1.0,
        }
    }

    #[test]
    fn one_way_of_taking_the_picture_away_decides_nothing() {
        let of = |changes: &[(Change, Option<bool>, f64)]| observed(changes).used();
        let (other, blank) = (Change::OtherLabel, Change::Blank);
        let (knock, mean) = (Change::KnockOut, Change::MeanEmbedding);
        assert_eq!(of(&[(other, Some(true), 5.0)]), None);
        // A model that calls an even grey an opacity still uses pictures.
        let grey = (blank, Some(false), 0.0);
        assert_eq!(of(&[(other, Some(true), 5.0), grey, (knock, None, 4.0)]), Some(Use::Yes));
        assert_eq!(of(&[(other, Some(true), 5.0), grey, (knock, None, 0.1)]), Some(Use::Unclear));
        // One that is thrown off by what it never saw does not.
        let off = (mean, None, 3.0);
        assert_eq!(of(&[(other, Some(false), 0.0), grey, off]), Some(Use::No));
        assert_eq!(of(&[(other, Some(false), 0.0), (knock, None, 3.0), off]), Some(Use::Unclear));
        // One that looks at something else says another thing of a picture with the same label.
        let same = (Change::SameLabel, Some(true), 4.0);
        let stays = (other, Some(false), 0.0);
        assert_eq!(of(&[stays, same, (knock, None, 4.0), (mean, None, 4.0)]), Some(Use::Yes));
        assert_eq!(of(&[stays, same, grey, (knock, None, 0.0)]), Some(Use::Unclear));
        assert_eq!(of(&[grey, off]), Some(Use::Unclear));
        assert_eq!(of(&[(blank, Some(true), 3.0), off]), Some(Use::Yes));
    }

    #[test]
    fn parts_are_held_against_each_other() {
        let found = observed(&[
            (Change::RelevantHidden, Some(true), 4.0),
            (Change::IrrelevantHidden, Some(false), 0.0),
            (Change::KnockOut, None, 4.0),
            (Change::RelevantKnockOut, None, 3.0),
            (Change::IrrelevantKnockOut, None, -1.0),
            (Change::OutsideKnockOut, None, 1.0),
        ]);
        assert_eq!(found.part_in_pixels(), Some(1));
        assert!((found.part_in_cells().unwrap() - 0.75).abs() < 1e-9);
        assert!((found.effect_outside().unwrap() - 0.25).abs() < 1e-9);
        assert!((found.shortcut().unwrap() - 0.25).abs() < 1e-9);
        // All cells together are worth nothing: shares of it say nothing.
        let found = observed(&[
            (Change::KnockOut, None, 0.1),
            (Change::RelevantKnockOut, None, 0.05),
            (Change::IrrelevantKnockOut, None, 0.0),
        ]);
        assert_eq!((found.part_in_cells(), found.effect_outside()), (None, None));
    }

    #[test]
    fn probability_that_goes_with_the_picture() {
        let found = observed(&[
            (Change::Blank, Some(true), LN_2),
            (Change::OtherLabel, Some(true), 60.0),
            (Change::NoPicture, Some(false), -1.0),
            (Change::RelevantHidden, Some(true), 9.0),
        ]);
        assert!((found.picture_use().unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn log_odds_have_no_end_but_theirs() {
        assert!((log_odds(0.5_f64.ln())).abs() < 1e-12);
        assert!((log_odds(0.9_f64.ln()) - 9.0_f64.ln()).abs() < 1e-12);
        assert_eq!((log_odds(0.0), log_odds(-1e9)), (MOST_ODDS, -MOST_ODDS));
    }

    #[test]
    fn what_is_denied_has_no_part() {
        let mut found = observed(&[]);
        assert!(found.names_something());
        found.word.stated = Stated::Denied;
        assert!(!found.names_something());
        found.word = DecisiveWord { text: "No".to_owned(), stated: Stated::Affirmed, ..found.word };
        assert!(!found.names_something());
    }
}
