//! Maps of a series of slices: projections, the share of each slice, how the slices stack.

use std::cmp::Ordering;

use ndarray::{Array2, ArrayView3, Axis};

pub(crate) use views::{SideView, Views};

mod views;

/// How the slices of one series lie behind each other. All of it may be unknown: then slices are drawn at equal distances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stack {
    /// Where each slice lies along the normal of its picture, in millimetres; `None` where a file does not say. Distances are drawn
    /// as they are where all are known and they rise or fall from slice to slice.
    pub positions_mm: Vec<Option<f64>>,
    /// Height and width of a pixel of the pictures, in millimetres: the distance of its rows, then of its columns.
    pub spacing_mm: Option<[f64; 2]>,
    /// The letter of the patient's side that the first slice lies nearest to, and that of the last: `['F', 'H']` for axial slices from
    /// the feet up.
    pub ends: Option<[char; 2]>,
}

/// The largest values of a volume of slices along each of its axes: of each line the value of the largest magnitude, with its sign.
#[derive(Clone, Debug, PartialEq)]
pub struct Projections {
    /// Along the slices: `[rows, columns]`, a picture of the kind of a slice.
    pub through: Array2<f32>,
    /// Along the rows: `[slices, columns]`. Coronal where slices are axial.
    pub columns: Array2<f32>,
    /// Along the columns: `[slices, rows]`. Sagittal where slices are axial.
    pub rows: Array2<f32>,
}

/// The projections of values `[slices, rows, columns]`. NaN, for a place without a value, never hides one. An axis without length has
/// nothing to find: zero.
pub fn volume_projections(volume: ArrayView3<'_, f32>) -> Projections {
    let along = |axis| {
        volume.fold_axis(Axis(axis), f32::NAN, |&largest, &value| {
            let wins = !value.is_nan() && (largest.is_nan() || largest.abs() < value.abs());
            if wins { value } else { largest }
        })
    };
    let known = |found: Array2<f32>| found.mapv(|v| if v.is_nan() { 0.0 } else { v });
    Projections { through: known(along(0)), columns: known(along(1)), rows: known(along(2)) }
}

/// The part of all magnitudes that lies in each slice of `[slices, rows, columns]`; together 1, or all 0 where there is nothing. NaN,
/// for a place without a value, counts as zero.
pub fn volume_shares(volume: ArrayView3<'_, f32>) -> Vec<f64> {
    let sum = |slice: ndarray::ArrayView2<'_, f32>| {
        slice.iter().filter(|v| !v.is_nan()).map(|v| f64::from(v.abs())).sum()
    };
    shares(volume.outer_iter().map(sum).collect())
}

/// The numbers of the slices with the largest shares, largest first, no more than `most`: of equal ones the earlier slice. Slices
/// without any share are left out.
pub fn top_slices(shares: &[f64], most: usize) -> Vec<usize> {
    let mut found: Vec<usize> = (0..shares.len()).filter(|&slice| 0.0 < shares[slice]).collect();
    found.sort_by(|&a, &b| match shares[b].total_cmp(&shares[a]) {
        Ordering::Equal => a.cmp(&b),
        unequal => unequal,
    });
    found.truncate(most);
    found
}

/// Sums as parts of their sum.
pub(crate) fn shares(mut sums: Vec<f64>) -> Vec<f64> {
    let all: f64 = sums.iter().sum();
    if 0.0 < all {
        for sum in &mut sums {
            *sum /= all;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    /// Two slices of two rows and three columns.
    fn volume() -> Array3<f32> {
        array![[[1.0, 0.0, -4.0], [0.5, 2.0, 0.0]], [[0.0, -3.0, 1.0], [0.0, 0.0, f32::NAN]]]
    }

    #[test]
    fn projections_take_the_largest_magnitude() {
        let Projections { through, columns, rows } = volume_projections(volume().view());
        assert_eq!(through, array![[1.0, -3.0, -4.0], [0.5, 2.0, 0.0]]);
        assert_eq!(columns, array![[1.0, 2.0, -4.0], [0.0, -3.0, 1.0]]);
        assert_eq!(rows, array![[-4.0, 2.0], [-3.0, 0.0]]);
    }

    #[test]
    fn a_place_without_values_is_zero_and_hides_none() {
        let volume = array![[[f32::NAN]], [[0.25]], [[f32::NAN]]];
        let found = volume_projections(volume.view());
        assert_eq!(found.through, array![[0.25]]);
        assert_eq!(found.columns, array![[0.0], [0.25], [0.0]]);
        let none = volume_projections(Array3::zeros((0, 2, 3)).view());
        assert_eq!(none.through, Array2::<f32>::zeros((2, 3)));
        assert_eq!((none.columns.dim(), none.rows.dim()), ((0, 3), (0, 2)));
    }

    #[test]
    fn shares_are_parts_of_all_magnitudes() {
        let found = volume_shares(volume().view());
        let expected = [7.5 / 11.5, 4.0 / 11.5];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert_eq!(volume_shares(Array3::zeros((3, 2, 2)).view()), [0.0; 3]);
    }

    #[test]
    fn the_top_slices_come_largest_first() {
        assert_eq!(top_slices(&[0.1, 0.4, 0.0, 0.4, 0.1], 3), [1, 3, 0]);
        assert_eq!(top_slices(&[0.0, 1.0], 5), [1]);
        assert!(top_slices(&[], 5).is_empty());
    }
}
