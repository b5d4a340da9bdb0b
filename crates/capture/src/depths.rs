//! The relevancy rows layer by layer.

use crate::{Goal, LanguageModel, LayerSwept, Observer, Streaming, convert};
use attention_relevancy::ndarray::Array2;

/// Keeps the relevancy rows of every layer of a sweep.
#[derive(Debug)]
pub struct DepthRecorder {
    rows: Vec<Array2<f32>>,
}

impl DepthRecorder {
    /// For a sweep of `engine` over these goals.
    pub fn new<M: LanguageModel>(engine: &Streaming<'_, M>, goals: &[Goal]) -> Self {
        let n_layers = engine.model().layers().len();
        Self { rows: vec![Array2::zeros((n_layers, engine.tokens())); goals.len()] }
    }

    /// For each goal its rows `[L, S]`: row l is the relevancy at the input of layer l, what layers l to L−1 brought together. Row 0 is
    /// the whole.
    pub fn finish(self) -> Vec<Array2<f32>> {
        self.rows
    }
}

impl Observer for DepthRecorder {
    fn bytes(&self, _goals: usize) -> u64 {
        self.rows.iter().map(|rows| size_of_val(rows.as_slice().unwrap_or(&[])) as u64).sum()
    }

    fn see(&mut self, swept: &LayerSwept<'_>) {
        let rows = convert::matrix(swept.relevancy);
        for (goal, row) in swept.goals.clone().zip(rows.outer_iter()) {
            self.rows[goal].row_mut(swept.layer).assign(&row);
        }
    }
}
