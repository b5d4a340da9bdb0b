//! Who looks at the layers of a sweep on the way.

use crate::Folding;
use crate::seam::{MaskRule, Qkv};
use std::ops::Range;
use tch::Tensor;

/// Looks at every layer of a sweep: [`Streaming::observe`](crate::Streaming::observe).
///
/// | observer | keeps |
/// |---|---|
/// | [`DepthRecorder`](crate::DepthRecorder) | the relevancy rows of every layer |
/// | [`HeadRecorder`](crate::HeadRecorder) | what every head did |
/// | [`ImageRecorder`](crate::ImageRecorder) | what goals leave at the tokens of pictures |
/// | [`MethodRecorder`](crate::MethodRecorder) | the rows of methods to compare with |
/// | [`EachLayer`] | nothing: it calls a function |
pub trait Observer {
    /// Attention rollouts that the sweep is to carry along for this observer, beside the one of every
    /// [`Attribution`](crate::Attribution).
    fn rollouts(&self) -> Vec<Folding> {
        Vec::new()
    }

    /// Bytes that it keeps of a sweep over so many goals, at most. The sweep takes them off its budget.
    fn bytes(&self, goals: usize) -> u64;

    /// Takes in a layer. Layers come from the last to the first, once for each part of the goals; parts come in the order of the goals.
    fn see(&mut self, swept: &LayerSwept<'_>);
}

/// What a sweep knows when it is through with a layer: T goals at once.
#[derive(Clone, Debug)]
pub struct LayerSwept<'a> {
    /// The goals of this part of the sweep, as indices.
    pub goals: Range<usize>,
    /// The layer.
    pub layer: usize,
    /// Positions of the rows that the layer was taken through.
    pub queries: Range<usize>,
    /// Positions that those rows see.
    pub keys: Range<usize>,
    /// The layer's input at `keys`, `[keys, D]`; of layer 0: the input embeddings.
    pub input: &'a Tensor,
    /// Queries, keys and values of the tokens at `keys`.
    pub qkv: &'a Qkv,
    /// Which keys a query of the layer sees.
    pub mask: &'a MaskRule,
    /// The gradient at the output of attention, before `o_proj`, `[T, H, queries, d]`.
    pub heads_gradient: &'a Tensor,
    /// The gradient at the layer's input `[T, keys, D]`; of layer 0: at the input embeddings, images included.
    pub input_gradient: &'a Tensor,
    /// The relevancy rows after the layer `[T, S]`.
    pub relevancy: &'a Tensor,
    /// How much of the row passed through each head, `[T, H]`: `Σ_ij β_i·r_i·(A⊙∇A)⁺[h,i,j]`; zero where the row was not taken
    /// through the layer ([`Folding`]).
    pub heads: &'a Tensor,
    /// The rollouts that the observer asked for, after the layer, `[T, S]` each.
    pub rollouts: &'a [Tensor],
}

/// Calls a function at every layer.
#[derive(Debug)]
pub struct EachLayer<F>(pub F);

impl<F: FnMut(&LayerSwept<'_>)> Observer for EachLayer<F> {
    /// None: what the function keeps is not known here.
    fn bytes(&self, _goals: usize) -> u64 {
        0
    }

    fn see(&mut self, swept: &LayerSwept<'_>) {
        (self.0)(swept);
    }
}
