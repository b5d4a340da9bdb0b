//! The pass over one head: attention and its gradient.
//!
//! For a stretch of queries all scores are made, then for each goal the gradient of its attention and, some keys at a time, the three
//! products that take it on to queries, keys and values.
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

use crate::lanes::{Single, Terms, V, at_least, into_lanes, out_of_lanes};
use crate::operands::{Goal, Matrix, Operands, Pulled};
use crate::stretch::{AtHead, KEYS, Stretch, columns, groups, part, turn};
use pulp::{Simd, bytemuck};

/// The pass: a [`Pulled`] for each goal.
pub(crate) struct Pull;

/// Only the sums `Σ_j (A⊙∇A)⁺[i, j]` of rows, `[m]` for each goal; weights are not looked at.
pub(crate) struct RowSums;

impl AtHead for Pull {
    type Output = Vec<Pulled>;

    #[inline(always)]
    fn run<S: Simd, P: Terms<S>>(self, simd: S, terms: P, operands: Operands<'_>) -> Vec<Pulled> {
        // What fits into the registers with an operand or two beside it.
        if S::REGISTER_COUNT < 32 {
            pull::<S, P, 6, 4, 3>(simd, terms, operands)
        } else {
            pull::<S, P, 12, 4, 5>(simd, terms, operands)
        }
    }
}

impl AtHead for RowSums {
    type Output = Vec<Vec<f32>>;

    #[inline(always)]
    fn run<S: Simd, P: Terms<S>>(self, simd: S, terms: P, operands: Operands<'_>) -> Self::Output {
        if S::REGISTER_COUNT < 32 {
            row_sums::<S, P, 6>(simd, terms, operands)
        } else {
            row_sums::<S, P, 12>(simd, terms, operands)
        }
    }
}

/// [`Pull`] with sums of `J` rows in lanes and of `T`×`R` vectors out of them held in registers.
#[inline(always)]
fn pull<S: Simd, P: Terms<S>, const J: usize, const T: usize, const R: usize>(
    simd: S,
    terms: P,
    Operands { head, goals }: Operands<'_>,
) -> Vec<Pulled> {
    let mut stretch = Stretch::<S, P, J>::new(simd, terms, head);
    let mut weighing = Weighing::<S>::new(simd, &stretch, head.v);
    let (d, lanes) = (head.k.width, V * S::F32_LANES);
    let (m, n) = (head.q.n_rows(), head.k.n_rows());
    let keys = columns(head.k, n.next_multiple_of(KEYS), J);
    let width = d.div_ceil(S::F32_LANES);
    let zero = simd.splat_f32s(0.0);
    let mut sums: Vec<_> = goals.iter().map(|_| Sums::<S>::new(simd, (m, n, d))).collect();
    // Rows of queries and of gradients, `R` vectors of each below those of the last: as the products take them.
    let [mut queries, mut gradients] = [(); 2].map(|()| vec![zero; lanes * width]);
    let mut dq = vec![zero; d.next_multiple_of(J) * V]; // transposed
    for start in (0..m).step_by(lanes) {
        let rows = lanes.min(m - start);
        stretch.score(simd, head.q.part(start, rows));
        // dS = A⊙∇A − A·Σ_j(A⊙∇A), each row times `share` and `scale`: the factors are left to what dS is multiplied with.
        let mut factors = [zero; V];
        for u in 0..V {
            factors[u] = simd.mul_f32s(stretch.share[u], simd.splat_f32s(head.scale));
        }
        let factors: &[f32] = bytemuck::cast_slice(&factors);
        by_columns::<S, R>(&mut queries, head.q.part(start, rows), factors);
        for (goal, sums) in goals.iter().zip(&mut sums) {
            let weights = part(goal.weights, start, rows);
            let some = Goal { dheads: goal.dheads.part(start, rows), weights };
            let total = weighing.weigh(simd, &mut stretch, some, &mut sums.folded);
            by_columns::<S, R>(
                &mut gradients,
                goal.dheads.part(start, rows),
                bytemuck::cast_slice(&stretch.share),
            );
            let mut minus = [zero; V];
            for u in 0..V {
                minus[u] = simd.neg_f32s(simd.mul_f32s(total[u], stretch.share[u]));
            }
            dq.fill(zero);
            for at in (0..stretch.keys).step_by(KEYS) {
                let attention = &stretch.attention[at * V..][..KEYS * V];
                let dscores = &mut weighing.weighted[at * V..][..KEYS * V];
                for (x, a) in dscores.chunks_exact_mut(V).zip(attention.chunks_exact(V)) {
                    for u in 0..V {
                        x[u] = simd.mul_add_e_f32s(a[u], minus[u], x[u]);
                    }
                }
                for (column, dq) in dq.chunks_exact_mut(J * V).enumerate() {
                    let mut held = [[zero; V]; J];
                    held.as_flattened_mut().copy_from_slice(dq);
                    let keys = part(&keys, (column * stretch.keys + at) * J, KEYS * J);
                    let (keys, dscores) =
                        (bytemuck::cast_slice(keys), bytemuck::cast_slice(dscores));
                    into_lanes(simd, Single, &mut held, keys, dscores);
                    dq.copy_from_slice(held.as_flattened());
                }
                let (attention, dscores) =
                    (bytemuck::cast_slice(attention), bytemuck::cast_slice(dscores));
                for key in (0..KEYS).step_by(T) {
                    let rows = |x| part::<f32>(x, key * lanes, T * lanes);
                    let out = (at + key) * width..(at + key + T) * width;
                    add::<S, T, R>(simd, rows(attention), &gradients, &mut sums.dv[out.clone()]);
                    add::<S, T, R>(simd, rows(dscores), &queries, &mut sums.dk[out]);
                }
            }
            let turned: &[f32] = bytemuck::cast_slice(&dq);
            let dq = &mut sums.dq[start * d..][..rows * d];
            for (lane, dq) in dq.chunks_exact_mut(d).enumerate() {
                let factor = factors[lane];
                dq.iter_mut()
                    .enumerate()
                    .for_each(|(c, dq)| *dq = factor * turned[c * lanes + lane]);
            }
        }
    }
    sums.into_iter().map(|sums| sums.finish((n, d))).collect()
}

