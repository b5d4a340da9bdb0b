//! The methods that the relevancy is compared with, as a document names them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable id of a method: the spelling of the command's `--method`. It does not change with the choices of the method, such as
/// heads and layers; those are in the display name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MethodId {
    /// Relevancy by the additive update, `R ← R + Ā·R`.
    RelevancyAdditive,
    /// Relevancy by the stochastic update: rows are divided by their sums.
    RelevancyStochastic,
    /// Attention rollout.
    Rollout,
    /// Attention of the row that predicts the target.
    RawAttention,
    /// Attention × the norm of the values that it carries.
    ValueNorm,
    /// Attention of the explained token itself.
    TokenAttention,
    /// The same of all tokens of a target together.
    ObjectAttention,
    /// Attention × its gradient, where above zero.
    GradientAttention,
    /// LeGrad: the gradient of each layer's own logit at its attention, where above zero.
    Legrad,
    /// DEX-AR: the same, of heads that are more sensitive at the pictures than at the text.
    DexAr,
    /// Grad-CAM on the attention of one layer.
    GradCam,
    /// Grad-CAM on the hidden states before one layer.
    GradCamHidden,
    /// Gradient × input at the embeddings.
    InputGradient,
    /// What the scalar would lose if a cell became the mean cell, to first order.
    MeanCell,
    /// Token activation map.
    Tam,
    /// What the scalar loses when the embedding of a cell becomes the mean of its picture.
    OcclusionMeanEmbedding,
    /// What the scalar loses when no token behind the pictures sees a cell.
    OcclusionKnockout,
}

impl MethodId {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::RelevancyAdditive,
        Self::RelevancyStochastic,
        Self::Rollout,
        Self::RawAttention,
        Self::ValueNorm,
        Self::TokenAttention,
        Self::ObjectAttention,
        Self::GradientAttention,
        Self::Legrad,
        Self::DexAr,
        Self::GradCam,
        Self::GradCamHidden,
        Self::InputGradient,
        Self::MeanCell,
        Self::Tam,
        Self::OcclusionMeanEmbedding,
        Self::OcclusionKnockout,
    ];

    /// The id as text, such as `grad-cam`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RelevancyAdditive => "relevancy-additive",
            Self::RelevancyStochastic => "relevancy-stochastic",
            Self::Rollout => "rollout",
            Self::RawAttention => "raw-attention",
            Self::ValueNorm => "value-norm",
            Self::TokenAttention => "token-attention",
            Self::ObjectAttention => "object-attention",
            Self::GradientAttention => "gradient-attention",
            Self::Legrad => "legrad",
            Self::DexAr => "dex-ar",
            Self::GradCam => "grad-cam",
            Self::GradCamHidden => "grad-cam-hidden",
            Self::InputGradient => "input-gradient",
            Self::MeanCell => "mean-cell",
            Self::Tam => "tam",
            Self::OcclusionMeanEmbedding => "occlusion-mean-embedding",
            Self::OcclusionKnockout => "occlusion-knockout",
        }
    }
}

impl fmt::Display for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A method that was asked for beside the relevancy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedMethod {
    /// Which method it is; `None` where a record was written before ids were kept.
    pub id: Option<MethodId>,
    /// Its display name, with the choices that are not the defaults: `raw attention (heads max)`.
    pub name: String,
}

impl ComparedMethod {
    /// The display name of rollout over all layers by the mean of heads, which every explanation has.
    pub const ROLLOUT: &'static str = "rollout";

    /// Whether every explanation has it anyway, so that page and figures show it once, as attention rollout.
    pub(crate) fn is_always_there(&self) -> bool {
        self.name == Self::ROLLOUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_spells_an_id_as_its_name() {
        for id in MethodId::ALL {
            assert_eq!(serde_json::to_value(id).unwrap(), id.name());
        }
    }
}
