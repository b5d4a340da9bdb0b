//! Methods that an engine can make beside the relevancy, as a request.
//!
//! The predicting row of the token at position p is p−1. z is the scalar that is explained.

use std::fmt;

use crate::{HeadFusion, Layers};

/// A way to make a row `[S]` for a goal: how much each token counts. Raw values, in units of the method's own.
///
/// A goal of several tokens has the mean of its tokens' rows; its gradient is that of the goal's scalar as a whole. Rows are zero past
/// what the method reads. Definitions, sources and limits stand with the array functions that the variants name.
///
/// Closed, as [`HeadWeights`] and [`Pool`] are: whatever names or makes methods does not compile until it has said what it does with a
/// new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Attention rollout at the predicting row, `fuse_h[A]` in place of the mean over heads (Abnar and Zuidema 2020): rows of
    /// `(I + N(fuse_h[A]))/2`, N dividing rows by their sums, from the last of the chosen layers to the first.
    Rollout {
        /// How heads become one.
        heads: HeadFusion,
        /// The layers that are multiplied; the others are left out.
        layers: Layers,
    },
    /// Attention of the predicting row, mean over the chosen layers.
    RawAttention {
        /// How heads become one.
        heads: HeadWeights,
        /// The layers.
        layers: Layers,
    },
    /// [`value_norm_row`](crate::value_norm_row) of the predicting row, `fuse_h[A·‖W_O·V‖]`, mean over the chosen layers: attention times
    /// the length of what it carries.
    ValueNorm {
        /// How heads become one.
        heads: HeadFusion,
        /// The layers.
        layers: Layers,
    },
    /// Attention of the explained token itself, row p: what it looked at when it was read, after it had been chosen.
    TokenAttention {
        /// How heads become one.
        heads: HeadFusion,
        /// The layers.
        layers: Layers,
        /// How the chosen layers become one.
        over: Pool,
    },
    /// The same for all tokens of the goal together, the name of an object: pooled over layers and tokens alike.
    ObjectAttention {
        /// How heads become one.
        heads: HeadFusion,
        /// The layers.
        layers: Layers,
        /// How layers and tokens become one.
        over: Pool,
    },
    /// [`gradient_attention_row`](crate::gradient_attention_row) of the predicting row, `fuse_h[(A⊙∇A)⁺]`, mean over the
    /// chosen layers. What speaks against the goal is dropped; there is no signed form of it.
    GradientAttention {
        /// How heads become one.
        heads: HeadFusion,
        /// The layers.
        layers: Layers,
    },
    /// [`legrad_row`](crate::legrad_row) of the predicting row, mean over the chosen layers: each layer by the gradient of a logit of its own,
    /// that of the explained token read from the output of this layer at the predicting row, through the last norm and the head. Neither
    /// the objective of the goal nor its [`Backward`](crate::Backward) rule counts.
    LeGrad {
        /// How heads become one.
        heads: HeadFusion,
        /// The layers.
        layers: Layers,
    },
    /// [`dex_ar_row`](crate::dex_ar_row) of the predicting row, mean over the chosen layers: the gradient of [`Method::LeGrad`], with the heads
    /// of each layer filtered by whether it is largest at an image token that the row sees. A layer that sees no image token adds nothing.
    /// Neither the objective of the goal nor its [`Backward`](crate::Backward) rule counts.
    DexAr {
        /// The layers.
        layers: Layers,
    },
    /// [`grad_cam_attention_row`](crate::grad_cam_attention_row) of the predicting row in one layer; the image is what the
    /// row sees of it.
    GradCamAttention {
        /// The layer, counted from 0.
        layer: usize,
    },
    /// [`grad_cam_hidden`](crate::grad_cam_hidden) of the image tokens before the explained one, all images together, at
    /// the input of a layer; the number of layers stands for the output of the last. Zero on text. The gradient of several tokens is
    /// that of their mean.
    GradCamHidden {
        /// The layer, counted from 0.
        layer: usize,
    },
    /// [`input_gradient`](crate::input_gradient) at the input embeddings, images included. It has signs. The gradient of
    /// several tokens is that of their mean. In a sweep by another [`Backward`](crate::Backward) rule than the gradient it is the score of
    /// that rule.
    InputGradient,
    /// [`mean_cell_drop`](crate::mean_cell_drop) at the input embeddings of each image before the explained token: what the scalar would
    /// lose, to first order, if a cell became the mean cell of its image. It has signs, and the unit of the scalar; zero on text. The
    /// gradient of several tokens is that of their mean.
    MeanCell,
    /// The token activation map ([`tam`](crate::tam)), from the last hidden states alone. Image tokens are those of images
    /// that end before the explained token, each a grid of its own, square where it can be. The context are all tokens of text before the
    /// predicting row, markers included, with another id than the explained one, each with the activation at its own position; the
    /// predicting row is the token itself, and left out. Values are scaled to 0…1 by definition.
    Tam,
}

