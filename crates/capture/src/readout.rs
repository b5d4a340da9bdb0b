//! Single rows of attention, read off queries, keys and values: `[H, j]` numbers each, made when they are asked for.

use crate::attention::Float;
use crate::{LayerSwept, convert};
use attention_relevancy::ndarray::Array2;
use gemma3_tch::{MaskRule, Qkv};
use std::ops::Range;
use tch::Tensor;

/// What one query sees: its attention in every head.
pub(crate) struct AttentionRow {
    /// Positions of the keys that it sees: all of them, and no others.
    pub(crate) keys: Range<usize>,
    /// `[H, keys]`.
    pub(crate) attention: Array2<f32>,
}

/// Rows of one layer's attention.
pub(crate) struct RowReader<'a> {
    float: Float,
    mask: &'a MaskRule,
    /// One behind the last key.
    end: usize,
}

impl<'a> RowReader<'a> {
    /// Of the queries at `rows`; the keys of `qkv` are all that they see.
    pub(crate) fn new(qkv: &Qkv, mask: &'a MaskRule, rows: &Range<usize>) -> Self {
        Self { float: Float::with_queries(qkv, rows), mask, end: qkv.start + qkv.tokens() }
    }

    /// The attention of the query at `row`.
    pub(crate) fn attention(&self, row: usize) -> AttentionRow {
        let query = row..row + 1;
        // What a single query sees has no gaps: a window into the past, and the rest of its own image.
        let keys = self.mask.keys(&query, self.end);
        let attention = self.float.attention(&query, &keys, self.mask); // [H, 1, j]
        AttentionRow { keys, attention: convert::matrix(&attention.squeeze_dim(1)) }
    }

    /// `∂z/∂A[h,j] = dO[h,:]·V[h,j,:]` for a row with the gradient `dheads` `[H, d]` at its output, `[H, keys]`.
    pub(crate) fn gradient(&self, keys: &Range<usize>, dheads: &Tensor) -> Array2<f32> {
        let values = self.float.values(keys); // [K, j, d]
        let [heads, d] = <[i64; 2]>::try_from(dheads.size()).expect("[H, d]");
        let grouped = dheads.reshape([-1, self.float.group(), d]); // [K, G, d]
        convert::matrix(&grouped.matmul(&values.transpose(1, 2)).reshape([heads, -1]))
    }
}

impl LayerSwept<'_> {
    /// Reads the rows that the layer was taken through.
    pub(crate) fn rows(&self) -> RowReader<'_> {
        RowReader::new(self.qkv, self.mask, &self.queries)
    }

    /// The gradient of a goal of this part of the sweep at the output of attention in one row, `[H, d]`.
    pub(crate) fn row_gradient(&self, goal: usize, row: usize) -> Tensor {
        let (goal, row) = ((goal - self.goals.start) as i64, (row - self.queries.start) as i64);
        self.heads_gradient.get(goal).select(1, row)
    }
}
