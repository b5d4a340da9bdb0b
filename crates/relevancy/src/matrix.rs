//! The relevancy as a whole matrix, and fused attention given as one.

use std::{convert::Infallible, ops::Range};

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, linalg::general_mat_mul, s};

use crate::{Error, ErrorKind, FusedAttention, StepError, Update, threads, update::RowWeights};

/// A fused attention Ā `[S, S]` that exists already.
#[derive(Debug, Clone, Copy)]
pub struct FusedMatrix<'a> {
    fused: ArrayView2<'a, f32>,
}

impl<'a> FusedMatrix<'a> {
    /// Wraps Ā. Fails with [`ErrorKind::FusedShape`] if it is not square.
    pub fn new(fused: ArrayView2<'a, f32>) -> Result<Self, Error> {
        match fused.dim() {
            (rows, columns) if rows == columns => Ok(Self { fused }),
            (rows, columns) => Err(ErrorKind::FusedShape { found: [rows, columns] }.into()),
        }
    }
}

impl FusedAttention for FusedMatrix<'_> {
    type Error = Infallible;

    fn tokens(&self) -> usize {
        self.fused.nrows()
    }

    fn visit_rows(
        &mut self,
        rows: Range<usize>,
        visit: &mut dyn FnMut(usize, ArrayView2<'_, f32>),
    ) -> Result<(), Infallible> {
        visit(rows.start, self.fused.slice(s![rows, ..]));
        Ok(())
    }
}

/// The whole relevancy `R = T_L…T_1` `[S, S]` of `tokens` tokens: R starts as I and each layer, **first to last**, makes it T·R.
///
/// This takes O(L·S³) time and 2·S² numbers beside the layers. For the explanation of one token use
/// [`Propagation`](crate::Propagation), which takes the layers last to first and is S times cheaper.
///
/// Fails with [`StepError::Tokens`] for a layer of another length, or as a layer does.
pub fn relevancy_matrix<L: FusedAttention>(
    tokens: usize,
    layers: impl IntoIterator<Item = L>,
    update: Update,
) -> Result<Array2<f32>, StepError<L::Error>> {
    let mut relevancy = Array2::eye(tokens);
    let mut next = Array2::zeros((tokens, tokens));
    for mut layer in layers {
        if layer.tokens() != tokens {
            return Err(StepError::Tokens { expected: tokens, found: layer.tokens() });
        }
        layer.visit_rows(0..tokens, &mut |start, fused| {
            let rows = s![start..start + fused.nrows(), ..];
            let out = next.slice_mut(rows);
            transition(update, fused, relevancy.slice(rows), relevancy.view(), out);
        })?;
        std::mem::swap(&mut relevancy, &mut next);
    }
    Ok(relevancy)
}

/// Rows that one thread multiplies at a time: tall enough for the product to reuse what it has packed.
const ROWS: usize = 64;

/// Writes `T·R` for some rows: `out = α·own + (β·fused)·relevancy`, with (α, β) by row. `own` are R's rows at these places.
///
/// All are `[b, S]` but `relevancy`, `[S, S]`.
fn transition(
    update: Update,
    fused: ArrayView2<'_, f32>,
    own: ArrayView2<'_, f32>,
    relevancy: ArrayView2<'_, f32>,
    mut out: ArrayViewMut2<'_, f32>,
) {
    let (mut scaled, mut kept) = (fused.to_owned(), own.to_owned());
    for (mut fused, mut own) in scaled.rows_mut().into_iter().zip(kept.rows_mut()) {
        let RowWeights { identity, attention } = update.rule().of_row(fused.view());
        own.mapv_inplace(|own| (f64::from(own) * identity) as f32);
        fused.mapv_inplace(|fused| (f64::from(fused) * attention) as f32);
    }
    out.assign(&kept);
    let numbers = scaled.len() * relevancy.nrows();
    let chunks =
        out.axis_chunks_iter_mut(Axis(0), ROWS).zip(scaled.axis_chunks_iter(Axis(0), ROWS));
    threads::for_each(numbers, chunks, |_, (mut out, scaled)| {
        general_mat_mul(1.0, &scaled, &relevancy, 1.0, &mut out);
    });
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    #[test]
    fn no_layer_leaves_identity() {
        let none: [FusedMatrix<'_>; 0] = [];
        assert_eq!(relevancy_matrix(2, none, Update::Additive).unwrap(), Array2::<f32>::eye(2));
    }

    #[test]
    fn shapes_are_checked() {
        let (wide, square) = (Array2::zeros((2, 3)), Array2::zeros((2, 2)));
        assert_eq!(
            FusedMatrix::new(wide.view()).unwrap_err(),
            ErrorKind::FusedShape { found: [2, 3] }.into()
        );
        let layer = FusedMatrix::new(square.view()).unwrap();
        let error = relevancy_matrix(3, [layer], Update::Additive).unwrap_err();
        assert_eq!(error, StepError::Tokens { expected: 3, found: 2 });
    }

    #[test]
    fn stochastic_by_hand() {
        let fused = array![[0.0, 0.0], [3.0, 1.0]];
        let layer = FusedMatrix::new(fused.view()).unwrap();
        let relevancy = relevancy_matrix(2, [layer, layer], Update::Stochastic).unwrap();
        assert_eq!(relevancy.row(0), array![1.0, 0.0]); // an all-zero row stays what it is
        assert_eq!(relevancy.row(1), array![0.609_375, 0.390_625]); // T₁ = [3/8, 5/8], squared
    }

    #[test]
    fn an_empty_sequence_is_no_mistake() {
        let fused = Array2::zeros((0, 0));
        let mut layer = FusedMatrix::new(fused.view()).unwrap();
        assert_eq!(relevancy_matrix(0, [layer], Update::Stochastic).unwrap().dim(), (0, 0));
        let mut out = Array1::zeros(0);
        layer.apply(Update::Additive, Array1::zeros(0).view(), out.view_mut()).unwrap();
    }
}
