//! Agreement with the formulas written out in double precision, at the size of a real prompt.
//!
//! Tolerance: 2·10⁻⁶ of the largest entry other than the self term, that is a few roundings of float32 for six layers.
#![expect(clippy::unwrap_used, reason = "a test may end so")]
mod common;

use attention_relevancy::ndarray::{Array1, Array2, ArrayView1, Axis};
use attention_relevancy::{Propagation, Update, raw_attention_row, relevancy_matrix, rollout_row};
use common::{Fused, Layer};

const TOKENS: usize = 300;
/// A row in the middle: rows after it must not count, and it is none of those without gradient.
const ROW: usize = 271;

fn layers() -> Vec<Layer> {
    Layer::several(6, 4, TOKENS, 20_261_122)
}

/// `E_h[(A ⊙ ∇A)⁺]` in double precision.
fn fused(Layer { attention, gradient }: &Layer) -> Array2<f64> {
    let products = attention.mapv(f64::from) * gradient.mapv(f64::from);
    products.mapv(|product| product.max(0.0)).mean_axis(Axis(0)).unwrap()
}

/// `E_h[A]` in double precision.
fn mean_attention(layer: &Layer) -> Array2<f64> {
    layer.attention.mapv(f64::from).mean_axis(Axis(0)).unwrap()
}

/// The rows divided by their sums; a zero row stays zero.
fn rows_normalised(mut matrix: Array2<f64>) -> Array2<f64> {
    for mut row in matrix.rows_mut() {
        let sum = row.sum();
        if sum != 0.0 {
            row /= sum;
        }
    }
    matrix
}

/// The transition of one layer in double precision.
fn transition(layer: &Layer, update: Update) -> Array2<f64> {
    match update {
        Update::Additive => Array2::eye(TOKENS) + fused(layer),
        Update::Stochastic => rows_normalised(Array2::eye(TOKENS) + rows_normalised(fused(layer))),
        _ => unreachable!("no other update is tested here"),
    }
}

/// `T_L…T_1` in double precision.
fn product(transitions: impl Iterator<Item = Array2<f64>>) -> Array2<f64> {
    transitions.fold(Array2::eye(TOKENS), |relevancy, transition| transition.dot(&relevancy))
}

/// The largest error relative to the largest entry, both but for the one at `own`; that one, which is a hundred times larger, by
/// itself.
fn error(found: ArrayView1<'_, f32>, expected: ArrayView1<'_, f64>, own: usize) -> f64 {
    let errors = |position: usize| (f64::from(found[position]) - expected[position]).abs();
    let others = || (0..TOKENS).filter(|&position| position != own);
    let largest = others().map(|position| expected[position].abs()).fold(0.0, f64::max);
    let error = others().map(errors).fold(0.0, f64::max);
    (error / largest).max(errors(own) / expected[own])
}

fn propagate(layers: &[Layer], update: Update) -> Array1<f32> {
    let mut propagation = Propagation::unit(TOKENS, ROW).unwrap();
    for layer in layers.iter().rev() {
        propagation.step(update, &mut layer.retained(Fused::GradientWeighted)).unwrap();
    }
    propagation.finish()
}

#[test]
fn relevancy_agrees_with_double_precision() {
    let layers = layers();
    for update in [Update::Additive, Update::Stochastic] {
        let expected = product(layers.iter().map(|layer| transition(layer, update)));
        let row = error(propagate(&layers, update).view(), expected.row(ROW), ROW);
        assert!(row <= 2e-6, "{update:?}: the row is off by {row}");

        let fused_layers = layers.iter().map(|layer| layer.retained(Fused::GradientWeighted));
        let matrix = relevancy_matrix(TOKENS, fused_layers, update).unwrap();
        for (own, (found, expected)) in
            matrix.rows().into_iter().zip(expected.rows()).enumerate().skip(1)
        {
            let error = error(found, expected, own);
            assert!(error <= 2e-6, "{update:?}: row {own} of the matrix is off by {error}");
        }
    }
}

/// The mistakes that this comparison is there to find lie far outside its tolerance.
#[test]
fn mistakes_would_be_seen() {
    let layers = layers();
    let expected = product(layers.iter().map(|layer| transition(layer, Update::Additive)));
    let reversed: Vec<_> = layers.iter().rev().cloned().collect();
    assert!(
        1e-3 < error(propagate(&reversed, Update::Additive).view(), expected.row(ROW), ROW),
        "layer order"
    );
    assert!(
        1e-3 < error(propagate(&layers, Update::Additive).view(), expected.row(ROW + 1), ROW),
        "row"
    );
    assert!(
        1e-3 < error(propagate(&layers, Update::Stochastic).view(), expected.row(ROW), ROW),
        "update"
    );
}

#[test]
fn baselines_agree_with_double_precision() {
    let layers = layers();
    let attentions: Vec<_> = layers.iter().map(|layer| layer.attention.view()).collect();

    let mixed = |layer: &Layer| {
        let mut mixed = Array2::eye(TOKENS) + mean_attention(layer);
        mixed.rows_mut().into_iter().for_each(|mut row| row /= row.sum());
        mixed
    };
    let expected = product(layers.iter().map(mixed));
    let rollout = error(rollout_row(&attentions, ROW).unwrap().view(), expected.row(ROW), ROW);
    assert!(rollout <= 2e-6, "rollout is off by {rollout}");

    let expected = mean_attention(&layers[5]);
    let raw = error(raw_attention_row(attentions[5], ROW).unwrap().view(), expected.row(ROW), ROW);
    assert!(raw <= 2e-6, "raw attention is off by {raw}");
}
