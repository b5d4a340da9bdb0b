//! What engines find out beside the relevancy row, as plain arrays: scores of tokens, rows of other methods, heads, patches.
//!
//! Symbols: S tokens, L layers, H query heads, g × g patches and s × s pixels of a picture.

use ndarray::{Array1, Array2};

/// How a model rates a token that stands in a sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// Its logit.
    pub logit: f32,
    /// The logarithm of its probability, in nats.
    pub log_probability: f32,
    /// The id of the token with the highest logit beside it.
    pub runner_up: u32,
}

/// The row of a method for one target `[S]`, raw and perhaps signed, or why there is none.
pub type MethodRow = Result<Array1<f32>, Unavailable>;

/// Why a method has no row for a target. Zeros in its place would say that nothing counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The last token of an answer is chosen and never read.
    #[error(
        "the token at position {position} was never read by the model, so it has no attention of its own"
    )]
    NotRead {
        /// The position.
        position: usize,
    },
    /// The method is about images.
    #[error("no image stands before the explained token")]
    NoImage,
    /// The window of a layer ends behind the image.
    #[error(
        "in layer {layer} no image token lies within the window of the row that predicts the token"
    )]
    OutOfSight {
        /// The layer.
        layer: usize,
    },
    /// The windows of all layers that the method reads end behind the image.
    #[error(
        "in no layer that the method reads lies an image token within the window of the row that predicts the token"
    )]
    OutOfSightEverywhere,
    /// Behind the last layer only the predicting rows matter.
    #[error(
        "at the output of the last of {layers} layers the gradient is zero on all image tokens"
    )]
    LastOutput {
        /// Layers of the model.
        layers: usize,
    },
    /// The reason as a file states it, for rows that were written and read again.
    #[error("{reason}")]
    Stated {
        /// For people.
        reason: String,
    },
}

/// What each head of each layer did for one target. A target of several tokens has the mean over the rows that predict them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HeadShares {
    /// How much of the relevancy row passed through each head, `[L, H]`: `Σ_ij β_i·r_i·(A⊙∇A)⁺[h,i,j]` over the rows that the layer
    /// was taken through. The mean over the heads of a layer is what the layer added to the row; under
    /// [`Update::Stochastic`](crate::Update::Stochastic), which keeps the row's sum, it is what the layer moved. Zero in layers that
    /// the row is not taken through.
    pub carried: Array2<f32>,
    /// Entropy of the attention of the predicting row in nats, `[L, H]`: 0 for one key, `ln n` for n keys alike.
    pub entropy: Array2<f32>,
    /// How much of the attention of the predicting row is on image tokens, `[L, H]`, from 0 to 1.
    pub image: Array2<f32>,
    /// The heads of one layer, where they were asked for.
    pub maps: Option<HeadMaps>,
}

/// Where the heads of one layer look at the predicting row of a target; the mean over several rows. Zero where the row sees nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HeadMaps {
    /// The layer, counted from 0.
    pub layer: usize,
    /// Attention `A` `[H, S]`.
    pub attention: Array2<f32>,
    /// What of it speaks for the target, `(A⊙∇A)⁺` `[H, S]`, raw.
    pub gradient_attention: Array2<f32>,
}

/// What one target owes to the patches and pixels of one picture.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PatchMap {
    /// Relevancy of the patches `[g, g]` before the layers of the vision tower, raw: each token's patches sum to the token's. Empty
    /// `[0, 0]` where it was not kept.
    pub unpooled: Array2<f32>,
    /// Relevancy of the patches `[g, g]` behind all layers, raw. Its sum is that of `unpooled` under
    /// [`Update::Stochastic`](crate::Update::Stochastic), and not less under [`Update::Additive`](crate::Update::Additive).
    pub patches: Array2<f32>,
    /// Gradient × input `[s, s]`, signed, where it was asked for: `Σ_c x_c·∂z/∂x_c` over the channels of the pixels as the vision
    /// tower takes them. Mid-grey is zero there, so a mid-grey pixel has none, whatever hangs on it.
    pub pixels: Option<Array2<f32>>,
}

impl Score {
    /// Of its parts.
    pub fn new(logit: f32, log_probability: f32, runner_up: u32) -> Self {
        Self { logit, log_probability, runner_up }
    }
}

impl HeadShares {
    /// Of arrays `[L, H]`, without maps.
    pub fn new(carried: Array2<f32>, entropy: Array2<f32>, image: Array2<f32>) -> Self {
        Self { carried, entropy, image, maps: None }
    }

    /// The same with the maps of a layer.
    #[must_use]
    pub fn with_maps(self, maps: Option<HeadMaps>) -> Self {
        Self { maps, ..self }
    }
}

impl HeadMaps {
    /// Of its parts.
    pub fn new(layer: usize, attention: Array2<f32>, gradient_attention: Array2<f32>) -> Self {
        Self { layer, attention, gradient_attention }
    }
}

impl PatchMap {
    /// Of arrays `[g, g]`, without pixels.
    pub fn new(unpooled: Array2<f32>, patches: Array2<f32>) -> Self {
        Self { unpooled, patches, pixels: None }
    }

    /// The same with gradient × input of the pixels, `[s, s]`.
    #[must_use]
    pub fn with_pixels(self, pixels: Option<Array2<f32>>) -> Self {
        Self { pixels, ..self }
    }
}
