//! One explanation from attention and gradient in memory, in two forms that end with the same numbers for the explained token.

use attention_relevancy::{Propagation, RetainedLayer, Update, relevancy_matrix};
use ndarray::{Array1, Array2};

use crate::Layer;

/// The row of the last token pulled back through the layers, last to first: O(L·S²).
///
/// # Panics
/// When a layer has another length than `tokens`.
pub fn row<'a>(layers: impl DoubleEndedIterator<Item = &'a Layer>, tokens: usize) -> Array1<f32> {
    let mut propagation = Propagation::unit(tokens, tokens - 1).expect("the last row exists");
    for layer in layers.rev() {
        propagation.step(Update::Additive, &mut retained(layer)).expect("layers of one length");
    }
    propagation.finish()
}

/// The whole matrix, first layer to last: O(L·S³).
///
/// # Panics
/// When a layer has another length than `tokens`.
pub fn matrix<'a>(layers: impl Iterator<Item = &'a Layer>, tokens: usize) -> Array2<f32> {
    relevancy_matrix(tokens, layers.map(retained), Update::Additive).expect("layers of one length")
}

fn retained(layer: &Layer) -> RetainedLayer<'_> {
    RetainedLayer::gradient_weighted(layer.attention.view(), layer.gradient.view())
        .expect("attention and gradient have one shape")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_end_with_the_same_row() {
        let layers = [Layer::new(2, 9, 0), Layer::new(2, 9, 1)];
        let (row, matrix) = (row(layers.iter(), 9), matrix(layers.iter(), 9));
        for (a, b) in row.iter().zip(matrix.row(8)) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
}
