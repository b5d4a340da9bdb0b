//! A map of pixels made smooth, to be looked at: single pixels of a gradient speckle, areas of them can be read.

use attention_relevancy::ndarray::{Array2, ArrayView2, Axis, s};

/// The Gaussian of standard deviation `sigma` cells, cut off at 4 σ; at the border the map is mirrored, its outermost cells repeated.
/// The sum of all values stays.
pub(crate) fn gaussian(map: ArrayView2<'_, f32>, sigma: f64) -> Array2<f32> {
    let kernel = kernel(sigma);
    let mut smooth = map.mapv(f64::from);
    for axis in [Axis(0), Axis(1)] {
        for mut lane in smooth.lanes_mut(axis) {
            let values = lane.to_vec();
            for (at, value) in lane.iter_mut().enumerate() {
                *value = weighted(&values, at, &kernel);
            }
        }
    }
    smooth.mapv(|value| value as f32)
}

/// The means of blocks of `side` × `side` cells, which divides the map.
pub(crate) fn means(map: ArrayView2<'_, f32>, side: usize) -> Array2<f32> {
    let (rows, columns) = (map.nrows() / side, map.ncols() / side);
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let (y, x) = (row * side, column * side);
        map.slice(s![y..y + side, x..x + side]).mean().unwrap_or(0.0)
    })
}

/// Weights at the distances 0, 1, …, which sum to one over both sides.
fn kernel(sigma: f64) -> Vec<f64> {
    let reach = (4.0 * sigma).ceil() as usize;
    let weight = |distance: usize| (-0.5 * (distance as f64 / sigma).powi(2)).exp();
    let weights: Vec<f64> = (0..=reach).map(weight).collect();
    let sum = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn weighted(values: &[f64], at: usize, kernel: &[f64]) -> f64 {
    let (at, length) = (at as i64, values.len() as i64);
    let mirrored = |index: i64| {
        let within = index.rem_euclid(2 * length);
        values[within.min(2 * length - 1 - within) as usize]
    };
    let sides = kernel.iter().zip(0_i64..).skip(1);
    let sides = sides
        .map(|(weight, distance)| weight * (mirrored(at - distance) + mirrored(at + distance)));
    kernel[0] * mirrored(at) + sides.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use attention_relevancy::ndarray::Array2;

    use super::*;

    #[test]
    fn a_point_becomes_a_bell_and_nothing_is_lost() {
        let mut point = Array2::zeros((41, 41));
        point[[20, 20]] = 1.0;
        let smooth = gaussian(point.view(), 2.0);
        // 1 / (2 π σ²), and by σ from the middle that times e^(−1/2); sampling and the cut change it little.
        assert!((f64::from(smooth[[20, 20]]) - 0.039_789).abs() < 1e-4, "{}", smooth[[20, 20]]);
        assert!((smooth[[20, 22]] / smooth[[20, 20]] - 0.606_53).abs() < 1e-3);
        assert!((smooth.sum() - 1.0).abs() < 1e-5);
        let mut corner = Array2::zeros((3, 50));
        corner[[0, 0]] = -1.0;
        assert!(
            (gaussian(corner.view(), 5.0).sum() + 1.0).abs() < 1e-5,
            "mirrored far past a short side"
        );
    }

    #[test]
    fn blocks_have_their_means() {
        let map = Array2::from_shape_fn((4, 4), |(row, column)| (4 * row + column) as f32);
        assert_eq!(means(map.view(), 2).into_raw_vec_and_offset().0, [2.5, 4.5, 10.5, 12.5]);
    }
}
