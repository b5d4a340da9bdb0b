//! Blocks of quantised weights, as GGUF files hold them, and what each number in them stands for.
//!
//! A block holds 32 or 256 weights in a row of a matrix. Layouts and arithmetic are those of ggml (`ggml-common.h`, `ggml-quants.c`); every
//! operation is one of float32, in the order of the Python package `gguf`, so that numbers are equal to its to the last bit.

use half::{bf16, f16};

/// How weights are stored in a GGUF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BlockType {
    /// float32.
    F32,
    /// float16.
    F16,
    /// bfloat16.
    BF16,
    /// 4 bits, one scale for 32 weights.
    Q4_0,
    /// 4 bits, scale and offset for 32 weights.
    Q4_1,
    /// 5 bits, one scale for 32 weights.
    Q5_0,
    /// 5 bits, scale and offset for 32 weights.
    Q5_1,
    /// 8 bits, one scale for 32 weights.
    Q8_0,
    /// 2 bits, scales and offsets of 16 weights quantised in turn.
    Q2K,
    /// 3 bits, scales of 16 weights quantised in turn.
    Q3K,
    /// 4 bits, scales and offsets of 32 weights quantised in turn.
    Q4K,
    /// 5 bits, scales and offsets of 32 weights quantised in turn.
    Q5K,
    /// 6 bits, scales of 16 weights quantised in turn.
    Q6K,
}

/// A type, its number in a file, its name, weights and bytes of a block.
type Row = (BlockType, u32, &'static str, usize, usize);

const ALL: [Row; 13] = [
    (BlockType::F32, 0, "F32", 1, 4),
    (BlockType::F16, 1, "F16", 1, 2),
    (BlockType::Q4_0, 2, "Q4_0", 32, 18),
    (BlockType::Q4_1, 3, "Q4_1", 32, 20),
    (BlockType::Q5_0, 6, "Q5_0", 32, 22),
    (BlockType::Q5_1, 7, "Q5_1", 32, 24),
    (BlockType::Q8_0, 8, "Q8_0", 32, 34),
    (BlockType::Q2K, 10, "Q2_K", 256, 84),
    (BlockType::Q3K, 11, "Q3_K", 256, 110),
    (BlockType::Q4K, 12, "Q4_K", 256, 144),
    (BlockType::Q5K, 13, "Q5_K", 256, 176),
    (BlockType::Q6K, 14, "Q6_K", 256, 210),
    (BlockType::BF16, 30, "BF16", 1, 2),
];

/// Types that are not read, by number and name, so that a message can name them.
const UNREAD: [(u32, &str); 16] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

/// A type that is not read, as people know it.
pub(crate) fn unread_name(id: u32) -> String {
    let known = UNREAD.iter().find(|row| row.0 == id);
    known.map_or_else(|| format!("ggml type {id}"), |row| row.1.to_owned())
}

impl BlockType {
    /// Every type that is read.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|row| row.0)
    }

    /// By its number in a file; `None` for one that is not read.
    pub fn from_id(id: u32) -> Option<Self> {
        ALL.iter().find(|row| row.1 == id).map(|row| row.0)
    }

    /// Its number in a file.
    pub fn id(self) -> u32 {
        self.row().1
    }

    /// Its name in ggml, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Weights of a block.
    pub fn weights(self) -> usize {
        self.row().3
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        self.row().4
    }

    /// Bytes of a row of so many weights; `None` where they do not fill whole blocks.
    pub fn row_bytes(self, weights: usize) -> Option<usize> {
        let blocks = weights / self.weights();
        weights.is_multiple_of(self.weights()).then(|| blocks.checked_mul(self.bytes())).flatten()
    }

    /// The numbers that whole blocks stand for.
    ///
    /// # Panics
    /// If `out` does not have as many numbers as `blocks` have weights.
    pub fn dequantise(self, blocks: &[u8], out: &mut [f32]) {
        let (bytes, weights) = (self.bytes(), self.weights());
        assert_eq!(blocks.len() / bytes * weights, out.len(), "{} blocks", self.name());
        let one: fn(&[u8], &mut [f32]) = match self {
            Self::F32 => |block, out| out[0] = f32::from_le_bytes(array(block)),
            Self::F16 => |block, out| out[0] = float16(block),
            Self::BF16 => |block, out| out[0] = bf16::from_le_bytes(array(block)).to_f32(),
            Self::Q4_0 => q4_0,
            Self::Q4_1 => q4_1,
            Self::Q5_0 => q5_0,
            Self::Q5_1 => q5_1,
            Self::Q8_0 => q8_0,
            Self::Q2K => q2_k,
            Self::Q3K => q3_k,
            Self::Q4K => q4_k,
            Self::Q5K => q5_k,
            Self::Q6K => q6_k,
        };
        for (block, out) in blocks.chunks_exact(bytes).zip(out.chunks_exact_mut(weights)) {
            one(block, out);
        }
    }

    fn row(self) -> &'static Row {
        ALL.iter().find(|row| row.0 == self).expect("every type has a row")
    }
}

pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("as many bytes")
}

pub(crate) fn float16(bytes: &[u8]) -> f32 {
    f16::from_le_bytes(array(bytes)).to_f32()
}

/// Low and high half of each of 16 bytes: the first and the second 16 weights of a block of 32.
pub(crate) fn nibbles(bytes: &[u8]) -> [u8; 32] {
    let bytes: [u8; 16] = array(bytes);
    std::array::from_fn(|index| bytes[index % 16] >> (index / 16 * 4) & 15)
}

/// d, 16 bytes: `d·(q − 8)`.
fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = float16(block);
    for (out, q) in out.iter_mut().zip(nibbles(&block[2..])) {
        *out = d * (f32::from(q) - 8.0);
    }
}

/// d, m, 16 bytes: `d·q + m`.
fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (float16(block), float16(&block[2..]));
    for (out, q) in out.iter_mut().zip(nibbles(&block[4..])) {
        *out = d * f32::from(q) + m;
    }
}

/// d, the fifth bits, 16 bytes: `d·(q − 16)`.
fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = float16(block);
    let high = u32::from_le_bytes(array(&block[2..]));
    for (index, (out, q)) in out.iter_mut().zip(nibbles(&block[6..])).enumerate() {
        *out = d * (fifth(q, high, index) - 16.0);
    }
}

/// d, m, the fifth bits, 16 bytes: `d·q + m`.
fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (float16(block), float16(&block[2..]));
    let high = u32::from_le_bytes(array(&block[4..]));
    for (index, (out, q)) in out.iter_mut().zip(nibbles(&block[8..])).enumerate() {
        *out = d * fifth(q, high, index) + m;
    }
}

fn fifth(q: u8, high: u32, index: usize) -> f32 {
    f32::from(q | (((high >> index) & 1) << 4) as u8)
}

/// d, 32 signed bytes: `d·q`.
fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = float16(block);
    for (out, &q) in out.iter_mut().zip(&block[2..]) {
        *out = d * f32::from(q.cast_signed());
    }
}

/// 16 bytes of scales (low half) and offsets (high half), 64 bytes, d, m.
fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, rest) = block.split_at(16);
    let (quants, rest) = rest.split_at(64);
    let (d, m) = (float16(rest), float16(&rest[2..]));
    // 128 weights share 32 bytes, two bits of each for every 32 weights; 16 weights share a scale.
    for (index, out) in out.chunks_exact_mut(16).enumerate() {
        let (scale, offset) =
            (d * f32::from(scales[index] & 15), m * f32::from(scales[index] >> 4));
        let (half, shift, side) = (index / 8, index % 8 / 2 * 2, index % 2);
        let quants = &quants[32 * half + 16 * side..][..16];
        for (out, q) in out.iter_mut().zip(quants) {
            *out = scale * f32::from((q >> shift) & 3) - offset;
        }
    }
}

