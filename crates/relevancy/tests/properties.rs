//! What must hold for any layers whatever.
#![expect(clippy::unwrap_used, reason = "a test may end so")]

mod common;

use attention_relevancy::ndarray::{Array1, Array2, Array3};
use attention_relevancy::{FusedAttention, Propagation, RetainedLayer, Update, relevancy_matrix};
use common::{Fused, Layer};
use proptest::prelude::*;

/// One to four layers of up to three heads and twelve tokens.
fn layers() -> impl Strategy<Value = Vec<Layer>> {
    (1..5_usize, 1..4_usize, 1..13_usize, any::<u64>())
        .prop_map(|(n, heads, tokens, seed)| Layer::several(n, heads, tokens, seed))
}

fn update() -> impl Strategy<Value = Update> {
    prop_oneof![Just(Update::Additive), Just(Update::Stochastic)]
}

fn fusion() -> impl Strategy<Value = Fused> {
    prop_oneof![Just(Fused::GradientWeighted), Just(Fused::Attention)]
}

fn tokens(layers: &[Layer]) -> usize {
    layers[0].attention.dim().1
}

/// Row `row` of R, the layers cut into blocks of `block` rows.
fn propagate(
    layers: &[Layer],
    fusion: Fused,
    update: Update,
    row: usize,
    block: usize,
) -> Array1<f32> {
    let mut propagation = Propagation::unit(tokens(layers), row).unwrap();
    for layer in layers.iter().rev() {
        propagation.step(update, &mut layer.retained(fusion).with_block_rows(block)).unwrap();
    }
    propagation.finish()
}

fn matrix(layers: &[Layer], fusion: Fused, update: Update) -> Array2<f32> {
    relevancy_matrix(tokens(layers), layers.iter().map(|layer| layer.retained(fusion)), update)
        .unwrap()
}

/// `array[h, order[i], order[j]]`.
fn permuted(array: &Array3<f32>, order: &[usize]) -> Array3<f32> {
    Array3::from_shape_fn(array.raw_dim(), |(h, i, j)| array[[h, order[i], order[j]]])
}

fn assert_near<'a>(
    found: impl IntoIterator<Item = &'a f32>,
    expected: impl IntoIterator<Item = &'a f32>,
    tolerance: f32,
) {
    for (found, expected) in found.into_iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(error <= tolerance * expected.abs().max(1.0), "{found} is not {expected}");
    }
}

proptest! {
    #[test]
    fn zero_gradient_gives_identity(mut layers in layers(), update in update()) {
        for layer in &mut layers {
            layer.gradient.fill(0.0);
        }
        let identity = Array2::<f32>::eye(tokens(&layers));
        prop_assert_eq!(&matrix(&layers, Fused::GradientWeighted, update), &identity);
        for (row, unit) in identity.rows().into_iter().enumerate() {
            prop_assert_eq!(propagate(&layers, Fused::GradientWeighted, update, row, 4), unit);
        }
    }

    /// Rounding to float32, once an entry and layer: 10⁻⁶ for up to four layers.
    #[test]
    fn stochastic_rows_sum_to_one(layers in layers(), fusion in fusion()) {
        for row in matrix(&layers, fusion, Update::Stochastic).rows() {
            assert_near([&row.sum()], [&1.0], 2e-6);
        }
        for row in 0..tokens(&layers) {
            assert_near([&propagate(&layers, fusion, Update::Stochastic, row, 4).sum()], [&1.0], 1e-6);
        }
    }

    /// Not nearly the same: the same bits.
    #[test]
    fn block_size_never_matters(layers in layers(), fusion in fusion(), update in update(), block in 0..15_usize) {
        for row in 0..tokens(&layers) {
            let expected = propagate(&layers, fusion, update, row, usize::MAX);
            prop_assert_eq!(propagate(&layers, fusion, update, row, block), expected);
        }
    }

    /// Sums run in another order then, hence the tolerance.
    #[test]
    fn permuting_tokens_permutes_the_result(
        (layers, order) in layers().prop_flat_map(|layers| {
            let order = Just((0..tokens(&layers)).collect::<Vec<_>>()).prop_shuffle();
            (Just(layers), order)
        }),
        fusion in fusion(),
        update in update(),
    ) {
        let moved: Vec<_> = layers
            .iter()
            .map(|Layer { attention, gradient }| Layer {
                attention: permuted(attention, &order),
                gradient: permuted(gradient, &order),
            })
            .collect();
        for (row, &original) in order.iter().enumerate() {
            let expected = propagate(&layers, fusion, update, original, 4);
            let expected: Vec<f32> = order.iter().map(|&position| expected[position]).collect();
            assert_near(&propagate(&moved, fusion, update, row, 4), &expected, 1e-6);
        }
    }

    #[test]
    fn row_propagation_is_the_row_of_the_matrix(layers in layers(), fusion in fusion(), update in update()) {
        for (row, expected) in matrix(&layers, fusion, update).rows().into_iter().enumerate() {
            assert_near(&propagate(&layers, fusion, update, row, 4), expected, 1e-6);
        }
    }

    /// A row that is a sum of unit rows gives the sum of their results.
    #[test]
    fn propagation_is_linear(layers in layers(), update in update()) {
        let mut all = Propagation::from_row(Array1::ones(tokens(&layers)));
        for layer in layers.iter().rev() {
            all.step(update, &mut layer.retained(Fused::GradientWeighted)).unwrap();
        }
        let one = |row| propagate(&layers, Fused::GradientWeighted, update, row, 4);
        let sum = (0..tokens(&layers)).map(one).fold(Array1::zeros(tokens(&layers)), |sum, row| sum + row);
        assert_near(&all.finish(), &sum, 2e-6);
    }

    /// Keys that are not neighbours in memory are read as well.
    #[test]
    fn strides_never_matter(layers in layers(), fusion in fusion(), update in update()) {
        let Layer { attention, gradient } = &layers[0];
        let mut turned = [attention, gradient].map(|array| {
            let mut turned = Array3::zeros(array.t().raw_dim());
            turned.assign(&array.t());
            turned
        });
        for array in &mut turned {
            array.swap_axes(0, 2); // [H, S, S] again, heads innermost
        }
        let [attention, gradient] = turned;
        let mut strided = match fusion {
            Fused::GradientWeighted => {
                RetainedLayer::gradient_weighted(attention.view(), gradient.view())
            }
            Fused::Attention => RetainedLayer::attention(attention.view()),
        }.unwrap();
        let row = Array1::from_elem(tokens(&layers), 0.5);
        let [mut found, mut expected] = [row.clone(), row.clone()];
        strided.apply(update, row.view(), found.view_mut()).unwrap();
        layers[0].retained(fusion).apply(update, row.view(), expected.view_mut()).unwrap();
        prop_assert_eq!(found, expected);
    }
}
