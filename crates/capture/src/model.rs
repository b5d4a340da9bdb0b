//! What engines ask of a language model.
//!
//! Symbols: S tokens, D hidden width, V vocabulary.

use crate::seam::{Dims, Layer, Placement, Sequence, SequenceLayout, Watch};
use std::fmt;
use tch::Tensor;

/// A language model whose runs can be explained: embeddings, layers one after the other, a norm and a head.
///
/// Head counts, head width and window are asked of each layer ([`Layer::dims`]), so layers may differ in all of them. Gradients are float32
/// whatever the dtype of the model.
pub trait LanguageModel: fmt::Debug {
    /// A layer. A model with layers of several kinds has an enum here.
    type Layer: Layer;

    /// The layers, first to last, at least one.
    fn layers(&self) -> &[Self::Layer];

    /// Where the model is, and the dtype that it computes in.
    fn placement(&self) -> Placement;

    /// Hidden width D, the same between all layers.
    fn width(&self) -> usize;

    /// Number of tokens V that it knows.
    fn vocabulary(&self) -> usize;

    /// Input embeddings `[S, D]` of a sequence, features in place of its image tokens.
    fn embed(&self, sequence: &Sequence) -> Tensor;

    /// Runs every layer on the embeddings `[S, D]` of a whole sequence with that layout. Returns the last layer's output `[S, D]`, before
    /// the norm.
    fn run(
        &self,
        embeddings: &Tensor,
        layout: &SequenceLayout,
        watch: &mut dyn Watch<TraceOf<Self>>,
    ) -> Tensor;

    /// Norm and head: logits `[m, V]` of `m` rows of the last layer's output, part of the graph where they are.
    fn logits(&self, rows: &Tensor) -> Tensor;

    /// The logits of some tokens at `m` rows of the last layer's output, `[m, tokens]`.
    fn logits_of(&self, rows: &Tensor, tokens: &[u32]) -> Tensor;

    /// The gradients of single logits at what the head takes, float32 `[tokens, D]`.
    fn head_gradients(&self, tokens: &[u32]) -> Tensor;

    /// Pull-back of the head: from the gradient at the logits `[m, V]` to that at what the head takes, both float32, `[m, D]`. The product
    /// is to be made in float32: the gradient of a log-probability sums to zero, and what is rounded first would be left over.
    fn pull_head(&self, dlogits: &Tensor) -> Tensor;

    /// Pull-back of the norm: from the gradient at what the head takes to that at rows of the last layer's output, float32 `[m, D]`.
    fn pull_norm(&self, rows: &Tensor, dnormed: &Tensor) -> Tensor;

    /// The sizes of every layer's attention, first to last.
    fn dims(&self) -> Vec<Dims> {
        self.layers().iter().map(Layer::dims).collect()
    }
}

/// What the layers of a model compute.
pub(crate) type TraceOf<M> = <<M as LanguageModel>::Layer as Layer>::Trace;
