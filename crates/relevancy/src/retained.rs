//! Layers whose attention is kept whole: the reference for every other engine.

use std::{convert::Infallible, ops::Range};

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut1, ArrayViewMut2, Zip, s};

use crate::{Error, ErrorKind, FusedAttention, HeadFusion, threads};

/// One layer's attention and its gradient in memory, `[H, S, S]` each: head, query, key.
///
/// It borrows both and keeps a small block of fused rows of its own.
#[derive(Debug, Clone)]
pub struct RetainedLayer<'a> {
    attention: ArrayView3<'a, f32>,
    /// Attention is multiplied by it where it is there.
    gradient: Option<ArrayView3<'a, f32>>,
    heads: HeadFusion,
    block_rows: usize,
    block: Vec<f32>,
}

impl<'a> RetainedLayer<'a> {
    /// `Ā = E_h[(A ⊙ ∇A)⁺]`: the mean over heads of what speaks for the logit (Chefer et al. 2021, equation 5), from a layer's attention
    /// and the gradient of the explained logit with respect to it.
    ///
    /// Any strides will do; keys next to each other in memory are fastest. A number that is not finite is not hidden: it
    /// reaches the result. [`check_attention`](crate::check_attention) finds it earlier.
    ///
    /// Fails with [`ErrorKind::AttentionShape`] or [`ErrorKind::GradientShape`].
    pub fn gradient_weighted(
        attention: ArrayView3<'a, f32>,
        gradient: ArrayView3<'a, f32>,
    ) -> Result<Self, Error> {
        let mut layer = Self::attention(attention)?;
        let (expected, found) = (attention.dim(), gradient.dim());
        if found != expected {
            return Err(ErrorKind::GradientShape {
                expected: expected.into(),
                found: found.into(),
            }
            .into());
        }
        layer.gradient = Some(gradient);
        Ok(layer)
    }

    /// `Ā = E_h[A]`: the plain mean over heads, for raw attention and rollout. As [`gradient_weighted`](Self::gradient_weighted)
    /// otherwise.
    ///
    /// Fails with [`ErrorKind::AttentionShape`].
    pub fn attention(attention: ArrayView3<'a, f32>) -> Result<Self, Error> {
        let tokens = check_shape(attention)?;
        let (heads, block_rows) = (HeadFusion::Mean, (BLOCK / tokens).max(1));
        Ok(Self { attention, gradient: None, heads, block_rows, block: Vec::new() })
    }

    /// The same layer with another fusion of its heads than their mean.
    ///
    /// Fails with [`ErrorKind::Head`] where there is no such head.
    ///
    /// ```
    /// use attention_relevancy::{FusedAttention, HeadFusion, RetainedLayer, ndarray::array};
    ///
    /// let attention = array![[[1.0, 0.0], [0.25, 0.75]], [[1.0, 0.0], [0.5, 0.5]]];
    /// let layer = RetainedLayer::attention(attention.view())?;
    /// let row = layer.with_heads(HeadFusion::Max)?.fused_row(1).unwrap();
    /// assert_eq!(row, array![0.5, 0.75]);
    /// # Ok::<(), attention_relevancy::Error>(())
    /// ```
    pub fn with_heads(mut self, heads: HeadFusion) -> Result<Self, Error> {
        heads.check(self.attention.dim().0)?;
        self.heads = heads;
        Ok(self)
    }

    /// The same layer with blocks of `rows` rows, at least one. Results do not depend on it, memory and speed do.
    #[must_use]
    pub fn with_block_rows(mut self, rows: usize) -> Self {
        self.block_rows = rows.max(1);
        self
    }
}

impl FusedAttention for RetainedLayer<'_> {
    type Error = Infallible;

    fn tokens(&self) -> usize {
        self.attention.dim().1
    }

    fn visit_rows(
        &mut self,
        rows: Range<usize>,
        visit: &mut dyn FnMut(usize, ArrayView2<'_, f32>),
    ) -> Result<(), Infallible> {
        let tokens = self.tokens();
        let mut block = std::mem::take(&mut self.block);
        for start in rows.clone().step_by(self.block_rows) {
            let height = self.block_rows.min(rows.end - start);
            block.resize(height * tokens, 0.0);
            let mut view = ArrayViewMut2::from_shape((height, tokens), &mut block)
                .expect("sized to this shape");
            self.fuse_rows(start, view.view_mut());
            visit(start, view.view());
        }
        self.block = block;
        Ok(())
    }
}

/// Numbers in a block: 1 MiB, which a core's cache holds.
const BLOCK: usize = 1 << 18;

