//! How fast one row is multiplied with a matrix of 2560 × 10240 quantised weights: `cargo run --release -p quantised-weights --example
//! row_product`. Beside each set of instructions and number of threads: bytes of the matrix read and operations (two to a weight) in a
//! second. Then
//! what adding up the bytes costs, as a measure of the memory, and what expanding the matrix to float32 does.
#![expect(clippy::print_stdout, reason = "printing is all it does")]

use quantised_weights::{Activations, BlockType, Instructions};
use std::hint::black_box;
use std::thread;
use std::time::Instant;

const OUTPUTS: usize = 2560;
const INPUTS: usize = 10240;
/// Matrices that are gone through in turn, so that none is still in a cache.
const COPIES: usize = 24;

fn main() {
    let types = BlockType::all().filter(|blocks| blocks.weights() > 1);
    for blocks in types {
        let width = blocks.row_bytes(INPUTS).expect("whole blocks");
        let bytes: Vec<u8> = (0..COPIES * OUTPUTS * width).map(byte).collect();
        let row: Vec<f32> = (0..INPUTS).map(|index| f32::from(byte(index * 7)) - 127.5).collect();
        let x = &Activations::of(&row, blocks).expect("whole blocks");
        for instructions in Instructions::ALL.into_iter().filter(|here| here.are_here()) {
            for threads in [1, 2] {
                let mut out = vec![0.0; OUTPUTS];
                let second = fastest(|copy| {
                    let matrix = &bytes[copy * OUTPUTS * width..][..OUTPUTS * width];
                    let rows = OUTPUTS.div_ceil(threads);
                    thread::scope(|scope| {
                        for (out, weights) in out.chunks_mut(rows).zip(matrix.chunks(rows * width))
                        {
                            scope.spawn(move || x.products_with(instructions, weights, out));
                        }
                    });
                });
                println!(
                    "{:5} {:12} {threads} threads: {:6.2} GB/s {:7.1} GFLOP/s {:7.3} ms",
                    blocks.name(),
                    format!("{instructions:?}"),
                    (OUTPUTS * width) as f64 / second / 1e9,
                    (2 * OUTPUTS * INPUTS) as f64 / second / 1e9,
                    1e3 * second,
                );
            }
        }
        let second = fastest(|_| drop(black_box(Activations::of(&row, blocks))));
        println!("{:5} the row prepared in {:.4} ms", blocks.name(), 1e3 * second);
        let second = fastest(|copy| {
            let (words, _) = bytes[copy * OUTPUTS * width..][..OUTPUTS * width].as_chunks();
            let sum = words.iter().fold(0, |sum, &word| u64::from_le_bytes(word).wrapping_add(sum));
            black_box(sum);
        });
        let speed = (OUTPUTS * width) as f64 / second / 1e9;
        println!("{:5} added up by 1 thread at {speed:.2} GB/s", blocks.name());
        let mut numbers = vec![0.0; OUTPUTS * INPUTS];
        let second = fastest(|copy| {
            blocks.dequantise(&bytes[copy * OUTPUTS * width..][..OUTPUTS * width], &mut numbers);
        });
        println!("{:5} expanded by 1 thread in {:.3} ms", blocks.name(), 1e3 * second);
    }
}

/// Bytes that look random; exponents of float16 that are too large for a number are left out.
fn byte(index: usize) -> u8 {
    ((index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 47) as u8) & 0xBF
}

/// Seconds of the fastest of several turns.
fn fastest(mut work: impl FnMut(usize)) -> f64 {
    let time = |copy| {
        let start = Instant::now();
        work(copy);
        start.elapsed().as_secs_f64()
    };
    (0..COPIES).map(time).fold(f64::INFINITY, f64::min)
}
