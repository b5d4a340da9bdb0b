//! From the tokens of a picture to the finer cells that were averaged into them.

use ndarray::{Array2, ArrayView2, s};

use crate::{Error, ErrorKind};

/// Spreads the relevancy of each token over the k×k cells that its mean was taken of, `[r·k, c·k]` from `tokens` `[r, c]`:
/// `r_q = r_t · s_q⁺ / Σ_{q' in t} s_q'⁺`, and evenly, `r_t / k²`, where no score of the token is positive.
///
/// The cells of a token sum to its relevancy, whatever the scores. With scores of zero all is spread evenly. With `s_q = x_q·∂z/∂x_q`,
/// x the feature of a cell, it is the rule of gradient-weighted attention: a mean is attention with the weight `1/k²`, whose
/// gradient is that score.
///
/// Fails with [`ErrorKind::CellsShape`] where `scores` are not k×k to each token, and with [`ErrorKind::CellScore`] where one is not finite.
///
/// ```
/// use attention_relevancy::ndarray::array;
/// use attention_relevancy::unpool;
///
/// let scores = array![[1.0, -2.0, 0.0, 0.0], [3.0, 0.0, -1.0, 0.0]];
/// let cells = unpool(array![[8.0, 4.0]].view(), scores.view())?;
/// assert_eq!(cells, array![[2.0, 0.0, 1.0, 1.0], [6.0, 0.0, 1.0, 1.0]]);
/// # Ok::<(), attention_relevancy::Error>(())
/// ```
pub fn unpool(
    tokens: ArrayView2<'_, f32>,
    scores: ArrayView2<'_, f32>,
) -> Result<Array2<f32>, Error> {
    let ((rows, columns), cells) = (tokens.dim(), scores.dim());
    let k = cells.0.checked_div(rows).unwrap_or(0);
    if k == 0 || cells != (rows * k, columns * k) {
        return Err(
            ErrorKind::CellsShape { tokens: [rows, columns], found: [cells.0, cells.1] }.into()
        );
    }
    if let Some(((row, column), &value)) = scores.indexed_iter().find(|(_, s)| !s.is_finite()) {
        return Err(ErrorKind::CellScore { row, column, value }.into());
    }
    let positive = |score: f32| f64::from(score.max(0.0));
    let mut spread = Array2::zeros(cells);
    for ((row, column), &relevancy) in tokens.indexed_iter() {
        let cell = s![row * k..(row + 1) * k, column * k..(column + 1) * k];
        let scores = scores.slice(cell);
        let sum: f64 = scores.iter().copied().map(positive).sum();
        spread.slice_mut(cell).zip_mut_with(&scores, |share, &score| {
            let part = if sum > 0.0 { positive(score) / sum } else { 1.0 / (k * k) as f64 };
            *share = (f64::from(relevancy) * part) as f32;
        });
    }
    Ok(spread)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn every_token_keeps_its_relevancy() {
        let tokens = Array2::from_shape_fn((3, 2), |(i, j)| (i * 7 + j * 3) as f32 + 0.5);
        for k in 1..5 {
            let score = |(i, j): (usize, usize)| ((i * 31 + j * 17) % 23) as f32 - 11.0;
            let scores = Array2::from_shape_fn((3 * k, 2 * k), score);
            let cells = unpool(tokens.view(), scores.view()).unwrap();
            for ((i, j), &relevancy) in tokens.indexed_iter() {
                let cell = cells.slice(s![i * k..(i + 1) * k, j * k..(j + 1) * k]);
                assert!((cell.sum() - relevancy).abs() <= 1e-6 * relevancy, "{k}: {cell}");
                assert!(cell.iter().all(|&share| 0.0 <= share));
            }
        }
    }

    #[test]
    fn the_scale_of_the_scores_does_not_matter() {
        let (tokens, scores) = (array![[3.0f32]], array![[1.0f32, 2.0], [-4.0, 5.0]]);
        let once = unpool(tokens.view(), scores.view()).unwrap();
        for scale in [1e-30, 1e30] {
            let scaled = unpool(tokens.view(), (&scores * scale).view()).unwrap();
            assert!((&once - &scaled).iter().all(|x| x.abs() < 1e-6));
        }
    }

    #[test]
    fn what_does_not_fit_or_is_no_number_is_refused() {
        let tokens = Array2::zeros((2, 2));
        for found in [(0, 0), (3, 4), (4, 6), (1, 1)] {
            let error = unpool(tokens.view(), Array2::zeros(found).view()).unwrap_err();
            assert_eq!(
                error,
                ErrorKind::CellsShape { tokens: [2, 2], found: [found.0, found.1] }.into()
            );
        }
        let mut scores = Array2::zeros((4, 4));
        scores[[1, 2]] = f32::NAN;
        let error = unpool(tokens.view(), scores.view()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::CellScore { row: 1, column: 2, .. }), "{error}");
    }
}
