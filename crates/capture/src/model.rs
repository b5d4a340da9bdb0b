//! What engines ask of a language model, and the sweep over patches of the vision tower of one.
//!
//! Symbols: S tokens, D hidden width, V vocabulary. Of a tower: P patches and t tokens of one picture, W hidden width, T goals.

use crate::seam::{
    Dims, Layer, MaskRule, ModelError, Placement, PullRule, Sequence, SequenceLayout, Watch,
};
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

    /// Pull-back of the norm by that rule: from the gradient at what the head takes to that at rows of the last layer's output, float32
    /// `[m, D]`.
    fn pull_norm(&self, rows: &Tensor, dnormed: &Tensor, rule: PullRule) -> Tensor;

    /// How long what each head adds to the stream is when it takes all of one token, `‖W_O·v‖`, `W_O` the columns of the layer's output
    /// projection behind that head, without its bias and before any norm: float32 `[H, n]` from the values `[K, n, d]` of n tokens. Query
    /// head h takes the values of head `h / (H / K)`.
    fn value_norms(&self, layer: usize, values: &Tensor) -> Tensor;

    /// The sizes of every layer's attention, first to last.
    fn dims(&self) -> Vec<Dims> {
        self.layers().iter().map(Layer::dims).collect()
    }
}

/// A language model that may see pictures.
pub trait PictureModel: LanguageModel {
    /// What it sees them with.
    type Tower: PictureTower;

    /// What it sees pictures with.
    ///
    /// # Errors
    /// [`gemma3_tch::Error::NoVision`] for a model that sees none.
    fn tower(&self) -> Result<&Self::Tower, ModelError>;
}

/// What makes tokens of a picture, and can be pulled back from them to the pixels: patches are embedded, go through layers and a norm, and
/// squares of k×k of them become a token each.
///
/// Heads, their width and who sees whom are asked of each layer ([`Layer::dims`], [`Layer::mask`]), so layers may differ in all of them.
/// Every row of a layer is a patch: there is no class token. Pull-backs go from the gradient at the output to that at the input, float32
/// whatever the dtype of the tower, for T gradients at once; each is told by which rule.
pub trait PictureTower: fmt::Debug {
    /// A layer over patches. A tower with layers of several kinds has an enum here.
    type Layer: Layer;

    /// The layers, first to last, at least one.
    fn layers(&self) -> &[Self::Layer];

    /// Where the tower is, and the dtype that its layers compute in.
    fn placement(&self) -> Placement;

    /// The shape of a picture: channels, rows and columns.
    fn picture(&self) -> [usize; 3];

    /// Rows and columns of its patches; P is their product.
    fn patches(&self) -> [usize; 2];

    /// Rows and columns of its tokens, each a k-th of those of the patches; t is their product.
    fn tokens(&self) -> [usize; 2];

    /// Hidden width W, the same between all layers.
    fn width(&self) -> usize;

    /// The first layer's input `[P, W]`, patches row by row, of a picture of the shape that [`PictureTower::picture`] tells, float32.
    fn embed(&self, picture: &Tensor) -> Tensor;

    /// Patch features `[P, W]` from the last layer's output `[P, W]`: what the tokens are made of.
    fn features(&self, last: &Tensor) -> Tensor;

    /// The tokens `[t, D]`, row by row, from patch features `[P, W]`, part of the graph where they are. A token is made of the features of
    /// its k×k patches and of no other.
    fn project(&self, features: &Tensor) -> Tensor;

    /// Pull-back of [`PictureTower::project`]: from the gradient at the tokens `[T, t, D]` to that at the features, `[T, P, W]`.
    fn pull_project(&self, features: &Tensor, dtokens: &Tensor, rule: PullRule) -> Tensor;

    /// Pull-back of [`PictureTower::features`]: from the gradient at the features `[T, P, W]` to that at `last`, `[T, P, W]`.
    fn pull_features(&self, last: &Tensor, dfeatures: &Tensor, rule: PullRule) -> Tensor;

    /// Pull-back of [`PictureTower::embed`]: from the gradient at the first layer's input `[T, P, W]` to that at the picture, the shape of
    /// the picture behind T.
    fn pull_embed(&self, picture: &Tensor, dembedded: &Tensor, rule: PullRule) -> Tensor;

    /// Bytes that running a layer holds at a time, for each patch, in the layer where they are most.
    fn run_bytes(&self) -> u64;
}

/// Which patches a patch sees in a layer of a vision tower.
pub(crate) fn patch_mask(layer: &impl Layer) -> MaskRule {
    layer.mask(&SequenceLayout::unforked(Vec::new()))
}

/// Patches P of a picture.
pub(crate) fn patch_count(tower: &impl PictureTower) -> usize {
    tower.patches().into_iter().product()
}

/// A layer of the vision tower of a model.
pub(crate) type TowerLayer<M> = <<M as PictureModel>::Tower as PictureTower>::Layer;

/// What the layers of the vision tower of a model compute.
pub(crate) type PatchTraceOf<M> = <TowerLayer<M> as Layer>::Trace;

/// What the layers of a model compute.
pub(crate) type TraceOf<M> = <<M as LanguageModel>::Layer as Layer>::Trace;
