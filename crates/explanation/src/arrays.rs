//! The numbers of an explained answer: `explanation.npz`, written and read.
//!
//! Symbols: S tokens, T targets, W words, V pairs of phrases, M methods, N images of g × g cells, p × p patches and s × s pixels, L
//! layers, H heads, R regions.

use attention_relevancy::ndarray::{Array2, Array3, Array4};

pub(crate) use write::write;

mod read;
mod write;

/// Arrays as a file holds them, as far as they are read.
pub(crate) struct Arrays {
    pub(crate) targets: Rows,
    /// Zero rows where no words were explained.
    pub(crate) words: Rows,
    /// What speaks for each phrase, for the other, and for the one rather than the other, `[V, S]` each.
    pub(crate) versus: [Array2<f32>; 3],
    /// How much of each cell a region covers, `[R, N, g, g]`.
    pub(crate) region_weights: Option<Array4<f32>>,
    /// Attention and gradient-weighted attention of the heads of one layer, `[T, H, S]` each.
    pub(crate) head_maps: Option<[Array3<f32>; 2]>,
}

/// Rows of some explanations.
pub(crate) struct Rows {
    /// `[T, S]`.
    pub(crate) relevancy: Array2<f32>,
    /// `[T, S]`.
    pub(crate) raw_attention: Array2<f32>,
    /// `[T, S]`.
    pub(crate) rollout: Array2<f32>,
    /// The relevancy at the input of each layer `[T, L, S]`.
    pub(crate) layers: Option<Array3<f32>>,
    /// Of the methods beside them, `[M, T, S]`; zero where one has nothing to say.
    pub(crate) methods: Array3<f32>,
    /// The relevancy of patches `[T, N, p, p]`.
    pub(crate) patches: Option<Array4<f32>>,
    /// The same before the layers of the vision tower; of targets only.
    pub(crate) unpooled: Option<Array4<f32>>,
    /// Gradient × input of pixels, signed, `[T, N, s, s]`; of targets only.
    pub(crate) pixels: Option<Array4<f32>>,
    /// The relevancy on the mean picture `[T, S]`; of targets only.
    pub(crate) blank: Option<Array2<f32>>,
    /// The relevancy with the other model `[T, S]`.
    pub(crate) other: Option<Array2<f32>>,
}

/// The arrays of pairs of phrases: what speaks for the phrase, for the other, for the one rather than the other.
const VERSUS: [&str; 3] = ["versus_a", "versus_b", "versus_contrast"];
