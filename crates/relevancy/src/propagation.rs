//! A row of the relevancy, pulled back through the layers.

use ndarray::{Array1, ArrayView1};

use crate::{Error, ErrorKind, FusedAttention, StepError, Target, Update};

/// A row vector on its way from the last layer to the first: `r ← r·T_L`, `r ← r·T_{L−1}`, …, `r ← r·T_1`.
///
/// Started as the unit row `e_i` it ends as row i of `R = T_L…T_1`. After each step [`row`](Self::row) is the relevancy at the
/// input of the layer just taken: keep a copy to see it by depth.
///
/// Rows are float32, sums inside a step double precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Propagation {
    row: Array1<f32>,
    next: Array1<f32>,
}

impl Propagation {
    /// Starts with the row that chose the explained token, in a sequence of `tokens` tokens: row p−1 for the token at position p
    /// ([`Target::logit_row`]).
    ///
    /// Fails with [`ErrorKind::Row`] where there is no such row.
    pub fn explaining(tokens: usize, target: &Target) -> Result<Self, Error> {
        Self::unit(tokens, target.logit_row())
    }

    /// Starts with the unit row `e_row` in a sequence of `tokens` tokens. It takes a row, and no position: what explains a token is the
    /// row before it, as [`explaining`](Self::explaining) has it.
    ///
    /// Fails with [`ErrorKind::Row`] where there is no such row.
    pub fn unit(tokens: usize, row: usize) -> Result<Self, Error> {
        if tokens <= row {
            return Err(ErrorKind::Row { row, tokens }.into());
        }
        let mut unit = Array1::zeros(tokens);
        unit[row] = 1.0;
        Ok(Self::from_row(unit))
    }

    /// Starts with any weights `[S]`: several rows at once, or a row taken part of the way before.
    pub fn from_row(row: Array1<f32>) -> Self {
        Self { next: Array1::zeros(row.len()), row }
    }

    /// Takes the row through one layer. Layers come last to first.
    ///
    /// Fails with [`StepError::Tokens`] for a layer of another length, or as the layer does; the row is then as it was.
    pub fn step<L: FusedAttention + ?Sized>(
        &mut self,
        update: Update,
        layer: &mut L,
    ) -> Result<(), StepError<L::Error>> {
        let (expected, found) = (self.row.len(), layer.tokens());
        if expected != found {
            return Err(StepError::Tokens { expected, found });
        }
        layer.apply(update, self.row.view(), self.next.view_mut())?;
        std::mem::swap(&mut self.row, &mut self.next);
        Ok(())
    }

    /// Sets the row to zero at some tokens: from here on they pass nothing on. Done after every step it takes their columns out of Ā
    /// ([`SinkRule::Drop`](crate::SinkRule)).
    ///
    /// # Panics
    /// At a position that is no token.
    pub fn clear(&mut self, tokens: impl IntoIterator<Item = usize>) {
        tokens.into_iter().for_each(|token| self.row[token] = 0.0);
    }

    /// The row `[S]` as it stands.
    pub fn row(&self) -> ArrayView1<'_, f32> {
        self.row.view()
    }

    /// The row `[S]` after the last step, self term included.
    pub fn finish(self) -> Array1<f32> {
        self.row
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::FusedMatrix;

    #[test]
    fn starts_as_the_unit_row() {
        assert_eq!(Propagation::unit(3, 1).unwrap().finish(), array![0.0, 1.0, 0.0]);
        assert_eq!(Propagation::unit(3, 3), Err(ErrorKind::Row { row: 3, tokens: 3 }.into()));
        assert_eq!(Propagation::unit(0, 0), Err(ErrorKind::Row { row: 0, tokens: 0 }.into()));
    }

    /// Clearing after every step is what Ā without the columns gives.
    #[test]
    fn cleared_tokens_receive_nothing_and_pass_nothing_on() {
        let fused = array![[0.5, 0.0, 0.0], [0.25, 0.5, 0.0], [0.5, 0.25, 0.125]];
        let mut without = fused.clone();
        without.column_mut(1).fill(0.0);
        let row = |fused: &Array2<f32>, cleared: Option<usize>| {
            let mut propagation = Propagation::unit(3, 2).unwrap();
            for _ in 0..3 {
                let mut layer = FusedMatrix::new(fused.view()).unwrap();
                propagation.step(Update::Additive, &mut layer).unwrap();
                propagation.clear(cleared);
            }
            propagation.finish()
        };
        let cleared = row(&fused, Some(1));
        assert_eq!(cleared, row(&without, None));
        assert!(cleared[1] == 0.0 && cleared[0] < row(&fused, None)[0]);
    }

    #[test]
    fn refuses_a_layer_of_another_length() {
        let fused = Array2::zeros((4, 4));
        let mut propagation = Propagation::unit(3, 1).unwrap();
        let error = propagation
            .step(Update::Additive, &mut FusedMatrix::new(fused.view()).unwrap())
            .unwrap_err();
        assert_eq!(Error::from(error), ErrorKind::Tokens { expected: 3, found: 4 }.into());
        assert_eq!(propagation.row(), array![0.0, 1.0, 0.0]);
    }

    #[test]
    fn keeps_the_row_of_every_depth() {
        let fused = array![[0.0, 0.0], [0.5, 0.0]];
        let mut propagation = Propagation::unit(2, 1).unwrap();
        let rows = [0, 1].map(|_| {
            propagation
                .step(Update::Additive, &mut FusedMatrix::new(fused.view()).unwrap())
                .unwrap();
            propagation.row().to_owned()
        });
        assert_eq!(rows, [array![0.5, 1.0], array![1.0, 1.0]]);
    }
}
