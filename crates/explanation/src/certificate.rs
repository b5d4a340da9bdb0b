//! The certificate of a map: what a target loses without the cells that the map puts first, beside what it loses by orders that know
//! nothing. It says whether a map is faithful to the model, never whether the answer is right.

use std::fmt;

use attention_relevancy::faithfulness::LEAST_WORTH;
use serde::{Deserialize, Serialize};

use crate::MethodId;

/// A way to take cells of the pictures away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Operator {
    /// No token behind the pictures sees a cell, in any head of any layer (Geva et al. 2023). What it gave to its neighbours in the
    /// picture stays.
    KnockOut,
    /// A cell's embedding becomes the mean of its picture's.
    MeanEmbedding,
    /// The pixels of a cell become those of the blurred picture: σ = 10 pixels where the longer side has 896.
    Blur,
    /// The pixels of a cell are made of those around it, with noise (ROAD: Rong et al., ICML 2022).
    Road,
}

impl Operator {
    /// All of them, in the order of the record.
    pub const ALL: [Self; 4] = [Self::KnockOut, Self::MeanEmbedding, Self::Blur, Self::Road];

    /// The name on the command line and in the record: `knock-out`, `mean-embedding`, `blur` or `road`.
    pub fn name(self) -> &'static str {
        match self {
            Self::KnockOut => "knock-out",
            Self::MeanEmbedding => "mean-embedding",
            Self::Blur => "blur",
            Self::Road => "road",
        }
    }

    /// What becomes of a cell, in words.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::KnockOut => "hidden from the words behind the picture",
            Self::MeanEmbedding => "replaced by the mean of its picture's tokens",
            Self::Blur => "blurred in the picture",
            Self::Road => "filled in from the pixels around it",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How certificates were made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct CertificateSettings {
    /// In this order.
    pub operators: Vec<Operator>,
    /// Shares of the cells that are taken away.
    pub fractions: Vec<f64>,
    /// Controls that a map is held against, at least.
    pub controls: usize,
    /// What is taken away at a time: squares of so many image tokens a side.
    #[serde(default = "one")]
    pub block: usize,
    /// Decides orders, copies and parts.
    pub seed: u64,
    /// A picture that adds less to a target, in nats, has no curves.
    pub least_worth: f64,
    /// Runs of the model, each without other cells.
    pub runs: usize,
    /// How long it took.
    pub seconds: f64,
}

/// The certificate of the map of one target: by operator, and what else was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TargetCertificate {
    /// Cells hidden from the words behind the pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knock_out: Option<OperatorCertificate>,
    /// Cells replaced by the mean embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_embedding: Option<OperatorCertificate>,
    /// Cells blurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blur: Option<OperatorCertificate>,
    /// Cells filled in from their surroundings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub road: Option<OperatorCertificate>,
    /// Positions of the image tokens in the order in which they are taken away, the most relevant first; empty where there is no map.
    #[serde(default)]
    pub order: Vec<usize>,
    /// How the map changes where the picture hardly does: moved by a pixel, a little brighter, a little darker; empty unless it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stability: Vec<MapChange>,
    /// How the map changes where layers of the model lose what they learnt, from the last layer down; empty unless it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub randomisation: Vec<MapChange>,
}

/// What records say that are older than blocks.
fn one() -> usize {
    1
}

/// What one operator says of the map of a target. Scores are log-probabilities of all tokens of the target, in nats.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OperatorCertificate {
    /// With all cells.
    pub whole: f64,
    /// Without any.
    pub bare: f64,
    /// Why there are no curves; all that follows is null or empty then.
    pub undefined: Option<String>,
    /// The symmetric relevance gain: the area under `least_first` less that under `most_first`.
    pub srg: Option<f64>,
    /// The same area before it is divided by what all cells are worth, in nats.
    #[serde(default)]
    pub srg_nats: Option<f64>,
    /// Standard deviations of the controls that it lies above their mean.
    pub z: Option<f64>,
    /// How often a control would do as well by chance: (1 + controls that do) / (1 + controls).
    pub p: Option<f64>,
    /// What the map is held against.
    pub controls: Vec<ControlGain>,
    /// The maps of other words: no controls, because a word may be about the same place.
    #[serde(default)]
    pub other_words: Vec<WordGain>,
    /// Shares of the cells that are gone, from 0 to 1.
    pub fractions: Vec<f64>,
    /// What is left of the score at each of them, 1 with all cells and 0 without any; the most relevant cells gone first (`MoRF`).
    pub most_first: Vec<f64>,
    /// The same, the least relevant cells gone first (`LeRF`).
    pub least_first: Vec<f64>,
    /// The mean over orders that know nothing.
    pub uniform: Vec<f64>,
    /// Lowest and highest of all controls, of both directions.
    pub band: Vec<[f64; 2]>,
    /// Mean loss without the first 1, 5, 10, 20 and 50 % of the cells, in nats (ERASER).
    pub comprehensiveness: Option<f64>,
    /// Mean loss with those alone, in nats (ERASER): small where they are enough.
    pub sufficiency: Option<f64>,
    /// What is lost with random parts of the picture.
    pub random_parts: Option<RandomParts>,
    /// The maps of other methods by the same runs, in the order of the settings.
    pub methods: Vec<MethodGain>,
}

