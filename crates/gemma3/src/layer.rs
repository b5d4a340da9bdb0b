//! A layer as engines know it: cut at its attention, and pulled back without a graph. Nothing here names an architecture.
//!
//! Symbols: n tokens, H query heads, K key/value heads, d head width, D hidden width.

use crate::{Attend, MaskRule, Place, Qkv, SequenceLayout, Site};
use std::fmt;
use std::ops::Range;
use tch::Tensor;

/// A transformer layer cut at its attention: `forward(x) = merge(x, attend(project(x)))`.
///
/// # Shapes
/// `x: [n, D]`, `heads: [H, n, d]`.
pub trait AttentionLayer {
    /// The layer's name.
    fn site(&self) -> Site;

    /// Norm, the three projections and what turns them into queries, keys and values of the `n` tokens at `place`.
    fn project(&self, x: &Tensor, place: Place) -> Qkv;

    /// Output projection, residual connections, norms and MLP: the layer's output `[n, D]`.
    fn merge(&self, x: &Tensor, heads: &Tensor) -> Tensor;

    /// The whole layer, for the tokens from index `start` on.
    fn forward(
        &self,
        x: &Tensor,
        start: usize,
        mask: &MaskRule,
        attend: &mut dyn Attend,
    ) -> Tensor {
        let heads = attend.attend(self.site(), &self.project(x, mask.place(start)), mask);
        self.merge(x, &heads)
    }
}

/// A layer that can be pulled back from what it computed: of a language model over tokens, or of a vision tower over patches.
///
/// Pull-backs go from the gradient at the output to that at the input, float32 whatever the dtype of the weights, for any number of
/// gradients at once (leading dimensions). By another [`PullRule`] than the first, what is called a gradient is what that rule makes of one. Layers of one model may differ in all of their [`Dims`]; D is that of the model.
pub trait Layer: AttentionLayer + fmt::Debug {
    /// What the layer computed for n tokens, as much as its pull-back needs.
    type Trace: Trace;

    /// The sizes of its attention.
    fn dims(&self) -> Dims;

    /// Which keys a query of this layer may see in a sequence with that layout.
    fn mask(&self, layout: &SequenceLayout) -> MaskRule {
        MaskRule::causal(self.dims().window, layout)
    }

    /// [`AttentionLayer::forward`] with its trace.
    fn run(
        &self,
        x: &Tensor,
        start: usize,
        mask: &MaskRule,
        attend: &mut dyn Attend,
    ) -> (Tensor, Self::Trace);

    /// The trace of [`Layer::run`] alone; a layer whose trace ends before its output does not make the output for it.
    fn trace(
        &self,
        x: &Tensor,
        start: usize,
        mask: &MaskRule,
        attend: &mut dyn Attend,
    ) -> Self::Trace {
        self.run(x, start, mask, attend).1
    }

    /// Queries, keys and values of the n tokens at `place` from their trace.
    fn qkv(&self, trace: &Self::Trace, place: Place) -> Qkv;

    /// The layer's output `[n, D]` from its trace.
    fn output(&self, trace: &Self::Trace) -> Tensor;

    /// Pull-back of [`AttentionLayer::merge`] by that rule: `dy` is `[…, n, D]`.
    fn pull_merge(&self, trace: &Self::Trace, dy: &Tensor, rule: PullRule) -> MergeGradient;

    /// Pull-back of [`AttentionLayer::project`] by that rule for the n tokens at `place`: the gradient at `x`, `[…, n, D]`, as a tensor of
    /// its own.
    fn pull_project(
        &self,
        trace: &Self::Trace,
        place: Place,
        gradient: &QkvGradient,
        rule: PullRule,
    ) -> Tensor;

    /// Numbers that a trace has for each token.
    fn trace_numbers(&self) -> u64;

    /// What the pull-backs hold.
    fn pull_cost(&self) -> PullCost;
}

/// How a pull-back goes through what is not linear. What is linear (products with weights, residual connections, rotations, means) is
/// pulled back in one way.
///
/// Closed: a layer that matches it has said what it does with every rule there is. It speaks of norms, gates and activations, which are
/// what a layer has outside of its attention; what becomes of attention is decided by whoever computes that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullRule {
    /// The gradient.
    #[default]
    Gradient,
    /// Everything is linear with factors that are held constant: the σ that a norm divides by, the gate φ(a) of a product φ(a)⊙u, and the
    /// ratio φ(x)/x of an activation that is no gate. So `x ⊙ x̄` sums to the same number at input and output of all that has no bias.
    ConstantGates,
    /// The same for norms and activations; each factor of a product φ(a)⊙u gets half, φ(a) as an activation: `ū = ½ȳ⊙φ(a)`,
    /// `ā = ½ȳ⊙u⊙φ(a)/a`.
    SplitGates,
}

/// The sizes of one layer's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Query heads H.
    pub heads: usize,
    /// Key/value heads K, a divisor of H.
    pub key_heads: usize,
    /// Head width d.
    pub width: usize,
    /// How many keys back a query sees, itself included; `None`: all.
    pub window: Option<usize>,
}

/// What a layer computed for n tokens: some tensors `[n, …]`, in the dtype of the model.
pub trait Trace: fmt::Debug + Sized {
    /// The layer's input `[n, D]`, one of the tensors.
    fn input(&self) -> &Tensor;

    /// Its tensors, always as many and in the same order.
    fn tensors(&self) -> Vec<&Tensor>;

    /// The trace with these tensors, in the order of [`Trace::tensors`].
    fn from_tensors(tensors: Vec<Tensor>) -> Self;

    /// The same for some of its tokens, without a copy.
    #[must_use]
    fn rows(&self, rows: &Range<usize>) -> Self {
        let narrow = |x: &Tensor| x.narrow(0, rows.start as i64, rows.len() as i64);
        Self::from_tensors(self.tensors().into_iter().map(narrow).collect())
    }

    /// The trace of tokens that were computed in pieces, in order. `pieces` is not empty.
    fn concatenated(pieces: &[Self]) -> Self {
        let pieces: Vec<Vec<&Tensor>> = pieces.iter().map(Self::tensors).collect();
        let all =
            |nth: usize| Tensor::cat(&pieces.iter().map(|piece| piece[nth]).collect::<Vec<_>>(), 0);
        Self::from_tensors((0..pieces[0].len()).map(all).collect())
    }
}

/// The gradient at what [`AttentionLayer::merge`] took.
#[derive(Debug)]
pub struct MergeGradient {
    /// At `x`, `[…, n, D]`.
    pub x: Tensor,
    /// At `heads`, `[…, H, n, d]`.
    pub heads: Tensor,
}

/// The gradient at what [`AttentionLayer::project`] gave. Queries may be fewer than keys: they begin `skip` tokens later.
#[derive(Debug)]
pub struct QkvGradient {
    /// At the queries, `[…, H, m, d]`.
    pub q: Tensor,
    /// At the keys, `[…, K, n, d]`.
    pub k: Tensor,
    /// At the values, `[…, K, n, d]`.
    pub v: Tensor,
    /// Tokens of the keys that stand before the first query.
    pub skip: usize,
}

/// Bytes that rebuilding a layer and pulling gradients back through it hold at a time, for each token; attention itself is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullCost {
    /// Whatever the number of gradients: what is rebuilt.
    pub shared: u64,
    /// For each gradient that is pulled back at once.
    pub per_gradient: u64,
}
