//! Fusing the heads of one layer into Ā, block by block, all S rows: what bounds any engine that has attention in memory.
//!
//! Throughput is counted in bytes of attention and gradient read.

use std::hint::black_box;

use attention_relevancy::{FusedAttention, RetainedLayer};
use benchmarks::{Layer, TOKENS};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Query heads of a layer of Gemma3 4B.
const HEADS: usize = 8;

fn fuse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fuse");
    group.sample_size(10);
    for tokens in TOKENS {
        let layer = Layer::new(HEADS, tokens, 0);
        let (attention, gradient) = (layer.attention.view(), layer.gradient.view());
        let layers = [
            ("GradientWeighted", RetainedLayer::gradient_weighted(attention, gradient), 2),
            ("Attention", RetainedLayer::attention(attention), 1),
        ];
        for (name, retained, arrays) in layers {
            let mut retained = retained.expect("attention and gradient have one shape");
            group.throughput(Throughput::Bytes(
                (arrays * size_of::<f32>() * layer.attention.len()) as u64,
            ));
            group.bench_function(BenchmarkId::new(name, tokens), |bencher| {
                bencher
                    .iter(|| retained.visit_rows(0..tokens, &mut |_, block| _ = black_box(block)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, fuse);
criterion_main!(benches);
