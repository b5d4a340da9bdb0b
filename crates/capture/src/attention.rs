//! Attention made explicit, in float32, for a block of queries.

use crate::seam::{MaskRule, Qkv};
use std::ops::Range;
use tch::{Kind, Tensor};

/// Queries, keys and values in float32, with the tokens they stand for.
///
/// The query heads of a group stand below each other, so that one product with their key head serves them all and no key is
/// copied: `[K, G·b, ·]` and `[H, b, ·]` are the same numbers.
pub(crate) struct Float {
    q: Tensor,            // [H, m, d], times `scale`
    pub(crate) k: Tensor, // [K, n, d]
    pub(crate) v: Tensor, // [K, n, d]
    pub(crate) scale: f64,
    /// Position of the first query.
    first_query: usize,
    /// Position of the first key.
    first_key: usize,
}

impl Float {
    /// All queries and keys of `qkv`.
    pub(crate) fn new(qkv: &Qkv) -> Self {
        let [q, k, v] = [&qkv.q, &qkv.k, &qkv.v].map(|x| x.to_kind(Kind::Float));
        let q = q * qkv.scale;
        Self { q, k, v, scale: qkv.scale, first_query: qkv.start, first_key: qkv.start }
    }

    /// Keys and values of `qkv`, but only the queries at `queries` (positions).
    pub(crate) fn with_queries(qkv: &Qkv, queries: &Range<usize>) -> Self {
        let skip = (queries.start - qkv.start) as i64;
        let q = qkv.q.narrow(1, skip, queries.len() as i64);
        let [q, k, v] = [&q, &qkv.k, &qkv.v].map(|x| x.to_kind(Kind::Float));
        let q = (q * qkv.scale).contiguous();
        Self { q, k, v, scale: qkv.scale, first_query: queries.start, first_key: qkv.start }
    }

    /// Number of query heads that share a key head.
    pub(crate) fn group(&self) -> i64 {
        self.q.size()[0] / self.k.size()[0]
    }

    /// The queries at these positions, times `scale`, `[H, b, d]`.
    pub(crate) fn queries(&self, rows: &Range<usize>) -> Tensor {
        self.q.narrow(1, (rows.start - self.first_query) as i64, rows.len() as i64)
    }

    /// The keys at these positions `[K, j, d]`.
    pub(crate) fn keys(&self, keys: &Range<usize>) -> Tensor {
        self.k.narrow(1, (keys.start - self.first_key) as i64, keys.len() as i64)
    }

    /// The values at these positions `[K, j, d]`.
    pub(crate) fn values(&self, keys: &Range<usize>) -> Tensor {
        self.v.narrow(1, (keys.start - self.first_key) as i64, keys.len() as i64)
    }

    /// `softmax(q·kᵀ·scale + mask)` `[H, b, j]` for queries at `rows` over keys at `keys`, which hold all that the rows see.
    pub(crate) fn attention(
        &self,
        rows: &Range<usize>,
        keys: &Range<usize>,
        mask: &MaskRule,
    ) -> Tensor {
        let shape = [self.q.size()[0], rows.len() as i64, keys.len() as i64];
        let q = self.queries(rows).reshape([-1, self.group() * shape[1], self.q.size()[2]]);
        let mut scores = q.bmm(&self.keys(keys).transpose(1, 2)).view(shape);
        if let Some(visible) = mask.block(rows, keys, scores.device()) {
            scores = scores.masked_fill_(&visible.logical_not(), f64::NEG_INFINITY);
        }
        scores.softmax(-1, Kind::Float)
    }
}
