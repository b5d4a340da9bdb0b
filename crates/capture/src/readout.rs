//! Single rows of attention, read off queries, keys and values: `[H, j]` numbers each, made when they are asked for.

use crate::attention::Float;
use crate::seam::{MaskRule, Qkv};
use crate::{LayerSwept, convert};
use attention_relevancy::ndarray::{Array2, Axis, s};
use std::ops::Range;
use tch::Tensor;

/// Positions of the keys that one query sees, n of them: all that it sees and no others, as runs in order. In a sequence that forks
/// the first branch lies between the runs of a query of the second.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Vec<Range<usize>>);

impl Keys {
    /// Of the query at `row` in a sequence of so many tokens.
    pub(crate) fn of(mask: &MaskRule, row: usize, tokens: usize) -> Self {
        Self(mask.seen(row, tokens))
    }

    /// From the first key to the last, gaps included.
    pub(crate) fn cover(&self) -> Range<usize> {
        self.0.first().map_or(0, |run| run.start)..self.0.last().map_or(0, |run| run.end)
    }

    /// The positions of each run, and which of the n columns of a row are theirs.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        self.0.iter().scan(0, |column, run| {
            let first = *column;
            *column += run.len();
            Some((run.clone(), first..*column))
        })
    }

    /// All positions in order.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        self.0.iter().cloned().flatten()
    }

    /// The columns `[H, n]` of the keys among values of the tokens from `first` on, `[H, tokens]`.
    pub(crate) fn of_tokens(&self, first: usize, values: &Array2<f32>) -> Array2<f32> {
        let cover = self.cover();
        self.columns(values.slice(s![.., cover.start - first..cover.end - first]).to_owned())
    }

    /// The columns `[H, n]` of the keys among those of [`Keys::cover`].
    pub(crate) fn columns(&self, of_cover: Array2<f32>) -> Array2<f32> {
        if self.0.len() == 1 {
            return of_cover;
        }
        let first = self.cover().start;
        let columns: Vec<usize> = self.positions().map(|position| position - first).collect();
        of_cover.select(Axis(1), &columns)
    }
}

/// What one query sees: its attention in every head.
pub(crate) struct AttentionRow {
    pub(crate) keys: Keys,
    /// `[H, n]`.
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
        let keys = Keys::of(self.mask, row, self.end);
        let attention = self.float.attention(&(row..row + 1), &keys.cover(), self.mask); // [H, 1, j]
        let attention = keys.columns(convert::matrix(&attention.squeeze_dim(1)));
        AttentionRow { keys, attention }
    }

    /// What attention makes of a row, `[H, 1, d]`, float32.
    pub(crate) fn output(&self, row: usize) -> Tensor {
        let keys = Keys::of(self.mask, row, self.end).cover();
        let attention = self.float.attention(&(row..row + 1), &keys, self.mask); // [H, 1, j]
        let values = self.float.values(&keys); // [K, j, d]
        let [heads, _, j] = <[i64; 3]>::try_from(attention.size()).expect("[H, 1, j]");
        let grouped = attention.view([-1, self.float.group(), j]); // [K, G, j]
        grouped.bmm(&values).view([heads, 1, -1])
    }

    /// `∂z/∂A[h,j] = dO[h,:]·V[h,j,:]` for a row with the gradient `dheads` `[H, d]` at its output, `[H, n]`.
    pub(crate) fn gradient(&self, keys: &Keys, dheads: &Tensor) -> Array2<f32> {
        let values = self.float.values(&keys.cover()); // [K, j, d]
        let [heads, d] = <[i64; 2]>::try_from(dheads.size()).expect("[H, d]");
        let grouped = dheads.reshape([-1, self.float.group(), d]); // [K, G, d]
        let gradient = grouped.matmul(&values.transpose(1, 2)).reshape([heads, -1]); // [H, j]
        keys.columns(convert::matrix(&gradient))
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
