//! One explanation from attention and gradient in memory: the row pulled back through the layers against the whole matrix.
//!
//! Both end with the same numbers for the explained token. The row costs O(L·S²), the matrix O(L·S³).

use std::hint::black_box;

use attention_relevancy::{HeadFusion, Propagation, RetainedLayer, Update, relevancy_matrix};
use benchmarks::{Layer, TOKENS};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ndarray::{Array1, Array2};

/// Two heads and two layers keep the longest sequence at 144 MB. Both forms grow alike with either.
const HEADS: usize = 2;
const LAYERS: usize = 2;

fn propagate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("propagate");
    group.sample_size(10);
    for tokens in TOKENS {
        let layers: Vec<_> = (0..LAYERS).map(|seed| Layer::new(HEADS, tokens, seed)).collect();
        group.bench_function(BenchmarkId::new("row", tokens), |bencher| {
            bencher.iter(|| row(black_box(&layers), tokens));
        });
        group.bench_function(BenchmarkId::new("matrix", tokens), |bencher| {
            bencher.iter(|| matrix(black_box(&layers), tokens));
        });
    }
    group.finish();
}

fn retained(layer: &Layer) -> RetainedLayer<'_> {
    RetainedLayer::new(
        HeadFusion::PositiveGradient,
        layer.attention.view(),
        Some(layer.gradient.view()),
    )
    .expect("attention and gradient have one shape")
}

fn row(layers: &[Layer], tokens: usize) -> Array1<f32> {
    let mut propagation =
        Propagation::from_position(tokens, tokens - 1).expect("the last row exists");
    for layer in layers.iter().rev() {
        propagation.step(Update::Additive, &mut retained(layer)).expect("layers of one length");
    }
    propagation.finish()
}

fn matrix(layers: &[Layer], tokens: usize) -> Array2<f32> {
    relevancy_matrix(tokens, layers.iter().map(retained), Update::Additive)
        .expect("layers of one length")
}

criterion_group!(benches, propagate);
criterion_main!(benches);
