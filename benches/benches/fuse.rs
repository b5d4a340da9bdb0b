//! Fusing the heads of one layer into Ā, block by block, all S rows: what bounds any engine that has attention in memory.
//!
//! Throughput is counted in bytes of attention and gradient read.

use std::hint::black_box;

use attention_relevancy::{FusedAttention, HeadFusion, RetainedLayer};
use benchmarks::{Layer, TOKENS};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Query heads of a layer of Gemma3 4B.
const HEADS: usize = 8;

fn fuse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fuse");
    group.sample_size(10);
    for tokens in TOKENS {
        let layer = Layer::new(HEADS, tokens, 0);
        for (fusion, arrays) in [(HeadFusion::PositiveGradient, 2), (HeadFusion::Attention, 1)] {
            let mut retained =
                RetainedLayer::new(fusion, layer.attention.view(), Some(layer.gradient.view()))
                    .expect("attention and gradient have one shape");
            group.throughput(Throughput::Bytes(
                (arrays * size_of::<f32>() * layer.attention.len()) as u64,
            ));
            group.bench_function(BenchmarkId::new(format!("{fusion:?}"), tokens), |bencher| {
                bencher
                    .iter(|| retained.visit_rows(0..tokens, &mut |_, block| _ = black_box(block)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, fuse);
criterion_main!(benches);