/// How the heads of the predicting row are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadWeights {
    /// By no gradient.
    Fused(HeadFusion),
    /// By their gradient: [`gradient_weighted_row`](crate::gradient_weighted_row) over the keys that the row sees.
    Gradient,
}

/// How several rows become one, entry by entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pool {
    /// Their mean.
    #[default]
    Mean,
    /// The largest.
    Max,
    /// Their sum.
    Sum,
}

impl From<HeadFusion> for HeadWeights {
    fn from(heads: HeadFusion) -> Self {
        Self::Fused(heads)
    }
}

/// The name, and choices where they are not those by default: `raw attention`, `raw attention (heads max, layers global)`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Rollout { .. } => "rollout",
            Self::RawAttention { .. } => "raw attention",
            Self::ValueNorm { .. } => "value-norm attention",
            Self::TokenAttention { .. } => "token attention",
            Self::ObjectAttention { .. } => "object attention",
            Self::GradientAttention { .. } => "gradient attention",
            Self::LeGrad { .. } => "LeGrad",
            Self::DexAr { .. } => "DEX-AR",
            Self::GradCamAttention { layer } => {
                return write!(f, "Grad-CAM on attention of layer {layer}");
            }
            Self::GradCamHidden { layer } => {
                return write!(f, "Grad-CAM on hidden states before layer {layer}");
            }
            Self::InputGradient => "gradient × input",
            Self::MeanCell => "drop towards the mean cell",
            Self::Tam => "token activation map",
        };
        f.write_str(name)?;
        let choices = self.choices();
        if choices.is_empty() { Ok(()) } else { write!(f, " ({})", choices.join(", ")) }
    }
}

impl Method {
    /// The choices that are not those by default.
    fn choices(&self) -> Vec<String> {
        let (heads, layers, over) = match self {
            Self::Rollout { heads, layers }
            | Self::ValueNorm { heads, layers }
            | Self::GradientAttention { heads, layers }
            | Self::LeGrad { heads, layers } => (HeadWeights::Fused(*heads), layers, Pool::Mean),
            Self::RawAttention { heads, layers } => (*heads, layers, Pool::Mean),
            Self::DexAr { layers } => (HeadFusion::Mean.into(), layers, Pool::Mean),
            Self::TokenAttention { heads, layers, over }
            | Self::ObjectAttention { heads, layers, over } => {
                (HeadWeights::Fused(*heads), layers, *over)
            }
            Self::GradCamAttention { .. }
            | Self::GradCamHidden { .. }
            | Self::InputGradient
            | Self::MeanCell
            | Self::Tam => return Vec::new(),
        };
        let changed = [
            (heads != HeadFusion::Mean.into()).then(|| format!("heads {heads}")),
            (*layers != Layers::All).then(|| format!("layers {layers}")),
            (over != Pool::Mean).then(|| format!("{over} over layers")),
        ];
        changed.into_iter().flatten().collect()
    }
}

impl fmt::Display for HeadWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fused(heads) => heads.fmt(f),
            Self::Gradient => f.write_str("weighted by gradient"),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Sum => "sum",
        })
    }
}
