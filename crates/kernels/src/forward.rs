//! Attention of one head, without its gradient.
//!
//! For a stretch of queries all scores are made, then their products with the values, some keys at a time.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is compiled without vector registers"
)]

use crate::lanes::{Single, Terms, V, into_lanes};
use crate::operands::Operands;
use crate::stretch::{AtHead, KEYS, Stretch, columns, part};
use pulp::{Simd, bytemuck};

/// `softmax(scale·q·kᵀ)·v`, `[m, d]`; there are no goals.
pub(crate) struct Attend;

impl AtHead for Attend {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd, P: Terms<S>>(self, simd: S, terms: P, operands: Operands<'_>) -> Vec<f32> {
        if S::REGISTER_COUNT < 32 {
            attend::<S, P, 6>(simd, terms, operands)
        } else {
            attend::<S, P, 12>(simd, terms, operands)
        }
    }
}

/// [`Attend`] with sums of `J` rows held in registers.
#[inline(always)]
fn attend<S: Simd, P: Terms<S>, const J: usize>(
    simd: S,
    terms: P,
    Operands { head, .. }: Operands<'_>,
) -> Vec<f32> {
    let mut stretch = Stretch::<S, P, J>::new(simd, terms, head);
    let (d, m, lanes) = (head.v.width, head.q.n_rows(), V * S::F32_LANES);
    let values = columns(head.v, stretch.keys, J);
    let zero = simd.splat_f32s(0.0);
    let mut heads = vec![0.0; m * d];
    let mut turned = vec![zero; d.next_multiple_of(J) * V]; // heads of a stretch, transposed
    for start in (0..m).step_by(lanes) {
        let rows = lanes.min(m - start);
        stretch.score(simd, head.q.part(start, rows));
        turned.fill(zero);
        for at in (0..stretch.keys).step_by(KEYS) {
            let attention = bytemuck::cast_slice(part(&stretch.attention, at * V, KEYS * V));
            for (column, sums) in turned.chunks_exact_mut(J * V).enumerate() {
                let mut held = [[zero; V]; J];
                held.as_flattened_mut().copy_from_slice(sums);
                let values = part(&values, (column * stretch.keys + at) * J, KEYS * J);
                into_lanes(simd, Single, &mut held, bytemuck::cast_slice(values), attention);
                sums.copy_from_slice(held.as_flattened());
            }
        }
        let (turned, share): (&[f32], &[f32]) =
            (bytemuck::cast_slice(&turned), bytemuck::cast_slice(&stretch.share));
        for (lane, head) in heads[start * d..][..rows * d].chunks_exact_mut(d).enumerate() {
            for (column, x) in head.iter_mut().enumerate() {
                *x = share[lane] * turned[column * lanes + lane];
            }
        }
    }
    heads
}
