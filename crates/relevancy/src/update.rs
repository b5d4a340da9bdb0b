//! How a layer's fused attention acts on the relevancy.

use std::fmt;

use ndarray::ArrayView1;

/// The transition T of a layer, made from its fused attention Ā: `R ← T·R`.
///
/// Both are `T_i = α_i·e_i + β_i·Ā_i` row by row, `e_i` the unit row; see [`Update::coefficients`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Update {
    /// `T = I + Ā`: the rule of Chefer et al. (2021), equation 6. Relevancy grows with depth.
    #[default]
    Additive,
    /// `T = D⁻¹(I + N(Ā))`: N divides each row by its sum and leaves an all-zero row as it is, D holds the row sums of
    /// `I + N(Ā)`. Rows of T sum to one, and so do rows of R for a non-negative Ā.
    ///
    /// With the head mean of attention as Ā this is the rollout of Abnar and Zuidema (2020), `(A + I)/2` row by row: softmax
    /// rows sum to one, so N changes nothing and D is 2.
    Stochastic,
}

/// The name in lower case: `additive`, `stochastic`.
impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Additive => "additive",
            Self::Stochastic => "stochastic",
        })
    }
}

impl Update {
    /// The weights `(α, β)` of the unit row and of `fused`, one row `Ā_i` `[S]`, in this row's transition.
    ///
    /// Additive: (1, 1). Stochastic: `(½, ½ / ΣĀ_i)`, or (1, 0) where the row sums to zero.
    pub fn coefficients(self, fused: ArrayView1<'_, f32>) -> (f64, f64) {
        match self {
            Update::Additive => (1.0, 1.0),
            Update::Stochastic => match sum(fused) {
                0.0 => (1.0, 0.0),
                sum => (0.5, 0.5 / sum),
            },
        }
    }
}

/// Sum in double precision: rows have thousands of entries.
pub(crate) fn sum(values: ArrayView1<'_, f32>) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn stochastic_halves_and_keeps_zero_rows() {
        assert_eq!(Update::Stochastic.coefficients(array![1.0, 3.0].view()), (0.5, 0.125));
        assert_eq!(Update::Stochastic.coefficients(array![0.0, 0.0].view()), (1.0, 0.0));
        assert_eq!(Update::Additive.coefficients(array![1.0, 3.0].view()), (1.0, 1.0));
    }

    #[test]
    fn a_row_that_is_not_a_number_stays_so() {
        assert!(Update::Stochastic.coefficients(array![f32::NAN, 1.0].view()).1.is_nan());
    }
}
