//! Random blocks of the types of ggml that `Q4_K_M` files have, scaled to a deviation: what they hold is uniform, and of the mean zero.

use std::rc::Rc;

use checkpoint_files::random::SplitMix;
use half::f16;

use crate::synthesize::noise::{Block, Noise, Normal};

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    F32,
    F16,
    Q5_0,
    Q8_0,
    Q4K,
    Q6K,
}

/// Blocks that are made of one type and deviation, a prime number, so that rows of a matrix do not repeat.
const COUNT: usize = 16_381;

impl Stored {
    /// Its number in a file, its name, weights and bytes of a block.
    fn row(self) -> (u32, &'static str, usize, usize) {
        match self {
            Self::F32 => (0, "F32", 1, 4),
            Self::F16 => (1, "F16", 1, 2),
            Self::Q5_0 => (6, "Q5_0", 32, 22),
            Self::Q8_0 => (8, "Q8_0", 32, 34),
            Self::Q4K => (12, "Q4_K", 256, 144),
            Self::Q6K => (14, "Q6_K", 256, 210),
        }
    }

    pub(super) fn id(self) -> u32 {
        self.row().0
    }

    #[cfg(test)]
    pub(super) fn name(self) -> &'static str {
        self.row().1
    }

    /// Bytes of so many weights.
    pub(super) fn size(self, weights: usize) -> u64 {
        let (_, _, per, bytes) = self.row();
        (weights / per * bytes) as u64
    }

    /// The type that llama.cpp takes in its place where rows are not whole blocks.
    pub(super) fn for_width(self, width: usize) -> Self {
        match self {
            stored if width.is_multiple_of(stored.row().2) => stored,
            Self::Q4K if width.is_multiple_of(32) => Self::Q5_0,
            Self::Q6K if width.is_multiple_of(32) => Self::Q8_0,
            _ => Self::F16,
        }
    }
}

/// The blocks of a file, made when they are needed.
pub(super) struct Blocks<'a> {
    noise: &'a Noise,
    made: Vec<(Stored, Normal, Rc<Block>)>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(noise: &'a Noise) -> Self {
        Self { noise, made: Vec::new() }
    }

    pub(super) fn of(&mut self, stored: Stored, normal: Normal) -> Rc<Block> {
        if let Some((_, _, block)) =
            self.made.iter().find(|made| (made.0, made.1) == (stored, normal))
        {
            return Rc::clone(block);
        }
        let block = Rc::new(self.make(stored, normal));
        self.made.push((stored, normal, Rc::clone(&block)));
        block
    }

    fn make(&self, stored: Stored, normal: Normal) -> Block {
        let one: fn(&mut SplitMix, f32, &mut Vec<u8>) = match stored {
            Stored::F32 => {
                return Block::new(
                    self.noise.values(normal).flat_map(f32::to_le_bytes).collect(),
                    4,
                );
            }
            Stored::F16 => {
                let values = self.noise.values(normal);
                return Block::new(
                    values.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
                    2,
                );
            }
            Stored::Q5_0 => q5_0,
            Stored::Q8_0 => q8_0,
            Stored::Q4K => q4_k,
            Stored::Q6K => q6_k,
        };
        let mut random = SplitMix::new(
            self.noise.seed()
                ^ u64::from(stored.id()) << 32
                ^ u64::from(normal.deviation.to_bits()),
        );
        let mut bytes = Vec::new();
        (0..COUNT).for_each(|_| one(&mut random, normal.deviation, &mut bytes));
        Block::new(bytes, stored.row().3)
    }
}

/// The deviation of one of `count` whole numbers in a row, each as likely as the others.
fn uniform(count: u32) -> f32 {
    ((count * count - 1) as f32 / 12.0).sqrt()
}

/// The root of the mean square of the whole numbers from `low` to `high`.
fn mean_square(low: u32, high: u32) -> f32 {
    let squares: u32 = (low..=high).map(|n| n * n).sum();
    (squares as f32 / (high - low + 1) as f32).sqrt()
}

fn between(random: &mut SplitMix, low: u32, high: u32) -> u32 {
    low + random.below((high - low + 1) as usize) as u32
}

