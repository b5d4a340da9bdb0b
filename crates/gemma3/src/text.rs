//! The Gemma3 language model. Field names follow the checkpoint's path segments.
//!
//! Symbols: n tokens of this call, D hidden width.

use crate::decoder::{DecoderLayer, DecoderTrace};
use crate::layers::RmsNorm;
use crate::weight::Weight;
use crate::{
    AttentionLayer, Error, Layer, PullRule, SequenceLayout, TextConfig, Watch, WeightPath,
};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

/// Token embeddings, decoder layers, final norm and the (usually tied) head.
#[derive(Debug)]
pub struct TextModel {
    embed_tokens: Weight, // [V, D]
    /// `√D` as the embedding's dtype holds it: 50.5 and not 50.596… for bfloat16 and D = 2560.
    embedding_scale: f64,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    lm_head: Option<Weight>, // [V, D]
}

impl TextModel {
    pub(crate) fn load(root: &WeightPath<'_>, config: &TextConfig) -> Result<Self, Error> {
        let table = [config.vocab_size, config.hidden_size];
        let path = root.at("language_model");
        let embed_tokens = path.at("embed_tokens").weight("weight", table)?;
        let scale = Tensor::from((config.hidden_size as f64).sqrt()).to_kind(embed_tokens.kind());
        let head = root.at("lm_head");
        let lm_head = (!config.tie_word_embeddings && head.contains("weight"))
            .then(|| head.weight("weight", table));
        let layer = |index| DecoderLayer::load(&path.at("layers").at(index), config, index);
        Ok(Self {
            embedding_scale: scale.double_value(&[]),
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
            norm: RmsNorm::load(&path.at("norm"), config.hidden_size, config.rms_norm_eps)?,
            lm_head: lm_head.transpose()?,
            embed_tokens,
        })
    }

    /// The same model, with the matrices of the layers from number `first` on shuffled ([`Weight::shuffled`]). Embeddings, norms and head stay.
    pub(crate) fn with_shuffled_layers(&self, first: usize, random: &mut ChaCha8Rng) -> Self {
        let layer = |(index, layer): (usize, &DecoderLayer)| {
            layer.with_weights(&mut |weight| {
                if index < first { weight.shared() } else { weight.shuffled(random) }
            })
        };
        Self {
            embed_tokens: self.embed_tokens.shared(),
            embedding_scale: self.embedding_scale,
            layers: self.layers.iter().enumerate().map(layer).collect(),
            norm: self.norm.shared(),
            lm_head: self.lm_head.as_ref().map(Weight::shared),
        }
    }

    /// Scaled embeddings of `ids`, `[n, D]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        self.embed_tokens.rows(ids) * self.embedding_scale
    }

    /// The dtype of the weights and of the hidden states.
    pub fn kind(&self) -> Kind {
        self.embed_tokens.kind()
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[DecoderLayer] {
        &self.layers
    }

    /// Runs every layer on the embeddings `[n, D]` of the n tokens from index `start` on, in a sequence with that layout. Returns the
    /// last layer's output `[n, D]`, before the final norm.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        start: usize,
        layout: &SequenceLayout,
        watch: &mut dyn Watch<DecoderTrace>,
    ) -> Tensor {
        self.layers.iter().fold(embeddings.shallow_clone(), |x, layer| {
            let (y, trace) = layer.run(&x, start, &layer.mask(layout), watch);
            watch.layer_done(layer.site(), trace);
            y
        })
    }

    /// Logits `[m, V]` of `m` rows of the last layer's output. Ask for the rows that are needed: V is large.
    pub fn logits(&self, rows: &Tensor) -> Tensor {
        self.head().product(&self.norm.forward(rows), None)
    }

    /// The logits of some tokens at `m` rows of the last layer's output, `[m, tokens]`.
    pub fn logits_of(&self, rows: &Tensor, tokens: &[u32]) -> Tensor {
        self.norm.forward(rows).linear(&self.head().rows(tokens), None::<&Tensor>)
    }

    /// The gradients of single logits at what the head takes, float32 `[tokens, D]`: the rows of its weights.
    pub fn head_gradients(&self, tokens: &[u32]) -> Tensor {
        self.head().rows(tokens).to_kind(Kind::Float)
    }

    /// Pull-back of the head: from the gradient at the logits `[m, V]`, float32, to that at what the head takes, float32 `[m, D]`.
    ///
    /// The product is made in float32 whatever the dtype of the weights. The gradient of a log-probability sums to zero over the
    /// vocabulary and the rows of a head have much in common: rounded to bfloat16, what they have in common would be left over.
    pub fn pull_head(&self, dlogits: &Tensor) -> Tensor {
        self.head().product_back_wide(dlogits)
    }

    /// Pull-back of the final norm by that rule: from the gradient at what the head takes to that at rows of the last layer's output, float32
    /// `[m, D]`.
    pub fn pull_norm(&self, rows: &Tensor, dnormed: &Tensor, rule: PullRule) -> Tensor {
        self.norm.pull_back(rows, dnormed, rule)
    }

    /// The head's weights `[V, D]`: its own, or those of the embedding.
    fn head(&self) -> &Weight {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Placement, Weights};
    use std::path::Path;
    use tch::Device;

    #[test]
    fn the_pull_back_of_a_head_in_bfloat16_is_made_in_float32() {
        tch::manual_seed(7);
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/layout/model");
        let (config, weights) = (Config::from_dir(&dir).unwrap(), Weights::open(&dir).unwrap());
        let placement = Placement { kind: Some(Kind::BFloat16), ..Placement::AS_STORED };
        let text = TextModel::load(&weights.root(placement), &config.text).unwrap();
        assert_eq!(text.kind(), Kind::BFloat16);
        // As one-hot − p is: it sums to zero, and what rounds its largest entry is more than most of the others.
        let others =
            Tensor::rand([2, config.text.vocab_size as i64 - 1], (Kind::Double, Device::Cpu));
        let own = -others.sum_dim_intlist(1, true, Kind::Double);
        let dlogits = Tensor::cat(&[own, others], 1);
        let all: Vec<u32> = (0..config.text.vocab_size as u32).collect();
        let expected = dlogits.matmul(&text.head().rows(&all).to_kind(Kind::Double));
        let found = text.pull_head(&dlogits.to_kind(Kind::Float)).to_kind(Kind::Double);
        let off = ((found - &expected).abs().max() / expected.abs().max()).double_value(&[]);
        assert!(off < 1e-6, "{off}");
    }
}
