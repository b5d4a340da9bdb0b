//! Criterion benchmarks, the program `measure`, and what they share.
//!
//! `cargo bench -p benchmarks --bench NAME`, on a machine that does nothing else. `cargo xtask bench` runs `measure` beside the
//! Python way and writes `docs/benchmarks.md`.

mod explained;
pub mod forms;
pub mod memory;

pub use explained::{Explained, noise};
use ndarray::Array3;

/// Sequence lengths: one picture and a question, three pictures, eleven.
pub const TOKENS: [usize; 3] = [300, 1000, 3000];

/// Attention and its gradient `[H, S, S]` of one layer, from plain numbers: timings do not depend on them.
pub struct Layer {
    /// Rows sum to about one; every key is seen, so that nothing is cheap because it is zero.
    pub attention: Array3<f32>,
    /// Of both signs.
    pub gradient: Array3<f32>,
}

impl Layer {
    /// A layer of `heads` heads over `tokens` tokens; `seed` tells layers apart.
    pub fn new(heads: usize, tokens: usize, seed: usize) -> Self {
        let shape = (heads, tokens, tokens);
        let mixed = |(h, i, j): (usize, usize, usize)| {
            (h * 7919 + i * 104_729 + j * 1_299_709 + seed) % 1009
        };
        Self {
            attention: Array3::from_shape_fn(shape, |index| {
                (mixed(index) + 1) as f32 / (505.0 * tokens as f32)
            }),
            gradient: Array3::from_shape_fn(shape, |index| (mixed(index) % 97) as f32 / 48.0 - 1.0),
        }
    }
}