impl RetainedLayer<'_> {
    /// Writes the rows of Ā from `start` on to `block` `[b, S]`. Rows are independent, so threads change nothing.
    fn fuse_rows(&self, start: usize, mut block: ArrayViewMut2<'_, f32>) {
        let heads = self.attention.dim().0;
        let numbers = heads * block.len();
        threads::for_each(numbers, block.outer_iter_mut(), |i, row| self.fuse_row(start + i, row));
    }

    /// Writes row `i` of Ā to `row` `[S]`.
    fn fuse_row(&self, i: usize, mut row: ArrayViewMut1<'_, f32>) {
        let (fusion, heads) = (self.heads, self.attention.dim().0);
        row.fill(fusion.start());
        for h in fusion.of(heads) {
            let attention = self.attention.slice(s![h, i, ..]);
            match self.gradient.map(|gradient| gradient.slice_move(s![h, i, ..])) {
                Some(gradient) => {
                    Zip::from(&mut row).and(attention).and(gradient).for_each(
                        |fused, &attention, &gradient| {
                            *fused = fusion.join(*fused, positive(attention * gradient));
                        },
                    );
                }
                None => {
                    Zip::from(&mut row)
                        .and(attention)
                        .for_each(|fused, &attention| *fused = fusion.join(*fused, attention));
                }
            }
        }
        fusion.finish(row, heads);
    }
}

/// The positive part. Unlike `f32::max` it keeps what is not a number, so that a broken gradient is seen.
pub(crate) fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// The number of tokens of an `[H, S, S]` array.
pub(crate) fn check_shape(attention: ArrayView3<'_, f32>) -> Result<usize, Error> {
    match attention.dim() {
        (heads, rows, columns) if 0 < heads && 0 < rows && rows == columns => Ok(rows),
        (heads, rows, columns) => {
            Err(ErrorKind::AttentionShape { found: [heads, rows, columns] }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    #[test]
    fn fuses_the_positive_part_over_heads() {
        let attention = array![[[1.0, 0.0], [0.25, 0.75]], [[1.0, 0.0], [0.5, 0.5]]];
        let gradient = array![[[2.0, 9.0], [4.0, -1.0]], [[-1.0, 9.0], [1.0, 2.0]]];
        let fused = |layer: Result<RetainedLayer<'_>, Error>| {
            let mut layer = layer.unwrap();
            [0, 1].map(|row| layer.fused_row(row).unwrap())
        };
        let weighted = RetainedLayer::gradient_weighted(attention.view(), gradient.view());
        assert_eq!(fused(weighted), [array![1.0, 0.0], array![0.75, 0.5]]);
        let plain = RetainedLayer::attention(attention.view());
        assert_eq!(fused(plain), [array![1.0, 0.0], array![0.375, 0.625]]);
    }

    #[test]
    fn heads_are_fused_as_asked() {
        let attention = array![[[1.0, 0.0], [0.25, 0.75]], [[1.0, 0.0], [0.5, 0.5]]];
        let gradient = array![[[2.0, 9.0], [4.0, -1.0]], [[-1.0, 9.0], [1.0, 2.0]]];
        let new = || RetainedLayer::gradient_weighted(attention.view(), gradient.view()).unwrap();
        let row = |heads| new().with_heads(heads).unwrap().fused_row(1).unwrap();
        assert_eq!(row(HeadFusion::Mean), array![0.75, 0.5]);
        assert_eq!(row(HeadFusion::Max), array![1.0, 1.0]);
        assert_eq!(row(HeadFusion::One(0)), array![1.0, 0.0]);
        let error = new().with_heads(HeadFusion::One(2)).unwrap_err();
        assert_eq!(error, ErrorKind::Head { head: 2, heads: 2 }.into());
    }

    #[test]
    fn what_is_not_a_number_is_seen() {
        let attention = Array3::ones((1, 2, 2));
        let gradient = array![[[f32::NAN, 1.0], [f32::NEG_INFINITY, -1.0]]];
        let mut layer =
            RetainedLayer::gradient_weighted(attention.view(), gradient.view()).unwrap();
        assert!(layer.fused_row(0).unwrap()[0].is_nan());
        assert_eq!(layer.fused_row(1).unwrap(), array![0.0, 0.0]);
    }

    #[test]
    fn blocks_cover_the_rows_in_order() {
        let attention = Array3::zeros((2, 7, 7));
        let mut layer = RetainedLayer::attention(attention.view()).unwrap().with_block_rows(3);
        let mut seen = Vec::new();
        layer.visit_rows(1..6, &mut |start, block| seen.push((start, block.dim()))).unwrap();
        assert_eq!(seen, [(1, (3, 7)), (4, (2, 7))]);
    }

    #[test]
    fn shapes_are_checked() {
        let plain = |attention: [usize; 3]| {
            let attention = Array3::zeros(attention);
            RetainedLayer::attention(attention.view()).map(|layer| layer.tokens())
        };
        assert_eq!(plain([2, 3, 3]), Ok(3));
        for found in [[2, 3, 4], [0, 3, 3], [2, 0, 0]] {
            assert_eq!(plain(found), Err(ErrorKind::AttentionShape { found }.into()));
        }
        let (expected, found) = ([2, 3, 3], [1, 3, 3]);
        let [attention, gradient] = [expected, found].map(Array3::zeros);
        let layer = RetainedLayer::gradient_weighted(attention.view(), gradient.view());
        assert_eq!(layer.err(), Some(ErrorKind::GradientShape { expected, found }.into()));
    }
}