#[inline(always)]
fn row_sums<S: Simd, P: Terms<S>, const J: usize>(
    simd: S,
    terms: P,
    Operands { head, goals }: Operands<'_>,
) -> Vec<Vec<f32>> {
    let mut stretch = Stretch::<S, P, J>::new(simd, terms, head);
    let mut weighing = Weighing::<S>::new(simd, &stretch, head.v);
    let (m, lanes) = (head.q.n_rows(), V * S::F32_LANES);
    let zero = simd.splat_f32s(0.0);
    let mut sums = vec![Vec::with_capacity(m); goals.len()];
    let mut folded = vec![0.0; stretch.keys]; // stays zero: nothing has a weight
    for start in (0..m).step_by(lanes) {
        let rows = lanes.min(m - start);
        stretch.score(simd, head.q.part(start, rows));
        for (goal, sums) in goals.iter().zip(&mut sums) {
            let some = Goal { dheads: goal.dheads.part(start, rows), weights: &[] };
            weighing.weigh(simd, &mut stretch, some, &mut folded);
            let mut sum = [zero; V];
            for weighted in weighing.weighted.chunks_exact(V) {
                for u in 0..V {
                    sum[u] = simd.add_f32s(sum[u], at_least(simd, weighted[u], 0.0));
                }
            }
            for u in 0..V {
                sum[u] = simd.mul_f32s(sum[u], stretch.share[u]);
            }
            sums.extend_from_slice(&bytemuck::cast_slice(&sum)[..rows]);
        }
    }
    sums
}

/// A⊙∇A of one stretch of queries.
struct Weighing<S: Simd> {
    /// Values in words, in groups as keys are.
    values: Vec<u32>,
    /// A⊙∇A of the goal that was weighed last, over `share`: 0.5 MB at 4096 keys and 16 lanes.
    weighted: Vec<S::f32s>,
}

impl<S: Simd> Weighing<S> {
    #[inline(always)]
    fn new<P: Terms<S>, const J: usize>(
        simd: S,
        stretch: &Stretch<S, P, J>,
        values: Matrix<'_>,
    ) -> Self {
        Self {
            values: groups(stretch.terms, values, stretch.keys, J),
            weighted: vec![simd.splat_f32s(0.0); stretch.keys * V],
        }
    }

