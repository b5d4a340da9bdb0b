//! Four-bit normal floats of bitsandbytes, with scales that are stored plainly or quantised in turn.

use half::{bf16, f16};

/// Scales of blocks of weights.
#[derive(Clone, Debug, PartialEq)]
pub enum Nf4Scales {
    /// One float32 for each block.
    Plain(Vec<f32>),
    /// Quantised in turn: `code[q]·scale[block of scales] + offset`.
    Nested {
        /// A byte for each block.
        quants: Vec<u8>,
        /// What each byte stands for, 256 numbers.
        code: Vec<f32>,
        /// One for each `block` scales.
        scales: Vec<f32>,
        /// Scales that share one.
        block: usize,
        /// Added to each.
        offset: f32,
    },
}

/// How four bits become numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Nf4 {
    /// What each half byte stands for, 16 numbers from −1 to 1.
    pub code: [f32; 16],
    /// Weights that share a scale.
    pub block: usize,
    /// The scales.
    pub scales: Nf4Scales,
    /// The type that the weights had before: what a half byte stands for is rounded to it.
    pub rounds_to: RoundTo,
}

/// A type that numbers are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundTo {
    /// bfloat16.
    BFloat16,
    /// float16.
    Float16,
    /// float32: they stay as they are.
    Float32,
}

impl RoundTo {
    fn round(self, number: f32) -> f32 {
        match self {
            Self::BFloat16 => bf16::from_f32(number).to_f32(),
            Self::Float16 => f16::from_f32(number).to_f32(),
            Self::Float32 => number,
        }
    }
}

impl Nf4Scales {
    /// The scale of a block.
    fn of(&self, index: usize) -> f32 {
        match self {
            Self::Plain(scales) => scales[index],
            Self::Nested { quants, code, scales, block, offset } => {
                code[usize::from(quants[index])] * scales[index / block] + offset
            }
        }
    }
}

impl Nf4 {
    /// Weights from number `first` on, which is even: the high half of a byte comes first. `quants` begins at that byte.
    pub fn dequantise(&self, first: usize, quants: &[u8], out: &mut [f32]) {
        for (index, out) in out.iter_mut().enumerate() {
            let byte = quants[index / 2];
            let q = if index % 2 == 0 { byte >> 4 } else { byte & 15 };
            let number = self.code[usize::from(q)] * self.scales.of((first + index) / self.block);
            *out = self.rounds_to.round(number);
        }
    }
}
