//! The seam between whatever makes attention and what is done with it.

use std::{error::Error, ops::Range};

use ndarray::{Array1, ArrayView1, ArrayView2, ArrayViewMut1, s};

use crate::{Update, threads, update::RowWeights};

/// The fused attention Ā ∈ ℝ^{S×S} of one layer, seen row block by row block.
///
/// Two methods are required. The engine drives and the caller receives, so nothing of size S×S need ever exist: a block is made,
/// shown and dropped. Blocks may be of any height; results do not depend on it.
pub trait FusedAttention {
    /// Why rows could not be made. [`std::convert::Infallible`] for what is in memory already.
    type Error: Error + Send + Sync + 'static;

    /// Tokens S in the sequence.
    fn tokens(&self) -> usize;

    /// Calls `visit(start, block)` with consecutive blocks `[b, S]` that cover `rows` in order, each row once; `start` is the
    /// first row of the block.
    ///
    /// `rows` lies within `0..tokens()`; an implementor may panic where it does not.
    fn visit_rows(
        &mut self,
        rows: Range<usize>,
        visit: &mut dyn FnMut(usize, ArrayView2<'_, f32>),
    ) -> Result<(), Self::Error>;

    /// Writes `row · T` to `out`, both `[S]`, T the layer's transition under `update`.
    ///
    /// Rows of Ā whose weight in `row` is zero are not asked for: the last layer costs one row, and rows after the target
    /// are never made. Sums are kept in double precision. A layer that lives on another device overrides this and hands over
    /// S numbers instead of S×S.
    ///
    /// # Panics
    /// If `row` or `out` has another length than [`tokens`](Self::tokens).
    fn apply(
        &mut self,
        update: Update,
        row: ArrayView1<'_, f32>,
        mut out: ArrayViewMut1<'_, f32>,
    ) -> Result<(), Self::Error> {
        assert_eq!(
            (row.len(), out.len()),
            (self.tokens(), self.tokens()),
            "lengths of row and out"
        );
        let mut sums = vec![0.0; row.len()];
        for run in support(row) {
            self.visit_rows(run, &mut |start, block| {
                let weights = row.slice(s![start..start + block.nrows()]);
                pull_back(update, start, weights, block, &mut sums);
            })?;
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32);
        Ok(())
    }

    /// One row of Ā, `[S]`.
    ///
    /// # Panics
    /// May panic if `row` is not below [`tokens`](Self::tokens).
    fn fused_row(&mut self, row: usize) -> Result<Array1<f32>, Self::Error> {
        let mut fused = Array1::zeros(self.tokens());
        self.visit_rows(row..row + 1, &mut |_, block| fused.assign(&block.row(0)))?;
        Ok(fused)
    }
}

impl<L: FusedAttention + ?Sized> FusedAttention for &mut L {
    type Error = L::Error;

    fn tokens(&self) -> usize {
        (**self).tokens()
    }

    fn visit_rows(
        &mut self,
        rows: Range<usize>,
        visit: &mut dyn FnMut(usize, ArrayView2<'_, f32>),
    ) -> Result<(), Self::Error> {
        (**self).visit_rows(rows, visit)
    }

    fn apply(
        &mut self,
        update: Update,
        row: ArrayView1<'_, f32>,
        out: ArrayViewMut1<'_, f32>,
    ) -> Result<(), Self::Error> {
        (**self).apply(update, row, out)
    }

    fn fused_row(&mut self, row: usize) -> Result<Array1<f32>, Self::Error> {
        (**self).fused_row(row)
    }
}

/// Columns that one thread sums at a time: 4 kB of sums, which stay in the nearest cache.
const COLUMNS: usize = 512;

/// The longest runs of rows whose weight is not zero, in order.
fn support(row: ArrayView1<'_, f32>) -> impl Iterator<Item = Range<usize>> {
    let next_where = move |from: usize, zero: bool| {
        (from..row.len()).find(|&i| (row[i] == 0.0) == zero).unwrap_or(row.len())
    };
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = next_where(end, false);
        end = next_where(start, true);
        (start < end).then_some(start..end)
    })
}