fn fill(random: &mut SplitMix, count: usize, bytes: &mut Vec<u8>) {
    for _ in 0..count / 8 {
        bytes.extend(random.number().to_le_bytes());
    }
}

fn scale(d: f32, bytes: &mut Vec<u8>) {
    bytes.extend(f16::from_f32(d).to_le_bytes());
}

/// d, the fifth bits, 16 bytes: `d·(q − 16)`. The sign of d takes the half off that the mean is below zero.
fn q5_0(random: &mut SplitMix, deviation: f32, bytes: &mut Vec<u8>) {
    let sign = if random.once_in(2) { -1.0 } else { 1.0 };
    scale(sign * deviation / uniform(32), bytes);
    bytes.extend((random.number() as u32).to_le_bytes());
    fill(random, 16, bytes);
}

/// d, 32 signed bytes.
fn q8_0(random: &mut SplitMix, deviation: f32, bytes: &mut Vec<u8>) {
    scale(deviation / uniform(255), bytes);
    bytes.extend((0..32).map(|_| (between(random, 0, 254) as i32 - 127) as u8));
}

/// d, m, 12 bytes of scales and offsets, 128 bytes: `s·(d·q − m)`, with offsets that are the scales.
fn q4_k(random: &mut SplitMix, deviation: f32, bytes: &mut Vec<u8>) {
    const LOW: u32 = 32;
    const HIGH: u32 = 63;
    let d = deviation / (uniform(16) * mean_square(LOW, HIGH));
    scale(d, bytes);
    scale(7.5 * d, bytes);
    let scales: [u8; 8] = std::array::from_fn(|_| between(random, LOW, HIGH) as u8);
    let (first, last) = scales.split_at(4);
    let high = |index: usize| first[index] | (last[index] >> 4) << 6;
    bytes.extend((0..4).map(high)); // scales
    bytes.extend((0..4).map(high)); // offsets
    bytes.extend(last.iter().map(|scale| (scale & 15) | (scale & 15) << 4));
    fill(random, 128, bytes);
}

/// 128 bytes of low halves, 64 bytes of upper bits, 16 signed scales, d: `s·d·(q − 32)`.
fn q6_k(random: &mut SplitMix, deviation: f32, bytes: &mut Vec<u8>) {
    const LOW: u32 = 8;
    const HIGH: u32 = 31;
    fill(random, 192, bytes);
    let signed = |random: &mut SplitMix| {
        let scale = between(random, LOW, HIGH) as i32;
        if random.once_in(2) { -scale } else { scale }
    };
    bytes.extend((0..16).map(|_| signed(random) as u8));
    scale(deviation / (uniform(64) * mean_square(LOW, HIGH)), bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesize::noise::Dtype;
    use quantised_weights::BlockType;

    #[test]
    fn blocks_of_every_type_have_the_deviation_that_is_asked_for() {
        let noise = Noise::new(5, Dtype::Float32, true);
        let normal = Normal { mean: 0.0, deviation: 0.02 };
        for (stored, read) in [
            (Stored::F32, BlockType::F32),
            (Stored::F16, BlockType::F16),
            (Stored::Q5_0, BlockType::Q5_0),
            (Stored::Q8_0, BlockType::Q8_0),
            (Stored::Q4K, BlockType::Q4K),
            (Stored::Q6K, BlockType::Q6K),
        ] {
            assert_eq!(stored.row(), (read.id(), read.name(), read.weights(), read.bytes()));
            let block = Blocks::new(&noise).of(stored, normal);
            let bytes: Vec<u8> =
                block.window("x", 1000 * read.bytes() as u64).flatten().copied().collect();
            let mut numbers = vec![0.0; 1000 * read.weights()];
            read.dequantise(&bytes, &mut numbers);
            let count = numbers.len() as f32;
            let mean = numbers.iter().sum::<f32>() / count;
            let found = (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count).sqrt();
            // Standard errors at 1000 numbers: 0.0006 of the mean, 0.0005 of the deviation; four of them.
            assert!(
                mean.abs() < 0.0025 && (found - 0.02).abs() < 0.002,
                "{stored:?}: {mean} {found}"
            );
        }
    }
}
