//! What a record says of the reliance on the pictures.

use serde::{Deserialize, Serialize};

use super::sha256;
use crate::reliance::Flagged;
use crate::{Blank, Gain, NATS_OF_A_CHANGE, Presentation, Reliance, TargetControl, TargetReliance};

/// With what the pictures were compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RelianceSettings {
    /// In the order of `reliance.blanks` of every target.
    pub(crate) blanks: Vec<BlankRecord>,
    /// Gains nearer to zero than this are none.
    pub(crate) independent_nats: f32,
    pub(crate) seconds: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BlankRecord {
    /// mean, blur, mean-embedding, knockout or another.
    pub(crate) name: String,
    /// The other picture; null for all else.
    pub(crate) picture: Option<String>,
    /// Of its pixels, before it was stretched.
    pub(crate) pixels_sha256: Option<String>,
}

/// Of one target or word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RelianceRecord {
    pub(crate) blanks: Vec<GainRecord>,
    /// 0: all in one cell, 1: an even map; null where no cell has relevancy.
    pub(crate) map_entropy: Option<f32>,
    /// yes, no or undecided, by all blanks together; null in records that were written before blanks were asked together.
    #[serde(default)]
    pub(crate) depends_on_picture: Option<String>,
    pub(crate) flags: Vec<FlagRecord>,
    /// The flags in words.
    pub(crate) beware: Vec<String>,
}

/// Log-probability with the pictures minus that with the blank, in nats.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GainRecord {
    pub(crate) blank: String,
    /// Sum over the tokens.
    pub(crate) pmi: f32,
    pub(crate) token_pmi: Vec<f32>,
    /// With the blank.
    pub(crate) token_log_probabilities: Vec<f32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FlagRecord {
    /// against or as-likely; in older records also independent, text-driven or no-evidence.
    pub(crate) flag: String,
    /// The blanks that raise it.
    pub(crate) blanks: Vec<String>,
}

/// Of one target: the same explanation on the mean picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ControlRecord {
    /// Relevancy of all image cells.
    pub(crate) image_sum: f32,
    /// The same on the mean picture.
    pub(crate) image_sum_blank: f32,
    /// The first over the second; null where that is zero.
    pub(crate) ratio: Option<f32>,
    /// The signed difference over each image.
    pub(crate) overlays: Vec<String>,
}

impl RelianceSettings {
    pub(crate) fn new(reliance: &Reliance, presentation: &Presentation) -> Self {
        let blank = |blank| BlankRecord::new(blank, presentation);
        Self {
            blanks: reliance.blanks.iter().map(blank).collect(),
            independent_nats: NATS_OF_A_CHANGE,
            seconds: reliance.duration.as_secs_f64(),
        }
    }
}

impl BlankRecord {
    fn new(blank: &Blank, presentation: &Presentation) -> Self {
        let picture = match blank {
            Blank::Another(picture) => Some(picture),
            _ => None,
        };
        Self {
            name: blank.name().to_owned(),
            picture: picture.map(|picture| presentation.shown_path(picture.name().as_ref())),
            pixels_sha256: picture.map(|picture| sha256(picture.rgb().as_raw())),
        }
    }
}

impl RelianceRecord {
    pub(crate) fn new(target: &TargetReliance, blanks: &[Blank]) -> Self {
        let gain = |(gain, blank): (&Gain, &Blank)| GainRecord {
            blank: blank.name().to_owned(),
            pmi: gain.pmi(),
            token_pmi: gain.token_pmi.clone(),
            token_log_probabilities: gain.log_probabilities.clone(),
        };
        let flag = |flagged: Flagged| FlagRecord {
            flag: flagged.flag.name().to_owned(),
            blanks: flagged.blanks.iter().map(|&index| blanks[index].name().to_owned()).collect(),
        };
        Self {
            blanks: target.blanks.iter().zip(blanks).map(gain).collect(),
            map_entropy: target.map_entropy,
            depends_on_picture: Some(target.depends_on_picture(blanks).name().to_owned()),
            flags: target.flags(blanks).into_iter().map(flag).collect(),
            beware: target.beware(blanks),
        }
    }
}

impl ControlRecord {
    pub(crate) fn new(control: &TargetControl, overlays: Vec<String>) -> Self {
        Self {
            image_sum: control.image_sum,
            image_sum_blank: control.image_sum_blank,
            ratio: control.ratio(),
            overlays,
        }
    }
}
