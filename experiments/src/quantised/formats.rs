//! Weights as they come out of a format: quantised and expanded again.
//!
//! GGUF blocks are made by candle-core, whose quantisers follow the reference ones of ggml, and expanded by `quantised-weights`, which is equal
//! to the Python package gguf to the last bit. A model computes with exactly these numbers whether it holds blocks or them
//! (`tests/integration/real.rs`), so they are written as float32 and loaded as any checkpoint is.

use anyhow::{Context, Result, ensure};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor as Candle};
use quantised_weights::BlockType;
use tch::{Kind, Tensor};

use crate::parameters::Parameters;

/// Weights of a block of the k-types, and of what is quantised in one go. The rows of this model are narrower: its matrices are quantised as
/// if they were one long row.
const BLOCK: usize = 256;
/// Weights of a block of NF4.
const NF4_BLOCK: usize = 64;

/// A way to store the language model; the vision tower stays as it is, as in the files that people have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 8 bits.
    Q8_0,
    /// 6 bits.
    Q6K,
    /// llama.cpp's mixture of 4 and 6 bits.
    Q4KM,
    /// 4 bits, the oldest type.
    Q4_0,
    /// The 4 bits of bitsandbytes, in layers alone.
    Nf4,
}

impl Format {
    /// All of them, from many bits to few.
    pub const ALL: [Self; 5] = [Self::Q8_0, Self::Q6K, Self::Q4KM, Self::Q4_0, Self::Nf4];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "Q8_0",
            Self::Q6K => "Q6_K",
            Self::Q4KM => "Q4_K_M",
            Self::Q4_0 => "Q4_0",
            Self::Nf4 => "NF4",
        }
    }

    /// The parameters as they are after quantising, float32, and bits for each of the weights that were quantised.
    pub fn applied(self, parameters: &Parameters, layers: usize) -> Result<(Parameters, f64)> {
        let (mut bytes, mut weights) = (0.0, 0_usize);
        let mut changed = Parameters::new();
        for (name, tensor) in parameters {
            let stored = match self.stored(name, layers) {
                Some(stored) if tensor.dim() == 2 => stored,
                _ => {
                    changed.insert(name.clone(), tensor.shallow_clone());
                    continue;
                }
            };
            let flat = tensor.to_kind(Kind::Float).contiguous().view([-1]);
            let mut values = Vec::<f32>::try_from(&flat)?;
            bytes += stored.quantised(&mut values).with_context(|| name.clone())?;
            weights += values.len();
            let restored = Tensor::from_slice(&values).view(tensor.size().as_slice());
            changed.insert(name.clone(), restored);
        }
        ensure!(0 < weights, "the checkpoint has no matrix of a language model");
        Ok((changed, 8.0 * bytes / weights as f64))
    }

    /// How a tensor is stored, by its canonical name; `None`: as it is.
    fn stored(self, name: &str, layers: usize) -> Option<Stored> {
        let is_embedding = name == "language_model.embed_tokens.weight";
        let layer = name.strip_prefix("language_model.layers.");
        if !is_embedding && layer.is_none() {
            return None;
        }
        Some(match self {
            Self::Q8_0 => Stored::Q8_0,
            Self::Q6K => Stored::Q6K,
            // llama.cpp gives a head, which is the embedding here, six bits.
            Self::Q4_0 | Self::Q4KM if is_embedding => Stored::Q6K,
            Self::Q4_0 => Stored::Q4_0,
            Self::Q4KM => {
                let (number, rest) = layer?.split_once('.')?;
                let is_wide = ["self_attn.v_proj.weight", "mlp.down_proj.weight"].contains(&rest);
                let six = is_wide && has_more_bits(number.parse().ok()?, layers);
                if six { Stored::Q6K } else { Stored::Q4K }
            }
            // bitsandbytes quantises linear maps, and an embedding is none.
            Self::Nf4 if is_embedding => return None,
            Self::Nf4 => Stored::Nf4,
        })
    }
}

/// The layers in which llama.cpp gives values and the last map of the MLP six bits (`use_more_bits` in `llama-quant.cpp`).
fn has_more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || 7 * layers / 8 <= layer || (layer - eighth) % 3 == 2
}

