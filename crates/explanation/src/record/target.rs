//! What a record says of a target or word.

use std::collections::BTreeMap;

use attention_relevancy::Foils;
use serde::{Deserialize, Serialize};

use super::{ControlRecord, RelianceRecord};
use crate::text::label;
use crate::{
    Counterpart, MapAgreement, MethodId, SliceShare, SpanRule, TargetCertificate, TargetExplanation,
};

/// A target or word with what is said of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TargetRecord {
    /// The explained text.
    pub text: String,
    /// Which occurrence of the text in the answer, from 1; null where it stands there once.
    #[serde(default)]
    pub occurrence: Option<usize>,
    /// First position and the one behind the last.
    pub positions: [usize; 2],
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// How the tokens make one explanation: mean of theirs, sum (that of the sum of their objectives), or reliance (their mean, by
    /// what the pictures add to each).
    pub rule: SpanRule,
    /// Sum over the tokens.
    pub logit: f32,
    /// Sum over the tokens.
    pub log_probability: f32,
    /// The logit of each token.
    pub token_logits: Vec<f32>,
    /// The logarithm of the probability of each token, in nats.
    pub token_log_probabilities: Vec<f32>,
    /// For each token the most likely other one: what the objective "contrast with the runner-up" sets it against.
    pub runner_up_ids: Vec<u32>,
    /// What the objective "contrast with the alternatives" sets each token against: the other tokens that could stand there, each with its
    /// weight; null for another objective.
    #[serde(default)]
    pub foils: Option<Vec<Vec<FoilRecord>>>,
    /// Whether nothing speaks for it: its row of relevancy holds nothing but the self terms.
    #[serde(default)]
    pub is_empty: bool,
    /// Share of all pictures in the relevancy without the self terms; null where there is no relevancy.
    pub image_share: Option<f32>,
    /// One for each of the methods in the settings.
    pub methods: Vec<MethodRecord>,
    /// By layer, row l being what layers l to the last brought together; null where that was not kept.
    pub by_layer: Option<ByLayerRecord>,
    /// By layer and head; null where that was not kept.
    pub by_head: Option<ByHeadRecord>,
    /// Its overlays, image by image.
    pub overlays: Vec<String>,
    /// Overlays of patches, then of pixels.
    pub finer: Vec<String>,
    /// How it is spread over the slices of each series, one series after the other; empty where no pictures are slices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceShare>,
    /// How much of it lies in each region, image by image; empty where no regions were asked for.
    pub regions: Vec<RegionScoreRecord>,
    /// How it agrees with each of `boxes`, on the first image of the first picture; empty where there are none.
    pub boxes: Vec<LocalizationRecord>,
    /// How much each token counts in the mean, for the rule `reliance`; null where all count alike.
    #[serde(default)]
    pub token_weights: Option<Vec<f32>>,
    /// What the pictures add to its probability; null where nobody asked.
    #[serde(default)]
    pub reliance: Option<RelianceRecord>,
    /// What its score loses without the cells that its map puts first, by operator; null where nobody asked.
    #[serde(default)]
    pub certificate: Option<TargetCertificate>,
    /// The figure of its curves; null where there is none.
    #[serde(default)]
    pub certificate_figure: Option<String>,
    /// The same on the mean picture; null for words and where nobody asked.
    #[serde(default)]
    pub control: Option<ControlRecord>,
    /// The same with the other model; null for words and where nobody asked.
    #[serde(default)]
    pub counterpart: Option<CounterpartRecord>,
}

/// One of the tokens that a token of the answer is set against.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FoilRecord {
    /// Its id.
    pub id: u32,
    /// Its text, a space for what the tokenizer has in its place; empty in records of older programs.
    #[serde(default)]
    pub token: String,
    /// Its weight; those of a token sum to one.
    pub weight: f32,
}

impl FoilRecord {
    pub(crate) fn of(foils: &Foils, texts: &BTreeMap<u32, String>) -> Vec<Self> {
        let text = |id| texts.get(&id).cloned().unwrap_or_default();
        foils.iter().map(|(id, weight)| Self { id, token: text(id), weight }).collect()
    }

    /// What they say together; `None` where the weights have no sum above zero.
    pub(crate) fn found(records: &[Self]) -> Option<Foils> {
        Foils::weighted(records.iter().map(|record| (record.id, record.weight)))
    }
}

