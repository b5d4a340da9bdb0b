//! Comparing arrays: how far is far.

use ndarray::{ArrayBase, ArrayView1, Data, Dimension, Zip};

/// The largest difference that is accepted, relative to the largest expected entry.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance {
    /// Not at all: both sides do the same arithmetic.
    Exact,
    /// 2·10⁻⁵: float32 on both sides, operations in another order.
    Rounding,
    /// 5·10⁻⁵: the same of what is small beside the terms that it is summed of.
    Cancelling,
}

impl Tolerance {
    /// As a number.
    pub fn limit(self) -> f64 {
        match self {
            Self::Exact => 0.0,
            Self::Rounding => 2e-5,
            Self::Cancelling => 5e-5,
        }
    }
}

/// Largest difference, relative to the largest expected entry.
pub fn difference<D: Dimension>(
    found: &ArrayBase<impl Data<Elem = f32>, D>,
    expected: &ArrayBase<impl Data<Elem = f64>, D>,
) -> f64 {
    assert_eq!(found.shape(), expected.shape(), "shapes");
    let largest = expected.iter().fold(0f64, |largest, x| largest.max(x.abs()));
    let mut distance = 0f64;
    Zip::from(found).and(expected).for_each(|&a, &b| {
        let step = (f64::from(a) - b).abs();
        distance = if step.is_nan() { f64::INFINITY } else { distance.max(step) };
    });
    if distance == 0.0 { 0.0 } else { distance / largest }
}

/// Largest difference of two relevancy rows, relative to the largest expected entry; the self term, which is at least 1 by
/// definition and would hide the rest, is left out of both.
pub fn row_difference(
    found: ArrayView1<'_, f32>,
    expected: ArrayView1<'_, f64>,
    self_position: usize,
) -> f64 {
    let (mut found, mut expected) = (found.to_owned(), expected.to_owned());
    (found[self_position], expected[self_position]) = (0.0, 0.0);
    difference(&found, &expected)
}

/// Stops the test, naming what differs and by how much.
pub fn assert_close<D: Dimension>(
    what: &str,
    found: &ArrayBase<impl Data<Elem = f32>, D>,
    expected: &ArrayBase<impl Data<Elem = f64>, D>,
    tolerance: Tolerance,
) {
    let distance = difference(found, expected);
    assert!(
        distance <= tolerance.limit(),
        "{what}: differs by {distance:.2e}, allowed {:.0e}",
        tolerance.limit()
    );
}

/// [`assert_close`] for a relevancy row, without its self term.
pub fn assert_row_close(
    what: &str,
    found: ArrayView1<'_, f32>,
    expected: ArrayView1<'_, f64>,
    self_position: usize,
) {
    let distance = row_difference(found, expected, self_position);
    let limit = Tolerance::Rounding.limit();
    assert!(distance <= limit, "{what}: differs by {distance:.2e}, allowed {limit:.0e}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_difference_is_relative_to_the_largest_entry_and_nan_is_infinite() {
        assert!((difference(&array![1f32, 2.0], &array![1.0, 4.0]) - 0.5).abs() < 1e-9);
        assert!(difference(&array![f32::NAN, 4.0], &array![1.0, 4.0]).is_infinite());
        assert!(row_difference(array![9f32, 4.0].view(), array![1.0, 4.0].view(), 0) == 0.0);
    }
}
