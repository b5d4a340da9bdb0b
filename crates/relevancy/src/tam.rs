//! The arrays of the token activation map, a method that needs a forward pass alone: Li et al., "Token Activation Map to Visually
//! Explain Multimodal LLMs" (ICCV 2025).
//!
//! For an explained token the activation of every token j before it is `a[j] = relu(h_j·W[y])`: the logit of the explained token y
//! that the last hidden state at j gives. On the image tokens that is a map; of it the part is taken away that the tokens of the
//! context would have put there, too ([`context_weights`], [`interference_scale`]); image and text are brought to a common range;
//! and each grid is smoothed by a filter that weighs values by their rank ([`rank_gaussian`]). [`token_activation_map`] does all.
//!
//! The authors' program takes a token of the answer at the row that predicts it and a token of the prompt at its own; the definition
//! above takes every token at its own position. The row that predicts the explained token is the token itself: neither context nor
//! text.
//!
//! It shows where the last layer could have said the same word. It tells nothing of how the word came to be said: no attention and no
//! gradient is in it. Its values are scaled by definition.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, s};

use crate::{Error, ErrorKind};

/// A token activation map: values from 0 to 1 over image and text together, the image smoothed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TokenActivationMap {
    /// The image tokens `[n]`, grid by grid.
    pub image: Array1<f32>,
    /// The text tokens `[m]`.
    pub text: Array1<f32>,
}

/// The map from its parts: the activation of the image tokens `[n]`, the interference of the context `[n]`
/// (`Σ_i w_i·m_i`, m the maps of the tokens of the context for their own ids, w from [`context_weights`]), the activation of the text tokens
/// `[m]` without the one that predicts, and rows and columns of each grid.
///
/// `m̂ = relu(m − α·I)`, then `(x − min)/(max − min)` over m̂ and the text together (all zero where they are all alike), then
/// [`rank_gaussian`] on each grid.
///
/// Fails with [`ErrorKind::Tokens`] where the interference has another length, or with [`ErrorKind::GridCells`].
pub fn token_activation_map(
    image: ArrayView1<'_, f32>,
    interference: ArrayView1<'_, f32>,
    text: ArrayView1<'_, f32>,
    grids: &[[usize; 2]],
) -> Result<TokenActivationMap, Error> {
    let alpha = interference_scale(image, interference)?;
    let cells = grids
        .iter()
        .map(|[rows, columns]| rows.saturating_mul(*columns))
        .fold(0, usize::saturating_add);
    if cells != image.len() {
        return Err(ErrorKind::GridCells { cells, values: image.len() }.into());
    }
    let pairs = image.iter().zip(interference);
    let cleared: Array1<f64> = pairs
        .map(|(&m, &i)| f64::from(m) - alpha * f64::from(i))
        .map(|m| if m < 0.0 { 0.0 } else { m }) // unlike `max` it keeps what is not a number
        .collect();
    let text = text.mapv(f64::from);
    let all = || cleared.iter().chain(&text).copied();
    let (low, high) =
        (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let scale = |x: f64| if low < high { (x - low) / (high - low) } else { 0.0 };
    let image = smooth(cleared.mapv(scale).view(), grids);
    Ok(TokenActivationMap { image, text: text.mapv(|x| scale(x) as f32) })
}

/// How much each token of the context interferes, `w_i = a_i / (Σ a + 10⁻⁸)`, `[m]`, from the activations a of the explained token
/// at the tokens of its context.
pub fn context_weights(context: ArrayView1<'_, f32>) -> Array1<f32> {
    let sum: f64 = context.iter().map(|&a| f64::from(a)).sum();
    context.mapv(|a| (f64::from(a) / (sum + 1e-8)) as f32)
}

/// How much of the interference I is in the map m: the α that makes `|m − α·I|²` smallest, `⟨m,I⟩/⟨I,I⟩`. Zero where I is.
///
/// Fails with [`ErrorKind::Tokens`] where they differ in length.
pub fn interference_scale(
    map: ArrayView1<'_, f32>,
    interference: ArrayView1<'_, f32>,
) -> Result<f64, Error> {
    if map.len() != interference.len() {
        return Err(ErrorKind::Tokens { expected: map.len(), found: interference.len() }.into());
    }
    let dot = |a: ArrayView1<'_, f32>| -> f64 {
        a.iter().zip(interference).map(|(&a, &i)| f64::from(a) * f64::from(i)).sum()
    };
    match dot(interference) {
        0.0 => Ok(0.0),
        norm => Ok(dot(map) / norm),
    }
}

