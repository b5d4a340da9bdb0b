//! What a record says of the reliance on the pictures.

use serde::{Deserialize, Serialize};

use crate::{
    BlankKind, DependsOnPicture, Flagged, Gain, TargetControl, TargetReliance, ThroughTrace,
};

/// With what the pictures were compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct RelianceSettings {
    /// In the order of `reliance.blanks` of every target.
    pub blanks: Vec<BlankRecord>,
    /// Gains smaller than this, in nats, count as no change.
    pub independent_nats: f32,
    /// How long it took.
    pub seconds: f64,
}

/// What replaced the pictures.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct BlankRecord {
    /// Of which kind it is.
    pub name: BlankKind,
    /// The other picture; null for all else.
    pub picture: Option<String>,
    /// Of its pixels, before it was stretched.
    pub pixels_sha256: Option<String>,
}

/// Of one target or word.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RelianceRecord {
    /// Against each blank, in the order of `reliance.blanks` of the record.
    pub blanks: Vec<GainRecord>,
    /// 0: all in one cell, 1: an even map; null where no cell has relevancy.
    pub map_entropy: Option<f32>,
    /// How it gets to the picture through the thinking trace; null where there is none, and in records that were written before.
    #[serde(default)]
    pub trace: Option<ThroughTrace>,
    /// yes, no or undecided, by all blanks together; null in records that were written before blanks were asked together.
    #[serde(default)]
    pub depends_on_picture: Option<DependsOnPicture>,
    /// What to beware of.
    pub flags: Vec<FlagRecord>,
    /// The flags in words.
    pub beware: Vec<String>,
}

/// Log-probability with the pictures minus that with the blank, in nats.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GainRecord {
    /// What replaced the pictures.
    pub blank: BlankKind,
    /// Sum over the tokens.
    pub pmi: f32,
    /// Of each token.
    pub token_pmi: Vec<f32>,
    /// With the blank.
    pub token_log_probabilities: Vec<f32>,
}

/// A warning with the blanks that raise it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FlagRecord {
    /// against or as-likely; in older records also independent, text-driven or no-evidence.
    pub flag: String,
    /// The blanks that raise it.
    pub blanks: Vec<BlankKind>,
}

/// Of one target: the same explanation on the mean picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ControlRecord {
    /// Relevancy of all image cells.
    pub image_sum: f32,
    /// The same on the mean picture.
    pub image_sum_blank: f32,
    /// The first over the second; null where that is zero.
    pub ratio: Option<f32>,
    /// The signed difference over each image.
    pub overlays: Vec<String>,
}

impl RelianceRecord {
    /// The record of what was found against these blanks.
    pub(super) fn new(target: &TargetReliance, blanks: &[BlankKind]) -> Self {
        let gain = |(gain, &blank): (&Gain, &BlankKind)| GainRecord {
            blank,
            pmi: gain.pmi(),
            token_pmi: gain.token_pmi.clone(),
            token_log_probabilities: gain.log_probabilities.clone(),
        };
        let flag = |flagged: Flagged| FlagRecord {
            flag: flagged.flag.name().to_owned(),
            blanks: flagged.blanks.iter().map(|&index| blanks[index]).collect(),
        };
        Self {
            blanks: target.blanks.iter().zip(blanks).map(gain).collect(),
            map_entropy: target.map_entropy,
            trace: target.trace,
            depends_on_picture: Some(target.depends_on_picture(blanks)),
            flags: target.flags(blanks).into_iter().map(flag).collect(),
            beware: target.beware(blanks),
        }
    }

    /// What was found, without what follows from it.
    pub(crate) fn found(&self) -> TargetReliance {
        let gain = |gain: &GainRecord| Gain {
            log_probabilities: gain.token_log_probabilities.clone(),
            token_pmi: gain.token_pmi.clone(),
        };
        TargetReliance {
            blanks: self.blanks.iter().map(gain).collect(),
            map_entropy: self.map_entropy,
            trace: self.trace,
        }
    }
}

impl ControlRecord {
    /// The record of a control that is shown in these overlays.
    pub(super) fn new(control: &TargetControl, overlays: Vec<String>) -> Self {
        Self {
            image_sum: control.image_sum,
            image_sum_blank: control.image_sum_blank,
            ratio: control.ratio(),
            overlays,
        }
    }
}
