//! The Gemma3 language model. Field names follow the checkpoint's path segments.
//!
//! Symbols: n tokens of this call, D hidden width.

use crate::decoder::DecoderLayer;
use crate::layers::RmsNorm;
use crate::row_product::row_product;
use crate::{Attend, AttentionLayer, Error, Place, TextConfig, WeightPath};
use std::ops::Range;
use tch::{Kind, Tensor};

/// Token embeddings, decoder layers, final norm and the (usually tied) head.
#[derive(Debug)]
pub struct TextModel {
    embed_tokens: Tensor, // [V, D]
    /// `√D` as the embedding's dtype holds it: 50.5 and not 50.596… for bfloat16 and D = 2560.
    embedding_scale: f64,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    lm_head: Option<Tensor>, // [V, D]
}

impl TextModel {
    pub(crate) fn load(root: &WeightPath<'_>, config: &TextConfig) -> Result<Self, Error> {
        let table = [config.vocab_size, config.hidden_size];
        let path = root.at("language_model");
        let embed_tokens = path.at("embed_tokens").tensor("weight", &table)?;
        let scale = Tensor::from((config.hidden_size as f64).sqrt()).to_kind(embed_tokens.kind());
        let head = root.at("lm_head");
        let lm_head = (!config.tie_word_embeddings && head.contains("weight"))
            .then(|| head.tensor("weight", &table));
        let layer = |index| DecoderLayer::load(&path.at("layers").at(index), config, index);
        Ok(Self {
            embedding_scale: scale.double_value(&[]),
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
            norm: RmsNorm::load(&path.at("norm"), config.hidden_size, config.rms_norm_eps)?,
            lm_head: lm_head.transpose()?,
            embed_tokens,
        })
    }

    /// Scaled embeddings of `ids`, `[n, D]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_slice(&ids).to_device(self.embed_tokens.device());
        Tensor::embedding(&self.embed_tokens, &ids, -1, false, false) * self.embedding_scale
    }

    /// The dtype of the weights and of the hidden states.
    pub fn kind(&self) -> Kind {
        self.embed_tokens.kind()
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[DecoderLayer] {
        &self.layers
    }

    /// Runs every layer on the embeddings `[n, D]` of the n tokens at `place`; `images` are the spans of image tokens in the
    /// whole sequence. Returns the last layer's output `[n, D]`, before the final norm.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        place: impl Into<Place>,
        images: &[Range<usize>],
        attend: &mut dyn Attend,
    ) -> Tensor {
        let place = place.into();
        self.layers.iter().fold(embeddings.shallow_clone(), |x, layer| {
            layer.forward(&x, place.start, &layer.mask(images).forked(place.fork), attend)
        })
    }

    /// Logits `[m, V]` of `m` rows of the last layer's output. Ask for the rows that are needed: V is large.
    pub fn logits(&self, rows: &Tensor) -> Tensor {
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let rows = self.norm.forward(rows);
        row_product(&rows, head).unwrap_or_else(|| rows.linear(head, None::<&Tensor>))
    }

    /// The logits of some tokens at `m` rows of the last layer's output, `[m, tokens]`.
    pub fn logits_of(&self, rows: &Tensor, tokens: &[u32]) -> Tensor {
        self.norm.forward(rows).linear(&self.head_rows(tokens), None::<&Tensor>)
    }

    /// The gradient of one logit a row, that of `tokens[i]` at row i, at the rows `[m, D]`, float32.
    pub fn pull_tokens(&self, rows: &Tensor, tokens: &[u32]) -> Tensor {
        self.norm.pull_back(rows, &self.head_rows(tokens).to_kind(Kind::Float))
    }

    /// Pull-back of [`TextModel::logits`]: from the gradient at the logits `[m, V]` to that at the rows `[m, D]`, float32.
    pub fn pull_logits(&self, rows: &Tensor, dlogits: &Tensor) -> Tensor {
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let dn = dlogits.to_kind(head.kind()).matmul(head).to_kind(Kind::Float);
        self.norm.pull_back(rows, &dn)
    }

    /// The rows of the head that belong to `tokens`, `[tokens, D]`.
    fn head_rows(&self, tokens: &[u32]) -> Tensor {
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let tokens: Vec<i64> = tokens.iter().map(|&id| i64::from(id)).collect();
        head.index_select(0, &Tensor::from_slice(&tokens).to_device(head.device()))
    }
}
