//! What does a pass, and what is asked of it.

use super::pass::{Pass, PatchPass, RowFold, Rows, Swept};
use crate::PictureTower;
use crate::model::{patch_count, patch_mask};
use crate::seam::{Dims, Layer, MaskRule, Placement};
use attention_relevancy::Backward;

/// A way to do the pass over a layer.
///
/// What it takes must not depend on anything but the [`Setting`], so that a sweep can be planned before it starts. It matches
/// [`RowFold`] and [`Backward`] whole: a rule that is new does not compile until every backend has said what it does with it.
pub(crate) trait Backend: Sync {
    /// Whether it does passes of this kind.
    fn accepts(&self, setting: &Setting) -> bool;

    /// Bytes that such passes hold at a time.
    fn cost(&self, setting: &Setting) -> PassCost;

    /// Why it cannot do passes of this kind here although it is made for them; `None` where it can, or is not made for them.
    fn missing(&self, setting: &Setting) -> Option<String> {
        let _ = setting;
        None
    }

    /// Does a pass of a kind that it takes. `None` where the numbers themselves are not such as it can take.
    fn run(&self, pass: &Pass<'_>, rows: &Rows) -> Option<Swept>;
}

/// What the passes of a sweep have in common: known before there are numbers, and of each pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Where queries, keys and values are, and their dtype.
    pub(crate) placement: Placement,
    /// Query heads H.
    pub(crate) heads: usize,
    /// Key heads K.
    pub(crate) key_heads: usize,
    /// Width d of a head.
    pub(crate) width: usize,
    /// Keys n, at most.
    pub(crate) keys: usize,
    /// Whether the keys are those of a whole sequence and every query sees all of them.
    pub(crate) sees_all: bool,
    /// How the relevancy row is folded; `None`: left as it is, or differently from layer to layer.
    pub(crate) relevancy: Option<RowFold>,
    /// How gradients go back through attention.
    pub(crate) backward: Backward,
    /// Rollouts that are carried along.
    pub(crate) rollouts: usize,
}

impl Setting {
    /// Passes over a layer of a language model with attention of that size, in a sequence of so many tokens. They are planned as those
    /// of the gradient are: what is not dense is the reference's by every rule, and costs it no more by another.
    pub(crate) fn text(dims: Dims, placement: Placement, tokens: usize) -> Self {
        Self {
            placement,
            heads: dims.heads,
            key_heads: dims.key_heads,
            width: dims.width,
            keys: tokens,
            sees_all: false,
            relevancy: None,
            backward: Backward::Gradient,
            rollouts: 1,
        }
    }

    /// Passes over a layer of a vision tower.
    pub(crate) fn vision<T: PictureTower>(tower: &T, layer: &T::Layer, pass: PatchPass) -> Self {
        let dims = layer.dims();
        Self {
            placement: tower.placement(),
            heads: dims.heads,
            key_heads: dims.key_heads,
            width: dims.width,
            keys: patch_count(tower),
            sees_all: patch_mask(layer) == MaskRule::all(),
            relevancy: Some(pass.fold),
            backward: pass.backward,
            rollouts: 0,
        }
    }

    /// Whether passes are dense: every query sees every key, each head has keys of its own, and relevancy alone is folded.
    pub(crate) fn is_dense(&self) -> bool {
        self.sees_all && self.heads == self.key_heads && self.rollouts == 0
    }
}

/// Bytes that the passes of a sweep hold at a time, beside what the pull-backs of their layers do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassCost {
    /// Whatever the number of goals.
    pub(crate) shared: u64,
    /// For each goal.
    pub(crate) per_goal: u64,
    /// For each query row of a block, all heads and keys.
    pub(crate) row: u64,
    /// The same for each goal.
    pub(crate) row_per_goal: u64,
    /// Rows beyond this make a block no faster.
    pub(crate) most_rows: u64,
    /// Whether it is counted so closely that what a run of the vision tower leaves on a GPU does not fit into it.
    pub(crate) is_tight: bool,
}

impl PassCost {
    /// What holds for either.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            shared: self.shared.max(other.shared),
            per_goal: self.per_goal.max(other.per_goal),
            row: self.row.max(other.row),
            row_per_goal: self.row_per_goal.max(other.row_per_goal),
            most_rows: self.most_rows.min(other.most_rows),
            is_tight: self.is_tight || other.is_tight,
        }
    }

    /// Of blocks of float32 attention, made by one operation after the other: attention, scores and mask; for each goal A⊙∇A, its
    /// positive part, the gradient of the scores and a product in the making.
    pub(crate) fn of_blocks(setting: &Setting, most_rows: u64) -> Self {
        const FLOAT_BYTES: u64 = 4;
        let numbers = (setting.heads * setting.keys) as u64;
        Self {
            shared: 0,
            per_goal: 0,
            row: 3 * FLOAT_BYTES * numbers,
            row_per_goal: 5 * FLOAT_BYTES * numbers,
            most_rows,
            is_tight: false,
        }
    }
}
