//! Normal noise, made once and read again from other places.
//!
//! A tensor is a window that starts at a place given by its name and wraps round in one block of 2²⁰ − 3 numbers (a
//! prime, so that rows of a matrix do not repeat). That is random enough for a model that means nothing, and lets
//! several gigabytes be written as fast as the disk takes them.

use anyhow::{Result, bail};

use checkpoint_files::random::{SplitMix, hash};

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    Float32,
    Bfloat16,
}

impl Dtype {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "float32" => Ok(Self::Float32),
            "bfloat16" => Ok(Self::Bfloat16),
            other => bail!("no dtype {other}; there are bfloat16 and float32"),
        }
    }

    /// As transformers writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
        }
    }

    /// As safetensors writes it.
    pub(crate) fn safetensors_name(self) -> &'static str {
        match self {
            Self::Float32 => "F32",
            Self::Bfloat16 => "BF16",
        }
    }

    pub(crate) fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Bfloat16 => 2,
        }
    }
}

/// The distribution of the entries of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Normal {
    pub(crate) mean: f32,
    pub(crate) deviation: f32,
}

/// Standard normal numbers to make blocks of.
pub(crate) struct Noise {
    seed: u64,
    dtype: Dtype,
    standard: Vec<f32>,
}

impl Noise {
    /// `small` makes a shorter block, for a checkpoint of a megabyte.
    pub(crate) fn new(seed: u64, dtype: Dtype, small: bool) -> Self {
        let count = if small { 65_521 } else { 1_048_573 };
        let mut random = SplitMix::new(seed);
        let pairs = std::iter::repeat_with(|| random.normal_pair()).flatten();
        Self { seed, dtype, standard: pairs.take(count).collect() }
    }

    /// What it was made of.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// All the noise with this mean and deviation.
    pub(crate) fn values(&self, normal: Normal) -> impl Iterator<Item = f32> {
        self.standard.iter().map(move |x| normal.mean + normal.deviation * x)
    }

    /// The same as little-endian bytes.
    pub(crate) fn block(&self, normal: Normal) -> Block {
        let values = self.values(normal);
        let bytes = match self.dtype {
            Dtype::Float32 => values.flat_map(f32::to_le_bytes).collect(),
            Dtype::Bfloat16 => values.flat_map(|x| bfloat16(x).to_le_bytes()).collect(),
        };
        Block { bytes, unit: self.dtype.size() }
    }
}

/// Encoded noise.
pub(crate) struct Block {
    bytes: Vec<u8>,
    unit: usize,
}

impl Block {
    /// `unit`: bytes that belong together.
    pub(crate) fn new(bytes: Vec<u8>, unit: usize) -> Self {
        Self { bytes, unit }
    }

    /// Slices that together are `size` bytes, from a start that `name` decides, round and round.
    pub(crate) fn window(&self, name: &str, size: u64) -> impl Iterator<Item = &[u8]> {
        let count = self.bytes.len() / self.unit;
        let mut start = (hash(name) % count as u64) as usize * self.unit;
        let mut left = size;
        std::iter::from_fn(move || {
            let length = left.min((self.bytes.len() - start) as u64) as usize;
            let slice = &self.bytes[start..start + length];
            (start, left) = (0, left - length as u64);
            (length > 0).then_some(slice)
        })
    }
}

/// Round to nearest, ties to even. The argument is finite.
fn bfloat16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal_and_scaled() {
        let noise = Noise::new(3, Dtype::Float32, true);
        let block = noise.block(Normal { mean: 0.5, deviation: 0.02 });
        let values: Vec<f64> = block
            .bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()).into())
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
        // Standard errors at 65 521 numbers: 8e-5 of the mean, 6e-5 of the deviation.
        assert!((mean - 0.5).abs() < 4e-4, "{mean}");
        assert!((variance.sqrt() - 0.02).abs() < 3e-4, "{variance}");
    }

    #[test]
    fn windows_wrap_and_have_the_asked_length() {
        let block = Block { bytes: (0..14).collect(), unit: 2 };
        let window: Vec<u8> = block.window("name", 40).flatten().copied().collect();
        assert_eq!(window.len(), 40);
        assert_eq!(window[0] % 2, 0);
        assert!(window.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 14));
        assert_eq!(block.window("name", 0).count(), 0);
    }

    #[test]
    fn bfloat16_rounds_to_nearest_even() {
        assert_eq!(bfloat16(1.0), 0x3f80);
        assert_eq!(bfloat16(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(bfloat16(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(bfloat16(f32::from_bits(0xbf80_8001)), 0xbf81);
    }
}