/// What the score loses with random tenths of the cells, drawn from the first fifth of the map and from the rest, in nats (as in
/// F-Fidelity, Zheng et al. 2024, without its fine-tuning).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct RandomParts {
    /// Of the first fifth.
    pub first: f64,
    /// Of the rest.
    pub rest: f64,
}

/// What a control is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ControlKind {
    /// Cells in a random order.
    Uniform,
    /// The map of a target, mirrored or moved over the edges: as smooth as it is.
    Moved,
    /// A hill in the middle of each picture.
    Blob,
}

impl ControlKind {
    /// The name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Moved => "moved",
            Self::Blob => "blob",
        }
    }
}

/// What a control comes to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct ControlGain {
    /// What it is.
    pub kind: ControlKind,
    /// Its symmetric relevance gain.
    pub srg: f64,
}

/// What the map of another word comes to for this target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct WordGain {
    /// The word.
    pub text: String,
    /// The symmetric relevance gain of its map.
    pub srg: f64,
}

/// What the map of another method comes to, against the same controls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct MethodGain {
    /// Its stable id; null where it has none.
    pub id: Option<MethodId>,
    /// Its name for people.
    pub name: String,
    /// Its symmetric relevance gain; null where it has no map.
    pub srg: Option<f64>,
    /// As [`OperatorCertificate::z`].
    pub z: Option<f64>,
    /// As [`OperatorCertificate::p`].
    pub p: Option<f64>,
}

/// How a map changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct MapChange {
    /// What was changed.
    pub what: String,
    /// Correlation of the ranks of all cells with the map (Spearman).
    pub rank_correlation: f64,
}

/// A p of this or less counts as ahead of the controls: of twenty, none is as good.
pub const SIGNIFICANT: f64 = 0.05;

/// A smaller area is that of curves which fall together, or only at their end.
pub const LEAST_GAIN: f64 = 0.05;

/// Where less is left than this, some cells are worth more than half as much again as all of them.
const FAR_BELOW: f64 = -0.5;

/// What all operators say together of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faithfulness {
    /// Without the picture the target is as likely by every operator, and there are two or more: nothing that a map could be faithful to.
    NoEffect,
    /// No operator has curves, and not because the picture adds nothing by all of them.
    Undefined,
    /// The map is ahead of its controls ([`OperatorCertificate::is_ahead`]) by so many of the operators that have curves.
    Ahead {
        /// By so many.
        by: usize,
        /// Of so many.
        of: usize,
    },
}

/// Said where [`Faithfulness::NoEffect`].
pub const NO_EFFECT: &str = "the answer does not depend on the picture";

impl TargetCertificate {
    /// Of a map with this order of positions, without what operators say.
    pub fn of(order: Vec<usize>) -> Self {
        Self { order, ..Self::default() }
    }

    /// What an operator says; `None` where it was not asked.
    pub fn get(&self, operator: Operator) -> Option<&OperatorCertificate> {
        match operator {
            Operator::KnockOut => self.knock_out.as_ref(),
            Operator::MeanEmbedding => self.mean_embedding.as_ref(),
            Operator::Blur => self.blur.as_ref(),
            Operator::Road => self.road.as_ref(),
        }
    }

    /// Puts in what an operator says.
    pub fn set(&mut self, operator: Operator, found: OperatorCertificate) {
        let place = match operator {
            Operator::KnockOut => &mut self.knock_out,
            Operator::MeanEmbedding => &mut self.mean_embedding,
            Operator::Blur => &mut self.blur,
            Operator::Road => &mut self.road,
        };
        *place = Some(found);
    }

    /// The operators that were asked, with what they say.
    pub fn operators(&self) -> impl Iterator<Item = (Operator, &OperatorCertificate)> {
        Operator::ALL.into_iter().filter_map(|operator| Some((operator, self.get(operator)?)))
    }

