//! The contract of a pass over one layer: what it is given and what it gives.

use super::Setting;
use crate::seam::{MaskRule, Placement, Qkv, QkvGradient};
use attention_relevancy::{Backward, HeadFusion, HeadRule, RowRule, Update};
use std::ops::Range;
use tch::Tensor;

/// The rows of T goals on their way down. No pass writes to the rows that it is given.
pub(crate) struct Rows {
    /// Relevancy `[T, S]`, zero at positions that are no queries of the pass.
    pub(crate) relevancy: Tensor,
    /// Attention rollouts, `[T, S]` each.
    pub(crate) rollouts: Vec<Tensor>,
}

/// How a layer is folded into the relevancy row: `r ← r·T` with `T_i = α_i·e_i + β_i·Ā_i` and `Ā = fuse_h[(A⊙∇A)⁺]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowFold {
    /// What α and β are.
    pub(crate) rule: RowRule,
    /// What `fuse_h` is.
    pub(crate) heads: HeadRule,
}

impl RowFold {
    pub(crate) fn new(update: Update, heads: HeadFusion) -> Self {
        Self { rule: update.rule(), heads: heads.rule() }
    }
}

/// What the passes over all layers of a vision tower have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PatchPass {
    /// How every layer is folded.
    pub(crate) fold: RowFold,
    /// How gradients go back through attention.
    pub(crate) backward: Backward,
}

/// What a layer does to the rows. `None` leaves a row as it is.
pub(crate) struct Folds {
    pub(crate) relevancy: Option<RowFold>,
    /// How the heads of attention become one, for each row of [`Rows::rollouts`].
    pub(crate) rollouts: Vec<Option<HeadRule>>,
}

/// The pass over one layer.
pub(crate) struct Pass<'a> {
    /// Queries `[H, n, d]`, keys and values `[K, n, d]` of n tokens: all that the queries of the pass see.
    pub(crate) qkv: &'a Qkv,
    pub(crate) mask: &'a MaskRule,
    /// The m positions that the rows and `dheads` stand on.
    pub(crate) queries: Range<usize>,
    /// The gradient at the output of the heads `[T, H, m, d]`, float32; by another rule than the gradient, what that rule made of it. `∇A`
    /// is made of it in one way, `dO·Vᵀ`.
    pub(crate) dheads: &'a Tensor,
    /// How the gradients at queries, keys and values are made of it.
    pub(crate) backward: Backward,
    pub(crate) folds: Folds,
    /// Query rows of a block of attention, for a backend that makes blocks.
    pub(crate) block: usize,
}

/// What a pass gives.
pub(crate) struct Swept {
    /// The rows behind the layer.
    pub(crate) rows: Rows,
    /// The gradients at queries `[T, H, m, d]`, keys and values `[T, K, n, d]`, float32.
    pub(crate) gradient: QkvGradient,
    /// How much each head carried into the row, `[T, H]`; zero where it is left as it is.
    pub(crate) heads: Tensor,
}

impl Pass<'_> {
    /// What kind of pass it is.
    pub(crate) fn setting(&self, rows: &Rows) -> Setting {
        let [heads, keys, width] =
            <[i64; 3]>::try_from(self.qkv.q.size()).expect("queries are [H, n, d]");
        let (device, kind) = (self.qkv.q.device(), self.qkv.q.kind());
        Setting {
            placement: Placement { device, kind: Some(kind) },
            heads: heads as usize,
            key_heads: self.qkv.k.size()[0] as usize,
            width: width as usize,
            keys: keys as usize,
            sees_all: self.qkv.start == 0 && *self.mask == MaskRule::all(),
            relevancy: self.folds.relevancy,
            backward: self.backward,
            rollouts: rows.rollouts.len(),
        }
    }
}