/// 32 bytes of third bits, 64 bytes, 12 bytes of scales, d.
fn q3_k(block: &[u8], out: &mut [f32]) {
    let (third, rest) = block.split_at(32);
    let (quants, rest) = rest.split_at(64);
    let (scales, rest) = rest.split_at(12);
    let d = float16(rest);
    for (index, out) in out.chunks_exact_mut(16).enumerate() {
        // Six bits: four in the first 8 bytes, two in the last 4.
        let low = (scales[index % 8] >> (index / 8 * 4)) & 15;
        let high = (scales[8 + index % 4] >> (index / 4 * 2)) & 3;
        let scale = d * (f32::from(low | (high << 4)) - 32.0);
        let (half, bits, side) = (index / 8, index % 8 / 2, index % 2);
        let quants = &quants[32 * half + 16 * side..][..16];
        let third = &third[16 * side..][..16];
        for (out, (q, third)) in out.iter_mut().zip(quants.iter().zip(third)) {
            // A third bit that is not set takes four away.
            let missing = if (third >> (4 * half + bits)) & 1 == 0 { 4.0 } else { 0.0 };
            *out = scale * (f32::from((q >> (2 * bits)) & 3) - missing);
        }
    }
}

/// Scale and offset of 32 weights, six bits each, out of 12 bytes.
pub(crate) fn six_bits(packed: &[u8], index: usize) -> (f32, f32) {
    let (scale, offset) = if index < 4 {
        (packed[index] & 63, packed[index + 4] & 63)
    } else {
        let high = |byte: u8| (byte >> 6) << 4;
        (
            (packed[index + 4] & 15) | high(packed[index - 4]),
            (packed[index + 4] >> 4) | high(packed[index]),
        )
    };
    (f32::from(scale), f32::from(offset))
}

/// d, m, 12 bytes of scales and offsets, 128 bytes.
fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, m) = (float16(block), float16(&block[2..]));
    let (packed, quants) = block[4..].split_at(12);
    for (index, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, offset) = six_bits(packed, index);
        let (scale, offset) = (d * scale, m * offset);
        let (quants, shift) = (&quants[index / 2 * 32..][..32], index % 2 * 4);
        for (out, q) in out.iter_mut().zip(quants) {
            *out = scale * f32::from((q >> shift) & 15) - offset;
        }
    }
}

/// d, m, 12 bytes of scales and offsets, 32 bytes of fifth bits, 128 bytes.
fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, m) = (float16(block), float16(&block[2..]));
    let (packed, rest) = block[4..].split_at(12);
    let (fifth, quants) = rest.split_at(32);
    for (index, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, offset) = six_bits(packed, index);
        let (scale, offset) = (d * scale, m * offset);
        let (quants, shift) = (&quants[index / 2 * 32..][..32], index % 2 * 4);
        for (out, (q, fifth)) in out.iter_mut().zip(quants.iter().zip(fifth)) {
            let q = ((q >> shift) & 15) | (((fifth >> index) & 1) << 4);
            *out = scale * f32::from(q) - offset;
        }
    }
}

/// 128 bytes of low halves, 64 bytes of upper bits, 16 signed scales, d.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, rest) = rest.split_at(16);
    let d = float16(rest);
    for (index, out) in out.chunks_exact_mut(16).enumerate() {
        let scale = d * f32::from(scales[index].cast_signed());
        // 128 weights are four times 32: two from the low halves of 64 bytes, two from the high ones.
        let (half, quarter, side) = (index / 8, index % 8 / 2, index % 2);
        let low = &low[64 * half + 32 * (quarter % 2) + 16 * side..][..16];
        let high = &high[32 * half + 16 * side..][..16];
        for (out, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
            let q = ((low >> (quarter / 2 * 4)) & 15) | (((high >> (2 * quarter)) & 3) << 4);
            *out = scale * (f32::from(q) - 32.0);
        }
    }
}