/// How one matrix is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Q8_0,
    Q6K,
    Q4K,
    Q4_0,
    Nf4,
}

impl Stored {
    /// Quantises the values and expands them again; the bytes that they take.
    fn quantised(self, values: &mut [f32]) -> Result<f64> {
        let (made, blocks) = match self {
            Self::Q8_0 => (GgmlDType::Q8_0, BlockType::Q8_0),
            Self::Q6K => (GgmlDType::Q6K, BlockType::Q6K),
            Self::Q4K => (GgmlDType::Q4K, BlockType::Q4K),
            Self::Q4_0 => (GgmlDType::Q4_0, BlockType::Q4_0),
            Self::Nf4 => {
                nf4(values);
                // Half a byte, and a scale of four bytes for each block.
                return Ok(values.len() as f64 * (0.5 + 4.0 / NF4_BLOCK as f64));
            }
        };
        // The last block is filled up with zeros.
        let rows = values.len().div_ceil(BLOCK);
        let mut filled = values.to_vec();
        filled.resize(rows * BLOCK, 0.0);
        let matrix = Candle::from_slice(&filled, (rows, BLOCK), &Device::Cpu)?;
        let quantised = QTensor::quantize(&matrix, made)?;
        let bytes = quantised.data()?;
        blocks.dequantise(&bytes, &mut filled);
        values.copy_from_slice(&filled[..values.len()]);
        Ok(bytes.len() as f64)
    }
}

/// The sixteen values of NF4: quantiles of the normal distribution (Dettmers et al., QLoRA, 2023, appendix E).
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Each block by its largest magnitude, each weight to the nearest value; scales are not quantised again.
fn nf4(values: &mut [f32]) {
    for block in values.chunks_mut(NF4_BLOCK) {
        let scale = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        if scale == 0.0 {
            continue;
        }
        for value in block {
            let part = *value / scale;
            let far = |code: &f32| (code - part).abs();
            let nearest = NF4.into_iter().min_by(|a, b| far(a).total_cmp(&far(b)));
            *value = nearest.unwrap_or(0.0) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<f32> {
        let tensor = Tensor::randn([64 * 256], (Kind::Float, tch::Device::Cpu)) * 0.02;
        Vec::try_from(tensor).unwrap()
    }

    /// The root of the mean square of what is lost, beside the deviation of the values, is what each type is known for.
    #[test]
    fn fewer_bits_lose_more() {
        tch::manual_seed(5);
        let before = values();
        let lost = |stored: Stored| {
            let mut after = before.clone();
            let bits = 8.0 * stored.quantised(&mut after).unwrap() / after.len() as f64;
            let square = |sum: f64, (a, b): (&f32, &f32)| sum + f64::from(a - b).powi(2);
            let error: f64 = before.iter().zip(&after).fold(0.0, square);
            ((error / before.len() as f64).sqrt() / 0.02, bits)
        };
        for (stored, most, bits) in [
            (Stored::Q8_0, 0.01, 8.5),
            (Stored::Q6K, 0.03, 6.5625),
            (Stored::Q4K, 0.09, 4.5),
            (Stored::Q4_0, 0.12, 4.5),
            (Stored::Nf4, 0.11, 4.5),
        ] {
            let (error, found) = lost(stored);
            assert!(most / 4.0 < error && error < most, "{stored:?}: {error}");
            assert!((found - bits).abs() < 1e-9, "{stored:?}: {found} bits");
        }
    }

    #[test]
    fn the_mixture_is_that_of_llama_cpp() {
        // Of a file with 18 layers nine have more bits.
        assert_eq!((0..18).filter(|&layer| has_more_bits(layer, 18)).count(), 9);
        let six = |name: &str| Format::Q4KM.stored(name, 18) == Some(Stored::Q6K);
        assert!(six("language_model.embed_tokens.weight"));
        assert!(six("language_model.layers.0.mlp.down_proj.weight"));
        assert!(!six("language_model.layers.0.mlp.up_proj.weight"));
        assert!(!six("language_model.layers.2.mlp.down_proj.weight"));
        assert_eq!(Format::Q4KM.stored("vision_tower.encoder.layers.0.mlp.fc1.weight", 18), None);
        assert_eq!(Format::Nf4.stored("language_model.embed_tokens.weight", 18), None);
    }
}
