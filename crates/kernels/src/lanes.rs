//! The products that a pass over one head consists of, and the exponential, in vector registers.
//!
//! Anything that is not inlined here, closures included, loses the SIMD target features; hence plain loops instead of `map` and
//! `from_fn`.
//!
//! Attention stands transposed, keys in rows and queries in lanes: sums over keys then need no shuffling. `V` vectors of lanes are one
//! stretch of queries; `J`, `R` are how many rows and columns of a result are summed up in registers at a time.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is compiled without vector registers"
)]

use pulp::Simd;

/// Vectors of lanes that hold the queries of a stretch.
pub(crate) const V: usize = 2;

/// How the terms of a sum stand in words of 32 bits. Sums are float32, and so is every product of two numbers.
pub(crate) trait Terms<S: Simd>: Copy {
    /// How many terms a word holds.
    const PER_WORD: usize;

    /// The words of some numbers one after the other, the last filled up with zero.
    fn words(self, numbers: &[f32]) -> impl Iterator<Item = u32>;

    /// `sum + a·x`, word by word.
    fn multiply_add(self, simd: S, a: S::u32s, x: S::u32s, sum: S::f32s) -> S::f32s;
}

/// One float32 in a word.
#[derive(Clone, Copy)]
pub(crate) struct Single;

impl<S: Simd> Terms<S> for Single {
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn words(self, numbers: &[f32]) -> impl Iterator<Item = u32> {
        numbers.iter().map(|number| number.to_bits())
    }

    #[inline(always)]
    fn multiply_add(self, simd: S, a: S::u32s, x: S::u32s, sum: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(simd.transmute_f32s_u32s(a), simd.transmute_f32s_u32s(x), sum)
    }
}

/// `sums[t][lane] += Σ_c a[c][t]·x[c][lane]`: `J` rows of a result, over as many words `c` as `a` has groups of `J`.
#[inline(always)]
pub(crate) fn into_lanes<S: Simd, P: Terms<S>, const J: usize>(
    simd: S,
    terms: P,
    sums: &mut [[S::f32s; V]; J],
    a: &[u32],
    x: &[S::u32s],
) {
    let mut held = *sums; // in registers
    for (a, x) in a.as_chunks::<J>().0.iter().zip(x.as_chunks::<V>().0) {
        for t in 0..J {
            let factor = simd.splat_u32s(a[t]);
            for u in 0..V {
                held[t][u] = terms.multiply_add(simd, factor, x[u], held[t][u]);
            }
        }
    }
    *sums = held;
}

/// `out[t][column + r] += Σ_i a[t][i]·x[i][r]` for `J` rows of `out`, whose rows have `width` vectors, and `R` of their columns; rows
/// of `a` have as many numbers as there are queries, the lanes.
#[inline(always)]
pub(crate) fn out_of_lanes<S: Simd, const J: usize, const R: usize>(
    simd: S,
    a: &[f32],
    x: &[S::f32s],
    out: &mut [S::f32s],
    (width, column): (usize, usize),
) {
    let lanes = V * S::F32_LANES;
    let mut rows: [&[f32]; J] = [&[]; J];
    let mut held = [[simd.splat_f32s(0.0); R]; J];
    for t in 0..J {
        rows[t] = &a[t * lanes..][..lanes];
        held[t].copy_from_slice(&out[t * width + column..][..R]);
    }
    for (i, x) in x.as_chunks::<R>().0[..lanes].iter().enumerate() {
        for t in 0..J {
            let factor = simd.splat_f32s(rows[t][i]);
            for r in 0..R {
                held[t][r] = simd.mul_add_e_f32s(factor, x[r], held[t][r]);
            }
        }
    }
    for t in 0..J {
        out[t * width + column..][..R].copy_from_slice(&held[t]);
    }
}

/// `eˣ` for x ≤ 0, to three units in the last place; what is below e⁻⁸⁷ becomes that. NaN stays.
///
/// `x = n·ln 2 + r` with |r| ≤ ½ ln 2, and the Taylor polynomial of degree 7 for `eʳ`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// ln 2 in two parts: products of the first with small integers are exact.
    const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
    /// A number this large has no fraction left: adding it rounds, and its lowest bits are the rounded number plus 127, the bias
    /// of an exponent.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    let all = |number: f32| simd.splat_f32s(number);
    let x = at_least(simd, x, -87.0);
    let shifted = simd.mul_add_e_f32s(x, all(std::f32::consts::LOG2_E), all(ROUND));
    let n = simd.sub_f32s(shifted, all(ROUND));
    let r = simd.mul_add_e_f32s(n, all(-LN_2[0]), x);
    let r = simd.mul_add_e_f32s(n, all(-LN_2[1]), r);
    let mut power = all(1.0 / 5040.0);
    for factorial in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        power = simd.mul_add_e_f32s(power, r, all(1.0 / factorial));
    }
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.mul_f32s(power, simd.transmute_f32s_u32s(exponent))
}

/// The greater of both; NaN where x is, whatever the processor takes for a maximum.
#[inline(always)]
pub(crate) fn at_least<S: Simd>(simd: S, x: S::f32s, least: f32) -> S::f32s {
    let least = simd.splat_f32s(least);
    simd.select_f32s(simd.less_than_f32s(x, least), least, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Exp(Vec<f32>);

    impl WithSimd for Exp {
        type Output = Vec<f32>;

        fn with_simd<S: Simd>(mut self, simd: S) -> Vec<f32> {
            let (vectors, rest) = S::as_mut_simd_f32s(&mut self.0);
            assert!(rest.is_empty(), "the test gives whole vectors");
            for x in vectors {
                *x = exp(simd, *x);
            }
            self.0
        }
    }

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        let x: Vec<f32> = (0..1 << 16).map(|i| -100.0 * i as f32 / f32::from(u16::MAX)).collect();
        for arch in [Arch::Scalar, Arch::new()] {
            for (x, found) in x.iter().zip(arch.dispatch(Exp(x.clone()))) {
                let expected = f64::from(x.max(-87.0)).exp();
                let error = (f64::from(found) - expected).abs() / expected;
                assert!(error < 3.0 * f64::from(f32::EPSILON), "{x}: {found}, off by {error}");
            }
            let found = arch.dispatch(Exp(vec![f32::NAN; 64]));
            assert!(found.iter().all(|x| x.is_nan()), "{found:?}");
        }
    }
}
