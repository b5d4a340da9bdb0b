//! How a layer's fused attention acts on the relevancy.

use std::fmt;

use ndarray::ArrayView1;

/// The transition T of a layer, made from its fused attention Ā: `R ← T·R`.
///
/// All are `T_i = α_i·e_i + β_i·Ā_i` row by row, `e_i` the unit row; [`Update::rule`] says what α and β are.
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
    /// What the weights of a row are: the one definition of the row rule, for every engine.
    pub fn rule(self) -> RowRule {
        match self {
            Update::Additive => RowRule::Fixed(RowWeights { identity: 1.0, attention: 1.0 }),
            Update::Stochastic => RowRule::Normalized(RowWeights { identity: 0.5, attention: 0.5 }),
        }
    }

    /// The weights of a row of Ā that sums to `row_sum`: `self.rule().weights(row_sum)`.
    pub fn weights(self, row_sum: f64) -> RowWeights {
        self.rule().weights(row_sum)
    }
}

/// The weights α and β of a row of the transition, `T_i = α·e_i + β·Ā_i`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowWeights {
    /// α, of the unit row: what stays where it is.
    pub identity: f64,
    /// β, of the row of Ā.
    pub attention: f64,
}

/// How the weights of a row follow from its sum.
///
/// Closed, unlike [`Update`]: an engine that matches it has said what it does with every rule there is, and does not compile when there
/// is one more. An engine that makes rows on another device computes [`RowRule::weights`] there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowRule {
    /// These weights for every row, whatever its sum: no sum is needed.
    Fixed(RowWeights),
    /// `T_i = α·e_i + β·Ā_i/ΣĀ_i`, so that a row of T sums to α + β; a row that sums to zero is `(α + β)·e_i`.
    Normalized(RowWeights),
}

impl RowRule {
    /// The weights of a row of Ā that sums to `row_sum`. What is not a number stays so.
    ///
    /// ```
    /// use attention_relevancy::{RowWeights, Update};
    ///
    /// let weights = |identity, attention| RowWeights { identity, attention };
    /// assert_eq!(Update::Additive.weights(4.0), weights(1.0, 1.0));
    /// assert_eq!(Update::Stochastic.weights(4.0), weights(0.5, 0.125));
    /// assert_eq!(Update::Stochastic.weights(0.0), weights(1.0, 0.0));
    /// ```
    pub fn weights(self, row_sum: f64) -> RowWeights {
        match self {
            Self::Fixed(weights) => weights,
            Self::Normalized(RowWeights { identity, attention }) if row_sum == 0.0 => {
                RowWeights { identity: identity + attention, attention: 0.0 }
            }
            Self::Normalized(RowWeights { identity, attention }) => {
                RowWeights { identity, attention: attention / row_sum }
            }
        }
    }

    /// The weights of one row of Ā, `[S]`, which is summed only where that matters.
    pub(crate) fn of_row(self, fused: ArrayView1<'_, f32>) -> RowWeights {
        match self {
            Self::Fixed(weights) => weights,
            Self::Normalized(_) => self.weights(sum(fused)),
        }
    }
}

/// Sum in double precision: rows have thousands of entries.
pub(crate) fn sum(values: ArrayView1<'_, f32>) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_row(update: Update, fused: &[f32]) -> (f64, f64) {
        let weights = update.rule().of_row(ArrayView1::from(fused));
        (weights.identity, weights.attention)
    }

    #[test]
    fn stochastic_halves_and_keeps_zero_rows() {
        assert_eq!(of_row(Update::Stochastic, &[1.0, 3.0]), (0.5, 0.125));
        assert_eq!(of_row(Update::Stochastic, &[0.0, 0.0]), (1.0, 0.0));
        assert_eq!(of_row(Update::Additive, &[1.0, 3.0]), (1.0, 1.0));
    }

    #[test]
    fn a_row_that_is_not_a_number_stays_so() {
        assert!(of_row(Update::Stochastic, &[f32::NAN, 1.0]).1.is_nan());
    }
}
