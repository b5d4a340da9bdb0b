//! Products as they are defined: what every vector version is held against.

use super::{Activations, HIGH};
use crate::blocks::{BlockType, array, float16, nibbles, six_bits};

/// Codes, scales and offsets of a block: a weight is `scale·code + offset`.
struct Parts {
    /// With what is always taken off (8 of four bits, and so on) taken off.
    codes: [i8; 256],
    /// By group of 16 or 32.
    scales: [f32; 16],
    offsets: [f32; 16],
}

/// The row `weights` times `x`.
pub(super) fn product(x: &Activations, weights: &[u8]) -> f32 {
    let blocks = x.blocks;
    let group = super::group(blocks).expect("activations are made for quantised types");
    let groups = blocks.weights() / group;
    let mut parts = Parts { codes: [0; 256], scales: [0.0; 16], offsets: [0.0; 16] };
    let mut product = 0.0;
    for (index, block) in weights.chunks_exact(blocks.bytes()).enumerate() {
        parts.read(blocks, block);
        for part in 0..groups {
            let at = index * groups + part;
            let codes = parts.codes[part * group..][..group].iter();
            let dot: i32 =
                codes.zip(at * group..).map(|(&code, at)| i32::from(code) * whole(x, at)).sum();
            product += parts.scales[part] * x.scales[at] * dot as f32;
            product += parts.offsets[part] * x.sums[at];
        }
    }
    product
}

/// The whole number there.
fn whole(x: &Activations, at: usize) -> i32 {
    let [high, low] = [0, 32].map(|side| i32::from(x.bytes[at / 32 * 64 + side + at % 32]));
    HIGH * high + low
}

impl Parts {
    /// Layouts are those of `blocks.rs`.
    fn read(&mut self, blocks: BlockType, block: &[u8]) {
        match blocks {
            BlockType::Q4_0 => {
                self.one_scale(block, None);
                self.fill(nibbles(&block[2..]).into_iter().map(|q| q.cast_signed() - 8));
            }
            BlockType::Q4_1 => {
                self.one_scale(block, Some(&block[2..]));
                self.fill(nibbles(&block[4..]).into_iter().map(u8::cast_signed));
            }
            BlockType::Q5_0 => {
                self.one_scale(block, None);
                self.fill(five_bits(&block[2..]).map(|q| q.cast_signed() - 16));
            }
            BlockType::Q5_1 => {
                self.one_scale(block, Some(&block[2..]));
                self.fill(five_bits(&block[4..]).map(u8::cast_signed));
            }
            BlockType::Q8_0 => {
                self.one_scale(block, None);
                self.fill(block[2..].iter().map(|q| q.cast_signed()));
            }
            BlockType::Q2K => self.q2_k(block),
            BlockType::Q3K => self.q3_k(block),
            BlockType::Q4K => self.q4_or_5_k(block, None, &block[16..]),
            BlockType::Q5K => self.q4_or_5_k(block, Some(&block[16..48]), &block[48..]),
            BlockType::Q6K => self.q6_k(block),
            BlockType::F32 | BlockType::F16 | BlockType::BF16 => {
                unreachable!("activations are made for quantised types")
            }
        }
    }

    fn fill(&mut self, codes: impl Iterator<Item = i8>) {
        for (out, code) in self.codes.iter_mut().zip(codes) {
            *out = code;
        }
    }

    fn one_scale(&mut self, scale: &[u8], offset: Option<&[u8]>) {
        self.scales[0] = float16(scale);
        self.offsets[0] = offset.map_or(0.0, float16);
    }

    fn q2_k(&mut self, block: &[u8]) {
        let (d, m) = (float16(&block[80..]), float16(&block[82..]));
        for (index, &both) in block[..16].iter().enumerate() {
            self.scales[index] = d * f32::from(both & 15);
            self.offsets[index] = -(m * f32::from(both >> 4));
        }
        self.fill((0..256).map(|index| {
            let q = block[16 + index / 128 * 32 + index % 32];
            (q >> (index % 128 / 32 * 2) & 3).cast_signed()
        }));
    }

    fn q3_k(&mut self, block: &[u8]) {
        let (third, quants, packed) = (&block[..32], &block[32..96], &block[96..108]);
        let d = float16(&block[108..]);
        for (index, scale) in self.scales.iter_mut().enumerate() {
            let low = (packed[index % 8] >> (index / 8 * 4)) & 15;
            let high = (packed[8 + index % 4] >> (index / 4 * 2)) & 3;
            *scale = d * (f32::from(low | (high << 4)) - 32.0);
        }
        self.fill((0..256).map(|index| {
            let q = quants[index / 128 * 32 + index % 32] >> (index % 128 / 32 * 2) & 3;
            let third = third[index % 32] >> (index / 32) & 1;
            (q | (third << 2)).cast_signed() - 4
        }));
    }

    fn q4_or_5_k(&mut self, block: &[u8], fifth: Option<&[u8]>, quants: &[u8]) {
        let (d, m) = (float16(block), float16(&block[2..]));
        for index in 0..8 {
            let (scale, offset) = six_bits(&block[4..16], index);
            (self.scales[index], self.offsets[index]) = (d * scale, -(m * offset));
        }
        self.fill((0..256).map(|index| {
            let q = quants[index / 64 * 32 + index % 32] >> (index % 64 / 32 * 4) & 15;
            let fifth = fifth.map_or(0, |fifth| fifth[index % 32] >> (index / 32) & 1);
            (q | (fifth << 4)).cast_signed()
        }));
    }

    fn q6_k(&mut self, block: &[u8]) {
        let d = float16(&block[208..]);
        for (scale, q) in self.scales.iter_mut().zip(&block[192..208]) {
            *scale = d * f32::from(q.cast_signed());
        }
        self.fill((0..256).map(|index| {
            let (half, quarter) = (index / 128, index % 128 / 32);
            let low = block[64 * half + index % 64] >> (quarter / 2 * 4) & 15;
            let high = block[128 + 32 * half + index % 32] >> (2 * quarter) & 3;
            (low | (high << 4)).cast_signed() - 32
        }));
    }
}

/// The fifth bits of 32 codes, then the four others.
fn five_bits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let fifth = u32::from_le_bytes(array(bytes));
    let four = nibbles(&bytes[4..]).into_iter().enumerate();
    four.map(move |(index, q)| q | ((fifth >> index & 1) << 4) as u8)
}
