//! Pictures of an explanation: heat over a large picture, and a report of a whole answer.
//!
//! `RAYON_NUM_THREADS=1` shows what one core takes.

use std::hint::black_box;

use benchmarks::{Explained, noise};
use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use relevancy_visualization::{GridMap, Interpolation, OverlayOptions, overlay};

/// Pixels of a side, as a large radiograph has.
const SIDE: u32 = 3000;

fn visualize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("visualize");
    group.sample_size(10);
    let picture = noise(SIDE, SIDE);
    let cells = Array2::from_shape_fn((16, 16), |(r, c)| ((r * 7 + c * 11) % 23) as f32);
    for (name, interpolation, contours) in [
        ("cells", Interpolation::Cells, vec![]),
        ("bilinear", Interpolation::Bilinear, vec![]),
        ("bicubic", Interpolation::Bicubic, vec![]),
        ("bicubic with contours", Interpolation::Bicubic, vec![0.5, 0.9]),
    ] {
        let options =
            OverlayOptions::default().with_interpolation(interpolation).with_contours(contours);
        group.bench_function(format!("overlay 3000 x 3000, {name}"), |bencher| {
            let map = GridMap::whole(cells.view(), &picture);
            bencher.iter(|| overlay(black_box(&picture), &[map], &options).expect("drawn"));
        });
    }
    let explained = Explained::new(60, 34, 3, noise(1800, 1500));
    group.bench_function("report, 60 words, 34 layers, 3 methods", |bencher| {
        bencher.iter(|| black_box(explained.report()).to_html().expect("a page"));
    });
    group.finish();
}

criterion_group!(benches, visualize);
criterion_main!(benches);
