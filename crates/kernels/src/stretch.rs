//! A stretch of queries beside all keys of a head: what both directions begin with.
//!
//! Queries are taken a stretch at a time, as many as fill [`V`] vectors. Attention of a stretch has 0.5 MB at 4096 keys and 16 lanes,
//! what is packed of keys at most 1.2 MB at a width of 72.
//!
//! Symbols: m queries, n keys, d head width.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is compiled without vector registers"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "several arrays are walked together, without closures"
)]

use crate::lanes::{Terms, V, exp, into_lanes};
use crate::operands::{Head, Matrix, Operands};
use pulp::{Simd, bytemuck};

/// Keys that are worked on together: their attention fits into the first cache. A multiple of every `J` and `T` below.
pub(crate) const KEYS: usize = 48;

/// What is done at a head; `terms` are those of products over its width.
pub(crate) trait AtHead {
    type Output;

    fn run<S: Simd, P: Terms<S>>(self, simd: S, terms: P, operands: Operands<'_>) -> Self::Output;
}

/// The attention of one stretch of queries, keys in rows and queries in lanes: `[n, V]` vectors. Rows beyond the last key are zero, and
/// so is what lanes without a query give.
pub(crate) struct Stretch<S: Simd, P: Terms<S>, const J: usize> {
    pub(crate) terms: P,
    /// Number of keys, filled up to whole groups.
    pub(crate) keys: usize,
    /// Number of keys.
    n: usize,
    scale: f32,
    packed_keys: Vec<u32>,
    /// `exp(score − greatest score)`: attention over `share`.
    pub(crate) attention: Vec<S::f32s>,
    /// One over the sums of it.
    pub(crate) share: [S::f32s; V],
    /// What the lanes stand for, transposed, in words.
    pub(crate) turned: Vec<S::u32s>,
}

impl<S: Simd, P: Terms<S>, const J: usize> Stretch<S, P, J> {
    #[inline(always)]
    pub(crate) fn new(simd: S, terms: P, Head { k, scale, .. }: Head<'_>) -> Self {
        let n = k.n_rows();
        let keys = n.next_multiple_of(KEYS);
        let zero = simd.splat_f32s(0.0);
        Self {
            terms,
            keys,
            n,
            scale,
            packed_keys: groups(terms, k, keys, J),
            attention: vec![zero; keys * V],
            share: [zero; V],
            turned: vec![simd.splat_u32s(0); k.width.div_ceil(P::PER_WORD) * V],
        }
    }

    /// Attention of the queries `[rows, d]`.
    #[inline(always)]
    pub(crate) fn score(&mut self, simd: S, queries: Matrix<'_>) {
        turn(self.terms, &mut self.turned, queries);
        let zero = simd.splat_f32s(0.0);
        let words = self.turned.len() / V;
        let groups = self.packed_keys.chunks_exact(words * J);
        for (keys, scores) in groups.zip(self.attention.chunks_exact_mut(J * V)) {
            let mut sums = [[zero; V]; J];
            into_lanes(simd, self.terms, &mut sums, keys, &self.turned);
            scores.copy_from_slice(sums.as_flattened());
        }
        let (scores, rest) = self.attention.split_at_mut(self.n * V);
        let mut greatest = [simd.splat_f32s(f32::NEG_INFINITY); V];
        for scores in scores.chunks_exact(V) {
            for u in 0..V {
                greatest[u] = simd.max_f32s(greatest[u], scores[u]);
            }
        }
        let scale = simd.splat_f32s(self.scale);
        let mut sum = [zero; V];
        for scores in scores.chunks_exact_mut(V) {
            for u in 0..V {
                let below = simd.sub_f32s(scores[u], greatest[u]);
                scores[u] = exp(simd, simd.mul_f32s(below, scale));
                sum[u] = simd.add_f32s(sum[u], scores[u]);
            }
        }
        rest.fill(zero);
        for u in 0..V {
            self.share[u] = simd.div_f32s(simd.splat_f32s(1.0), sum[u]);
        }
    }
}

/// Rows of `x` in words, filled up with zeros to `rows` rows, in groups of `size`: `[rows/size, words, size]`.
#[inline(always)]
pub(crate) fn groups<S: Simd, P: Terms<S>>(
    terms: P,
    x: Matrix<'_>,
    rows: usize,
    size: usize,
) -> Vec<u32> {
    let words = x.width.div_ceil(P::PER_WORD);
    let mut packed = vec![0; rows * words];
    for (i, row) in x.rows().enumerate() {
        let group = &mut packed[i / size * words * size..][..words * size];
        let to = group.iter_mut().skip(i % size).step_by(size);
        to.zip(terms.words(row)).for_each(|(to, word)| *to = word);
    }
    packed
}

/// Columns of `x`, filled up with zeros to `rows` rows and whole groups, in groups of `size`: `[d/size, rows, size]`.
pub(crate) fn columns(x: Matrix<'_>, rows: usize, size: usize) -> Vec<f32> {
    let mut packed = vec![0.0; rows * x.width.next_multiple_of(size)];
    for (i, row) in x.rows().enumerate() {
        for (group, x) in row.chunks(size).enumerate() {
            packed[(group * rows + i) * size..][..x.len()].copy_from_slice(x);
        }
    }
    packed
}

/// `x` in words with rows in lanes, `[words, V]`; lanes without a row are zero.
#[inline(always)]
pub(crate) fn turn<S: Simd, P: Terms<S>>(terms: P, turned: &mut [S::u32s], x: Matrix<'_>) {
    let lanes = V * S::U32_LANES;
    let turned: &mut [u32] = bytemuck::cast_slice_mut(turned);
    turned.fill(0);
    for (lane, row) in x.rows().enumerate() {
        let to = turned.iter_mut().skip(lane).step_by(lanes);
        to.zip(terms.words(row)).for_each(|(to, word)| *to = word);
    }
}

#[inline(always)]
pub(crate) fn part<T>(x: &[T], start: usize, len: usize) -> &[T] {
    &x[start..][..len]
}
