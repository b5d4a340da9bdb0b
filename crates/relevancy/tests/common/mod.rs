//! Random layers.

use attention_relevancy::RetainedLayer;
use attention_relevancy::ndarray::Array3;

/// The numbers of `SplitMix64` (Steele, Lea and Flood 2014) in 0…1.
pub(crate) struct Random(u64);

impl Random {
    /// The next number.
    pub(crate) fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / 16_777_216.0
    }
}

/// Attention and gradient of one layer, `[H, S, S]`.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) attention: Array3<f32>,
    pub(crate) gradient: Array3<f32>,
}

/// What of a layer is fused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fused {
    GradientWeighted,
    #[allow(dead_code, reason = "not every test binary has both")]
    Attention,
}

impl Layer {
    /// Causal attention with rows that sum to one, and a gradient of both signs in which every fifth query has none.
    pub(crate) fn random(heads: usize, tokens: usize, random: &mut Random) -> Self {
        let shape = (heads, tokens, tokens);
        let mut attention = Array3::from_shape_fn(shape, |(_, i, j)| {
            if j <= i { random.uniform().powi(3) + 1e-6 } else { 0.0 }
        });
        for mut row in attention.rows_mut() {
            let sum = row.iter().map(|&weight| f64::from(weight)).sum::<f64>();
            row.mapv_inplace(|weight| (f64::from(weight) / sum) as f32);
        }
        let gradient =
            Array3::from_shape_fn(
                shape,
                |(_, i, _)| if i % 5 == 4 { 0.0 } else { random.uniform() - 0.4 },
            );
        Self { attention, gradient }
    }

    /// `n` layers.
    pub(crate) fn several(n: usize, heads: usize, tokens: usize, seed: u64) -> Vec<Self> {
        let mut random = Random(seed);
        (0..n).map(|_| Self::random(heads, tokens, &mut random)).collect()
    }

    /// The layer as the crate takes it.
    pub(crate) fn retained(&self, fused: Fused) -> RetainedLayer<'_> {
        let attention = self.attention.view();
        match fused {
            Fused::GradientWeighted => {
                RetainedLayer::gradient_weighted(attention, self.gradient.view())
            }
            Fused::Attention => RetainedLayer::attention(attention),
        }
        .unwrap()
    }
}