    /// What they say together.
    pub fn faithfulness(&self) -> Faithfulness {
        let found: Vec<&OperatorCertificate> = self.operators().map(|(_, found)| found).collect();
        let defined = found.iter().filter(|found| found.srg.is_some()).count();
        let adds_nothing = |found: &&OperatorCertificate| found.worth().abs() < LEAST_WORTH;
        if 0 < defined {
            Faithfulness::Ahead {
                by: found.iter().filter(|found| found.is_ahead()).count(),
                of: defined,
            }
        } else if 1 < found.len() && found.iter().all(adds_nothing) {
            Faithfulness::NoEffect
        } else {
            Faithfulness::Undefined
        }
    }
}

impl MethodGain {
    /// As [`OperatorCertificate::is_ahead`].
    pub fn is_ahead(&self) -> bool {
        is_ahead(self.srg, self.p)
    }
}

fn is_ahead(srg: Option<f64>, p: Option<f64>) -> bool {
    srg.is_some_and(|srg| LEAST_GAIN <= srg) && p.is_some_and(|p| p <= SIGNIFICANT)
}

impl OperatorCertificate {
    /// Without curves as yet, from the scores with all cells and without any.
    pub fn new(whole: f64, bare: f64) -> Self {
        Self { whole, bare, ..Self::default() }
    }

    /// Whether no control does as well (p ≤ [`SIGNIFICANT`]) and the gain is [`LEAST_GAIN`] or more.
    pub fn is_ahead(&self) -> bool {
        is_ahead(self.srg, self.p)
    }

    /// What a reader must know of the size of the curves: where some cells are worth much more than all together, the picture without any is
    /// one in which the model sees the word, too.
    pub fn remark(&self) -> Option<String> {
        let lowest = self.most_first.iter().chain(&self.least_first).copied().reduce(f64::min)?;
        (lowest < FAR_BELOW).then(|| {
            format!(
                "without some cells it is less likely than without any (all together add {:.2} nats, some {:.2}): the picture without cells \
                 is a picture to the model; read the order, not the size",
                self.worth(),
                self.worth() * (1.0 - lowest)
            )
        })
    }

    /// What all cells together add to the score, in nats.
    pub fn worth(&self) -> f64 {
        self.whole - self.bare
    }
}

/// `ahead of the controls by 3 of 4`, or why there is nothing to say.
impl fmt::Display for Faithfulness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEffect => f.write_str(NO_EFFECT),
            Self::Undefined => f.write_str("no curves"),
            Self::Ahead { by, of } => write!(f, "ahead of its controls by {by} of {of}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(worth: f64, p: Option<f64>) -> OperatorCertificate {
        OperatorCertificate { whole: worth, srg: p.map(|_| 0.5), p, ..Default::default() }
    }

    #[test]
    fn operators_are_asked_together() {
        let mut certificate = TargetCertificate::default();
        assert_eq!(certificate.faithfulness(), Faithfulness::Undefined);
        certificate.set(Operator::KnockOut, found(0.05, None));
        assert_eq!(certificate.faithfulness(), Faithfulness::Undefined, "one alone does not say");
        certificate.set(Operator::Blur, found(-0.05, None));
        assert_eq!(certificate.faithfulness(), Faithfulness::NoEffect);
        certificate.set(Operator::Blur, found(-2.0, None));
        assert_eq!(certificate.faithfulness(), Faithfulness::Undefined);
        certificate.set(Operator::Road, found(3.0, Some(0.2)));
        certificate.set(Operator::MeanEmbedding, found(3.0, Some(1.0 / 21.0)));
        assert_eq!(certificate.faithfulness(), Faithfulness::Ahead { by: 1, of: 2 });
        let little = OperatorCertificate { srg: Some(0.01), ..found(3.0, Some(0.01)) };
        certificate.set(Operator::MeanEmbedding, little);
        assert_eq!(certificate.faithfulness(), Faithfulness::Ahead { by: 0, of: 2 });
        let names: Vec<&str> =
            certificate.operators().map(|(operator, _)| operator.name()).collect();
        assert_eq!(names, ["knock-out", "mean-embedding", "blur", "road"]);
    }

    #[test]
    fn a_certificate_is_read_as_it_was_written() {
        let mut certificate = TargetCertificate::default();
        certificate.set(Operator::KnockOut, found(3.0, Some(0.05)));
        let text = serde_json::to_value(&certificate).unwrap();
        assert_eq!(text["knock-out"]["p"], 0.05);
        assert!(text.get("blur").is_none());
        assert_eq!(serde_json::from_value::<TargetCertificate>(text).unwrap(), certificate);
    }
}