    /// A⊙∇A from the gradient at the output of these queries, `[rows, d]`, and its sums over keys, both over `share`. The positive parts
    /// times `weights` are added to `folded`, key by key.
    #[inline(always)]
    fn weigh<P: Terms<S>, const J: usize>(
        &mut self,
        simd: S,
        stretch: &mut Stretch<S, P, J>,
        Goal { dheads, weights }: Goal<'_>,
        folded: &mut [f32],
    ) -> [S::f32s; V] {
        turn(stretch.terms, &mut stretch.turned, dheads);
        let zero = simd.splat_f32s(0.0);
        let mut of_lanes = [zero; V];
        bytemuck::cast_slice_mut(&mut of_lanes)[..weights.len()].copy_from_slice(weights);
        for u in 0..V {
            of_lanes[u] = simd.mul_f32s(of_lanes[u], stretch.share[u]);
        }
        let mut total = [zero; V];
        let words = stretch.turned.len() / V;
        let groups = self.values.chunks_exact(words * J);
        let groups = groups.zip(stretch.attention.chunks_exact(J * V));
        let groups = groups.zip(self.weighted.chunks_exact_mut(J * V));
        for (((values, attention), weighted), folded) in groups.zip(folded.chunks_exact_mut(J)) {
            let mut sums = [[zero; V]; J];
            into_lanes(simd, stretch.terms, &mut sums, values, &stretch.turned);
            let mut positive = [zero; J];
            for t in 0..J {
                for u in 0..V {
                    let x = simd.mul_f32s(sums[t][u], attention[t * V + u]);
                    total[u] = simd.add_f32s(total[u], x);
                    let above = at_least(simd, x, 0.0);
                    positive[t] = simd.mul_add_e_f32s(above, of_lanes[u], positive[t]);
                    weighted[t * V + u] = x;
                }
            }
            for t in 0..J {
                folded[t] += simd.reduce_sum_f32s(positive[t]);
            }
        }
        total
    }
}

/// What stretches add up to for one goal, rows filled up to whole groups of keys and to whole vectors.
struct Sums<S: Simd> {
    dq: Vec<f32>,
    dk: Vec<S::f32s>,
    dv: Vec<S::f32s>,
    folded: Vec<f32>,
}

impl<S: Simd> Sums<S> {
    #[inline(always)]
    fn new(simd: S, (m, n, d): (usize, usize, usize)) -> Self {
        let keys = n.next_multiple_of(KEYS);
        let zeros = || vec![simd.splat_f32s(0.0); keys * d.div_ceil(S::F32_LANES)];
        Self { dq: vec![0.0; m * d], dk: zeros(), dv: zeros(), folded: vec![0.0; keys] }
    }

    fn finish(mut self, (n, d): (usize, usize)) -> Pulled {
        let width = d.next_multiple_of(S::F32_LANES);
        let trimmed = |x: &[S::f32s]| -> Vec<f32> {
            let rows = bytemuck::cast_slice::<_, f32>(x).chunks_exact(width).take(n);
            rows.flat_map(|row| &row[..d]).copied().collect()
        };
        let (dk, dv) = (trimmed(&self.dk), trimmed(&self.dv));
        self.folded.truncate(n);
        Pulled { dq: self.dq, dk, dv, folded: self.folded }
    }
}

/// `T` rows of a product over the lanes: all columns, `R` vectors of them at a time.
#[inline(always)]
fn add<S: Simd, const T: usize, const R: usize>(
    simd: S,
    a: &[f32],
    x: &[S::f32s],
    out: &mut [S::f32s],
) {
    let (lanes, width) = (V * S::F32_LANES, out.len() / T);
    let whole = width / R * R;
    for column in (0..whole).step_by(R) {
        let x = part(x, column * lanes, R * lanes);
        out_of_lanes::<S, T, R>(simd, a, x, out, (width, column));
    }
    let x = &x[whole * lanes..];
    match width - whole {
        1 => out_of_lanes::<S, T, 1>(simd, a, x, out, (width, whole)),
        2 => out_of_lanes::<S, T, 2>(simd, a, x, out, (width, whole)),
        3 => out_of_lanes::<S, T, 3>(simd, a, x, out, (width, whole)),
        4 => out_of_lanes::<S, T, 4>(simd, a, x, out, (width, whole)),
        _ => {}
    }
}

/// Rows of `x` times a factor each, `R` vectors of columns of all of them below those of the last: `[width/R, lanes, R]`, and what is
/// left of the width in the same way. Lanes without a row are zero.
#[inline(always)]
fn by_columns<S: Simd, const R: usize>(packed: &mut [S::f32s], x: Matrix<'_>, factors: &[f32]) {
    let (lanes, width) = (V * S::F32_LANES, x.width.div_ceil(S::F32_LANES));
    let packed: &mut [f32] = bytemuck::cast_slice_mut(packed);
    packed.fill(0.0);
    for (lane, (row, factor)) in x.rows().zip(factors).enumerate() {
        for (vector, x) in row.chunks(S::F32_LANES).enumerate() {
            let column = vector / R * R;
            let at = column * lanes + lane * R.min(width - column) + vector - column;
            let to = packed[at * S::F32_LANES..].iter_mut();
            to.zip(x).for_each(|(to, x)| *to = x * factor);
        }
    }
}