/// Adds `Σ_i w_i·T_i` over the rows i of one block to `sums` `[S]`; the block is `[b, S]` and starts at row `start`.
fn pull_back(
    update: Update,
    start: usize,
    weights: ArrayView1<'_, f32>,
    block: ArrayView2<'_, f32>,
    sums: &mut [f64],
) {
    let rule = update.rule();
    let mut scaled = Vec::with_capacity(block.nrows());
    for ((i, &weight), fused) in weights.indexed_iter().zip(block.rows()) {
        let RowWeights { identity, attention } = rule.of_row(fused);
        sums[start + i] += f64::from(weight) * identity;
        scaled.push(f64::from(weight) * attention);
    }
    add_rows(&scaled, block, sums);
}

/// Adds `weights[b] · block[b, S]` to `sums[S]`. Every column is summed in the order of the rows by one thread, so neither
/// threads nor blocks change a bit of the result.
fn add_rows(weights: &[f64], block: ArrayView2<'_, f32>, sums: &mut [f64]) {
    let add = |k: usize, sums: &mut [f64]| {
        let first = k * COLUMNS;
        for (row, &weight) in block.rows().into_iter().zip(weights) {
            let row = row.slice_move(s![first..first + sums.len()]);
            row.iter().zip(&mut *sums).for_each(|(&fused, sum)| *sum += weight * f64::from(fused));
        }
    };
    threads::for_each(block.len(), sums.chunks_mut(COLUMNS), add);
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ndarray::{Array2, array};

    use super::*;

    /// Shows single rows of a constant and notes which were asked for.
    struct Spy {
        seen: Vec<usize>,
    }

    impl FusedAttention for Spy {
        type Error = Infallible;

        fn tokens(&self) -> usize {
            5
        }

        fn visit_rows(
            &mut self,
            rows: Range<usize>,
            visit: &mut dyn FnMut(usize, ArrayView2<'_, f32>),
        ) -> Result<(), Infallible> {
            for row in rows {
                self.seen.push(row);
                visit(row, Array2::from_elem((1, 5), 1.0).view());
            }
            Ok(())
        }
    }

    #[test]
    fn only_the_support_is_asked_for() {
        let mut spy = Spy { seen: Vec::new() };
        let mut out = Array1::zeros(5);
        spy.apply(Update::Additive, array![0.0, 2.0, 0.0, 0.5, 1.0].view(), out.view_mut())
            .unwrap();
        assert_eq!(spy.seen, [1, 3, 4]);
        assert_eq!(out, array![3.5, 5.5, 3.5, 4.0, 4.5]);
    }

    #[test]
    fn support_is_maximal_runs() {
        let runs = |row: &[f32]| support(ArrayView1::from(row)).collect::<Vec<_>>();
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[0.0, 0.0]), []);
        assert_eq!(runs(&[1.0, 1.0, 0.0, 2.0]), [0..2, 3..4]);
        assert_eq!(runs(&[0.0, f32::NAN, -1.0, 0.0, 1.0]), [1..3, 4..5]);
    }

    #[test]
    fn threads_do_not_change_the_sums() {
        let (rows, columns) = (70, 1100); // above the threshold, and a last chunk that is not full
        let block =
            Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 31 + j * 17) % 101) as f32 / 7.0);
        let weights: Vec<f64> = (0..rows).map(|i| 1.0 / (i + 1) as f64).collect();
        let mut sums = vec![0.0; columns];
        add_rows(&weights, block.view(), &mut sums);
        for (j, sum) in sums.iter().enumerate() {
            let expected =
                (0..rows).fold(0.0, |sum, i| sum + weights[i] * f64::from(block[[i, j]]));
            assert_eq!(sum.to_bits(), expected.to_bits());
        }
    }
}
