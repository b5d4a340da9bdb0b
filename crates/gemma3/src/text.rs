//! The Gemma3 language model. Field names follow the checkpoint's path segments.
//!
//! Symbols: n tokens of this call, H query heads, K key/value heads, d head width, D hidden width, F feed-forward width.

use crate::attention::{join_heads, split_heads};
use crate::layers::{Linear, RmsNorm, Rotary};
use crate::{
    Attend, AttentionLayer, Error, LayerType, MaskRule, Qkv, Site, TextConfig, Tower, WeightPath,
};
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

    /// Runs every layer on the embeddings `[n, D]` of tokens `start..start + n`; `images` are the spans of image tokens in the
    /// whole sequence. Returns the last layer's output `[n, D]`, before the final norm.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        start: usize,
        images: &[Range<usize>],
        attend: &mut dyn Attend,
    ) -> Tensor {
        self.layers.iter().fold(embeddings.shallow_clone(), |x, layer| {
            layer.forward(&x, start, &layer.mask(images), attend)
        })
    }

    /// Logits `[m, V]` of `m` rows of the last layer's output. Ask for the rows that are needed: V is large.
    pub fn logits(&self, rows: &Tensor) -> Tensor {
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        self.norm.forward(rows).linear(head, None::<&Tensor>)
    }
}

/// One decoder layer: `h = x + post(attention(norm x))`, `y = h + post(mlp(norm h))`.
#[derive(Debug)]
pub struct DecoderLayer {
    site: Site,
    window: Option<usize>,
    self_attn: SelfAttention,
    mlp: GatedMlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    post_feedforward_layernorm: RmsNorm,
}

impl DecoderLayer {
    fn load(path: &WeightPath<'_>, config: &TextConfig, index: usize) -> Result<Self, Error> {
        let kind = config.layers[index];
        let norm = |name| RmsNorm::load(&path.at(name), config.hidden_size, config.rms_norm_eps);
        Ok(Self {
            site: Site { tower: Tower::Text, layer: index },
            window: (kind == LayerType::Sliding).then_some(config.sliding_window),
            self_attn: SelfAttention::load(&path.at("self_attn"), config, kind)?,
            mlp: GatedMlp::load(&path.at("mlp"), config)?,
            input_layernorm: norm("input_layernorm")?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm")?,
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
        })
    }

    /// Which keys a query of this layer may see when `images` are the spans of image tokens.
    pub fn mask(&self, images: &[Range<usize>]) -> MaskRule {
        MaskRule { causal: true, window: self.window, bidirectional: images.to_vec() }
    }
}

impl AttentionLayer for DecoderLayer {
    fn site(&self) -> Site {
        self.site
    }

    fn project(&self, x: &Tensor, start: usize) -> Qkv {
        self.self_attn.project(&self.input_layernorm.forward(x), start)
    }

    fn merge(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        let attended = self.self_attn.o_proj.forward(&join_heads(heads));
        let h = x + self.post_attention_layernorm.forward(&attended);
        let mlp = self.mlp.forward(&self.pre_feedforward_layernorm.forward(&h));
        h + self.post_feedforward_layernorm.forward(&mlp)
    }
}

#[derive(Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    rotary: Rotary,
    n_heads: i64,
    n_key_heads: i64,
    scale: f64,
}

impl SelfAttention {
    fn load(path: &WeightPath<'_>, config: &TextConfig, kind: LayerType) -> Result<Self, Error> {
        let (d, width) = (config.head_dim, config.hidden_size);
        let (q_width, k_width) = (config.num_attention_heads * d, config.num_key_value_heads * d);
        let rope = if kind == LayerType::Full { config.rope_full } else { config.rope_sliding };
        let q_norm = RmsNorm::load(&path.at("q_norm"), d, config.rms_norm_eps)?;
        Ok(Self {
            q_proj: Linear::load(&path.at("q_proj"), [width, q_width])?,
            k_proj: Linear::load(&path.at("k_proj"), [width, k_width])?,
            v_proj: Linear::load(&path.at("v_proj"), [width, k_width])?,
            o_proj: Linear::load(&path.at("o_proj"), [q_width, width])?,
            rotary: Rotary::new(d, rope, q_norm.device()),
            q_norm,
            k_norm: RmsNorm::load(&path.at("k_norm"), d, config.rms_norm_eps)?,
            n_heads: config.num_attention_heads as i64,
            n_key_heads: config.num_key_value_heads as i64,
            scale: config.query_pre_attn_scalar.powf(-0.5),
        })
    }

    /// Projections, the norms of q and k, then their rotation; `x: [n, D]` is normalised already.
    fn project(&self, x: &Tensor, start: usize) -> Qkv {
        let q = self.q_norm.forward(&split_heads(&self.q_proj.forward(x), self.n_heads)); // [H, n, d]
        let k = self.k_norm.forward(&split_heads(&self.k_proj.forward(x), self.n_key_heads)); // [K, n, d]
        let v = split_heads(&self.v_proj.forward(x), self.n_key_heads); // [K, n, d]
        let [q, k] = self.rotary.forward([&q, &k], start);
        Qkv { q, k, v, scale: self.scale, start }
    }
}

/// `down(gelu(gate x) ⊙ up x)`, the tanh form of GELU.
#[derive(Debug)]
struct GatedMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl GatedMlp {
    fn load(path: &WeightPath<'_>, config: &TextConfig) -> Result<Self, Error> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            gate_proj: Linear::load(&path.at("gate_proj"), [width, inner])?,
            up_proj: Linear::load(&path.at("up_proj"), [width, inner])?,
            down_proj: Linear::load(&path.at("down_proj"), [inner, width])?,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.down_proj.forward(&(self.gate_proj.forward(x).gelu("tanh") * self.up_proj.forward(x)))
    }
}