/// A target explained with another model: same prompt, same answer, set against the same tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CounterpartRecord {
    /// The logarithm of its probability with the other model, summed over its tokens, in nats.
    pub log_probability: f32,
    /// Of each token.
    pub token_log_probabilities: Vec<f32>,
    /// `log_probability` of the target minus this one, in nats.
    pub gain: f32,
    /// Whether nothing speaks for it with the other model.
    pub is_empty: bool,
    /// Share of all pictures in the relevancy with the other model; null where there is none.
    pub image_share: Option<f32>,
    /// For each image how far both maps agree.
    pub agreement: Vec<AgreementRecord>,
    /// Its figures, image by image.
    pub figures: Vec<String>,
}

/// How far the maps of two models over one image agree.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AgreementRecord {
    /// Correlation of the ranks of all cells (Spearman).
    pub rank_correlation: f64,
    /// Cells among the hottest tenth of both over those among the hottest tenth of either.
    pub top_overlap: f64,
}

impl CounterpartRecord {
    /// The record of a counterpart that is shown in these figures.
    pub(super) fn new(
        (target, counterpart): (&TargetExplanation, &Counterpart),
        figures: Vec<String>,
    ) -> Self {
        let images = target.relevancy().layout().grids().count();
        let found = (0..images).filter_map(|image| counterpart.agreement(target, image));
        let agreement = |found: MapAgreement| {
            let MapAgreement { rank_correlation, top_overlap } = found;
            AgreementRecord { rank_correlation, top_overlap }
        };
        Self {
            log_probability: counterpart.log_probability(),
            token_log_probabilities: counterpart.token_log_probabilities.clone(),
            gain: counterpart.gain(target),
            is_empty: counterpart.is_empty,
            image_share: counterpart.image_share,
            agreement: found.map(agreement).collect(),
            figures,
        }
    }
}

/// What another method says of a target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MethodRecord {
    /// Its stable id; null in a record of before ids were kept.
    #[serde(default)]
    pub id: Option<MethodId>,
    /// Its display name, with the choices that are not the defaults.
    pub name: String,
    /// Share of all pictures in the absolute values of its row without the predicting rows; null where there are none.
    pub image_share: Option<f32>,
    /// Why the method has nothing to say here, its row being zero; null where it has.
    pub unavailable: Option<String>,
}

/// `[L]` each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ByLayerRecord {
    /// Share of all pictures in the row without its self terms; null where nothing is left.
    pub image_share: Vec<Option<f32>>,
    /// Entropy of the relevancy of the image tokens over the logarithm of their number: 0 for one token, 1 for an even map; null
    /// where there is none.
    pub image_entropy: Vec<Option<f32>>,
}

/// `[L][H]` each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ByHeadRecord {
    /// How much of the relevancy row passed through the head.
    pub carried: Vec<Vec<f32>>,
    /// Entropy of its attention in the predicting row, in nats.
    pub entropy: Vec<Vec<f32>>,
    /// Share of the image tokens in its attention.
    pub image_share: Vec<Vec<f32>>,
    /// The layer whose heads have maps in the arrays.
    pub map_layer: Option<usize>,
}

/// How much of a target lies in a region of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RegionScoreRecord {
    /// Index in `images`.
    pub image: usize,
    /// The name of the region.
    pub name: String,
    /// Mean value per cell.
    pub mean: f64,
    /// Sum of the values within the region.
    pub sum: f64,
    /// Of this image's relevancy; null where it has none.
    pub share: Option<f64>,
    /// The share over that of an even map.
    pub density: Option<f64>,
    /// The region's part of the area that the image shows, within 0 and 1; null in a record of before it was kept.
    #[serde(default)]
    pub area: Option<f64>,
}

/// How a target agrees with a box.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LocalizationRecord {
    /// Of this image's relevancy within the box; null where it has none.
    pub share: Option<f64>,
    /// Intersection over union of the box and the cells at or above the 0.9 quantile.
    pub iou: f64,
}

impl TargetRecord {
    /// Its text, and which occurrence it is where there are several.
    pub fn label(&self) -> String {
        label(&self.text, self.occurrence)
    }
}