/// The rank-Gaussian filter of 3×3 cells, `[r, c]`. The nine values v around a cell, sorted, with mean μ and coefficient of variation
/// `σ = std/μ`, become `Σ_k g_k·v_k`, `g_k ∝ exp(−(k−4)²/2σ²)`: the median where they are alike, a mean where they are not.
///
/// Beyond the edge the grid is mirrored, the cells of the edge themselves not repeated. A mean of zero or less gives 0; σ = 0
/// the median, where the formula divides zero by zero.
///
/// ```
/// use attention_relevancy::{ndarray::Array2, tam::rank_gaussian};
///
/// let mut grid = Array2::from_elem((5, 5), 0.5);
/// assert_eq!(rank_gaussian(grid.view()), grid);
/// grid[[2, 2]] = 1.0; // one cell out of line
/// assert!(rank_gaussian(grid.view()).iter().all(|x| (x - 0.5).abs() < 1e-3));
/// ```
pub fn rank_gaussian(grid: ArrayView2<'_, f32>) -> Array2<f32> {
    filtered(grid.mapv(f64::from).view())
}

/// The filter on each grid; together they have as many cells as `map` has values.
fn smooth(map: ArrayView1<'_, f64>, grids: &[[usize; 2]]) -> Array1<f32> {
    let mut smooth = Vec::with_capacity(map.len());
    for &[rows, columns] in grids {
        let start = smooth.len();
        let grid = map.slice(s![start..start + rows * columns]);
        let grid = grid.into_shape_with_order((rows, columns)).expect("as many cells as values");
        smooth.extend(filtered(grid));
    }
    smooth.into()
}

fn filtered(grid: ArrayView2<'_, f64>) -> Array2<f32> {
    let (rows, columns) = grid.dim();
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        let (rows, columns) = (around(i, rows), around(j, columns));
        let window: [f64; 9] = std::array::from_fn(|k| grid[[rows[k / 3], columns[k % 3]]]);
        weigh_by_rank(window) as f32
    })
}

/// The index before `i`, `i` and the one behind it, mirrored at the ends of `0..n`.
fn around(i: usize, n: usize) -> [usize; 3] {
    let last = n - 1;
    let before = if i == 0 { last.min(1) } else { i - 1 };
    let behind = if i == last { last.saturating_sub(1) } else { i + 1 };
    [before, i, behind]
}

