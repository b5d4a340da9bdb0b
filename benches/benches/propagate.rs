//! One explanation from attention and gradient in memory: the row pulled back through the layers against the whole matrix.
//!
//! Both end with the same numbers for the explained token. The row costs O(L·S²), the matrix O(L·S³).

use std::hint::black_box;

use benchmarks::forms::{matrix, row};
use benchmarks::{Layer, TOKENS};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Two heads and two layers keep the longest sequence at 144 MB. Both forms grow alike with either.
const HEADS: usize = 2;
const LAYERS: usize = 2;

fn propagate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("propagate");
    group.sample_size(10);
    for tokens in TOKENS {
        let layers: Vec<_> = (0..LAYERS).map(|seed| Layer::new(HEADS, tokens, seed)).collect();
        group.bench_function(BenchmarkId::new("row", tokens), |bencher| {
            bencher.iter(|| row(black_box(&layers).iter(), tokens));
        });
        group.bench_function(BenchmarkId::new("matrix", tokens), |bencher| {
            bencher.iter(|| matrix(black_box(&layers).iter(), tokens));
        });
    }
    group.finish();
}

criterion_group!(benches, propagate);
criterion_main!(benches);
