//! Whether what was captured is attention at all.

use ndarray::{ArrayView1, ArrayView3, s};

use crate::{Error, ErrorKind, retained::check_shape, threads, update::sum};

/// Checks that an `[H, S, S]` array can be the output of a softmax: no entry negative or not finite, every row summing to one to
/// within `tolerance`. The first row that fails, by head and then by row, is named.
///
/// Float32 softmax over a few thousand keys keeps within 10⁻⁵ of one; bfloat16 attention needs about 10⁻².
/// A mask added twice, a head dimension mistaken for a batch, logits captured in place of weights: all of them fail here.
///
/// Fails with [`ErrorKind::AttentionShape`], [`ErrorKind::AttentionEntry`] or [`ErrorKind::AttentionRowSum`].
pub fn check_attention(attention: ArrayView3<'_, f32>, tolerance: f64) -> Result<(), Error> {
    let tokens = check_shape(attention)?;
    let check = |index: usize| {
        let (head, row) = (index / tokens, index % tokens);
        check_row(attention.slice(s![head, row, ..]), tolerance)
            .map(|mistake| mistake.at(head, row))
    };
    let rows = 0..attention.dim().0 * tokens;
    threads::find_first(attention.len(), rows, check).map_or(Ok(()), Err)
}

/// What is wrong with a row, before it is known which row that is.
enum Mistake {
    Entry { column: usize, value: f32 },
    Sum { sum: f64, tolerance: f64 },
}

impl Mistake {
    fn at(self, head: usize, row: usize) -> Error {
        match self {
            Mistake::Entry { column, value } => {
                ErrorKind::AttentionEntry { head, row, column, value }.into()
            }
            Mistake::Sum { sum, tolerance } => {
                ErrorKind::AttentionRowSum { head, row, sum, tolerance }.into()
            }
        }
    }
}

fn check_row(row: ArrayView1<'_, f32>, tolerance: f64) -> Option<Mistake> {
    let weight = |value: f32| value.is_finite() && 0.0 <= value;
    let entry = row.iter().position(|&value| !weight(value));
    if let Some(column) = entry {
        return Some(Mistake::Entry { column, value: row[column] });
    }
    let sum = sum(row);
    let near = (sum - 1.0).abs() <= tolerance; // false for a tolerance that is not a number
    (!near).then_some(Mistake::Sum { sum, tolerance })
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn names_the_first_mistake() {
        let uniform = || Array3::from_elem((2, 300, 300), 1.0 / 300.0); // large enough for threads
        assert_eq!(check_attention(uniform().view(), 1e-5), Ok(()));

        let mut attention = uniform();
        attention[[1, 2, 3]] = f32::INFINITY;
        attention[[1, 250, 0]] = -0.25;
        let (head, row, column, value) = (1, 2, 3, f32::INFINITY);
        assert_eq!(
            check_attention(attention.view(), 1e-5),
            Err(ErrorKind::AttentionEntry { head, row, column, value }.into())
        );

        attention[[0, 7, 7]] = 0.5;
        let error = check_attention(attention.view(), 1e-5).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::AttentionRowSum { head: 0, row: 7, .. }),
            "{error}"
        );
    }

    #[test]
    fn negative_entries_and_shapes() {
        let mut attention = Array3::from_elem((1, 2, 2), 0.5);
        attention[[0, 1, 0]] = -0.5;
        attention[[0, 1, 1]] = 1.5;
        let (head, row, column, value) = (0, 1, 0, -0.5);
        assert_eq!(
            check_attention(attention.view(), 1.0),
            Err(ErrorKind::AttentionEntry { head, row, column, value }.into())
        );
        let found = [1, 2, 3];
        assert_eq!(
            check_attention(Array3::zeros(found).view(), 1.0),
            Err(ErrorKind::AttentionShape { found }.into())
        );
    }

    #[test]
    fn a_tolerance_that_is_no_number_passes_nothing() {
        assert!(check_attention(Array3::ones((1, 1, 1)).view(), f64::NAN).is_err());
    }
}