fn weigh_by_rank(mut window: [f64; 9]) -> f64 {
    window.sort_by(f64::total_cmp);
    let mean = window.iter().sum::<f64>() / 9.0;
    if mean <= 0.0 {
        return 0.0;
    }
    let variance = window.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 9.0;
    let sigma = variance.sqrt() / mean;
    if sigma == 0.0 {
        return window[4];
    }
    let weight = |rank: usize| (-(rank as f64 - 4.0).powi(2) / (2.0 * sigma * sigma)).exp();
    let (sum, total) = window
        .iter()
        .enumerate()
        .fold((0.0, 0.0), |(sum, total), (k, v)| (sum + weight(k) * v, total + weight(k)));
    sum / total
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn alpha_by_hand() {
        let alpha = |m: &[f32], i: &[f32]| {
            interference_scale(ArrayView1::from(m), ArrayView1::from(i)).unwrap()
        };
        assert!((alpha(&[1.0, 2.0, 3.0], &[2.0, 0.0, 1.0]) - 1.0).abs() < 1e-15);
        assert!(alpha(&[1.0, 2.0], &[0.0, 0.0]).abs() < 1e-15);
        let error = interference_scale(array![1.0].view(), array![1.0, 2.0].view());
        assert_eq!(error, Err(ErrorKind::Tokens { expected: 1, found: 2 }.into()));
    }

    #[test]
    fn the_weights_of_the_context_sum_to_one() {
        assert_eq!(context_weights(array![1.0, 3.0].view()), array![0.25, 0.75]);
        assert_eq!(context_weights(array![0.0, 0.0].view()), array![0.0, 0.0]);
    }

    #[test]
    fn edges_are_mirrored() {
        assert_eq!([around(0, 4), around(2, 4), around(3, 4)], [[1, 0, 1], [1, 2, 3], [2, 3, 2]]);
        assert_eq!(around(0, 1), [0, 0, 0]);
    }

    #[test]
    fn windows_without_variation_or_without_anything() {
        assert!((weigh_by_rank([0.25; 9]) - 0.25).abs() < 1e-15);
        assert!(weigh_by_rank([0.0; 9]).abs() < 1e-15);
        let mut window = [1.0; 9];
        window[0] = f64::NAN;
        assert!(weigh_by_rank(window).is_nan());
        assert_eq!(rank_gaussian(Array2::zeros((0, 3)).view()).dim(), (0, 3));
    }

    /// What numpy gives for the definition written out with `np.pad(mode="reflect")`, `np.sort`, `np.std`.
    #[test]
    fn the_filter_is_that_of_numpy() {
        let grid = Array2::from_shape_fn((4, 5), |(i, j)| ((i * 5 + j) * 7 % 11) as f32 / 8.0);
        let expected = array![
            [0.912_125_67, 0.577_709_31, 0.664_587_58, 0.643_849_48, 0.662_039_03],
            [0.525_725_39, 0.501_576_15, 0.625, 0.749_956_91, 0.728_032_9],
            [0.326_464_72, 0.624_602_58, 0.573_608_26, 0.663_331_04, 0.429_025_16],
            [0.189_739_28, 0.552_238_56, 0.435_864_96, 0.846_901_53, 0.420_919_14],
        ];
        let found = rank_gaussian(grid.view());
        assert!((found.mapv(f64::from) - expected).iter().all(|x| x.abs() < 1e-6), "{found}");
    }

    /// Two grids; α is that of `scipy.optimize.minimize_scalar` on `|m − α·I|²`, the rest of numpy.
    #[test]
    fn a_map_is_that_of_scipy_and_numpy() {
        let image = array![0.5, 1.5, 0.25, 2.0, 0.0, 1.0, 0.75, 3.0, 0.125, 0.5, 1.25, 0.0];
        let interference = array![0.25, 0.5, 1.0, 0.75, 0.5, 0.0, 0.25, 1.5, 0.5, 0.25, 0.0, 0.125];
        let alpha = interference_scale(image.view(), interference.view()).unwrap();
        assert!((alpha - 1.573_770_491_803_279).abs() < 1e-14);
        let text = array![0.5, 2.0, 0.0, 4.0];
        let grids = [[2, 3], [3, 2]];
        let map = token_activation_map(image.view(), interference.view(), text.view(), &grids);
        let map = map.unwrap();
        let expected = array![
            0.065_786_15,
            0.143_762_72,
            0.058_971_82,
            0.140_650_96,
            0.071_279_98,
            0.127_944_03,
            0.031_181_76,
            0.024_319_82,
            0.051_497_78,
            0.074_018_93,
            0.024_356_44,
            0.028_269_01,
        ];
        let errors = map.image.mapv(f64::from) - expected;
        assert!(errors.iter().all(|x: &f64| x.abs() < 1e-6), "{}", map.image);
        assert_eq!(map.text, array![0.125, 0.5, 0.0, 1.0]);
        let error = token_activation_map(image.view(), interference.view(), text.view(), &[[2, 3]]);
        assert_eq!(error, Err(ErrorKind::GridCells { cells: 6, values: 12 }.into()));
    }

    #[test]
    fn values_all_alike_are_zero() {
        let same = array![1.0, 1.0];
        let map =
            token_activation_map(same.view(), array![0.0, 0.0].view(), same.view(), &[[1, 2]]);
        let zero = array![0.0, 0.0];
        assert_eq!(map, Ok(TokenActivationMap { image: zero.clone(), text: zero }));
    }
}
