//! The SigLIP vision tower and the projector into the language model. Field names follow the checkpoint's path segments.
//!
//! Symbols: P patches of one picture (side g), D hidden width, H heads, d head width, p pixels of a patch's side.

use crate::attention::{join_heads, split_heads};
use crate::layers::{LayerNorm, Linear, RmsNorm};
use crate::{
    Attend, AttentionLayer, Config, Error, MaskRule, Qkv, Site, Tower, VisionConfig, WeightPath,
};
use tch::Tensor;

/// Patch embedding, encoder layers, last norm. No class token, no pooling head.
#[derive(Debug)]
pub struct VisionModel {
    embeddings: PatchEmbedding,
    layers: Vec<EncoderLayer>,
    post_layernorm: LayerNorm,
}

impl VisionModel {
    pub(crate) fn load(root: &WeightPath<'_>, config: &VisionConfig) -> Result<Self, Error> {
        let path = root.at("vision_tower");
        let layer =
            |index| EncoderLayer::load(&path.at("encoder").at("layers").at(index), config, index);
        Ok(Self {
            embeddings: PatchEmbedding::load(&path.at("embeddings"), config)?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
            post_layernorm: LayerNorm::load(
                &path.at("post_layernorm"),
                config.hidden_size,
                config.layer_norm_eps,
            )?,
        })
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[EncoderLayer] {
        &self.layers
    }

    /// Patch features `[P, D]` of one picture `[3, s, s]`, patches row by row.
    pub fn forward(&self, pixels: &Tensor, attend: &mut dyn Attend) -> Tensor {
        let mask = MaskRule::all();
        let embedded = self.embeddings.forward(pixels);
        let last =
            self.layers.iter().fold(embedded, |x, layer| layer.forward(&x, 0, &mask, attend));
        self.post_layernorm.forward(&last)
    }
}

/// The patch convolution written as the product that it is (stride = kernel), plus learned positions.
#[derive(Debug)]
struct PatchEmbedding {
    weight: Tensor,   // [D, 3·p·p]
    bias: Tensor,     // [D]
    position: Tensor, // [P, D]
    patch: i64,
}

impl PatchEmbedding {
    fn load(path: &WeightPath<'_>, config: &VisionConfig) -> Result<Self, Error> {
        let (width, patch) = (config.hidden_size, config.patch_size);
        let convolution = path.at("patch_embedding");
        let weight = convolution.tensor("weight", &[width, config.num_channels, patch, patch])?;
        let n_patches = config.patches_per_side() * config.patches_per_side();
        Ok(Self {
            weight: weight.view([width as i64, -1]),
            bias: convolution.tensor("bias", &[width])?,
            position: path.at("position_embedding").tensor("weight", &[n_patches, width])?,
            patch: patch as i64,
        })
    }

    fn forward(&self, pixels: &Tensor) -> Tensor {
        let [channels, side, _] =
            <[i64; 3]>::try_from(pixels.size()).expect("a picture is [3, s, s]");
        let (p, g) = (self.patch, side / self.patch);
        let patches = pixels.to_kind(self.weight.kind()).view([channels, g, p, g, p]);
        let patches = patches.permute([1, 3, 0, 2, 4]).reshape([g * g, channels * p * p]);
        patches.linear(&self.weight, Some(&self.bias)) + &self.position
    }
}

/// One encoder layer: `x += attention(norm x)`, `x += mlp(norm x)`.
#[derive(Debug)]
pub struct EncoderLayer {
    site: Site,
    layer_norm1: LayerNorm,
    self_attn: VisionAttention,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl EncoderLayer {
    fn load(path: &WeightPath<'_>, config: &VisionConfig, index: usize) -> Result<Self, Error> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |name| LayerNorm::load(&path.at(name), width, config.layer_norm_eps);
        let mlp = path.at("mlp");
        Ok(Self {
            site: Site { tower: Tower::Vision, layer: index },
            layer_norm1: norm("layer_norm1")?,
            self_attn: VisionAttention::load(&path.at("self_attn"), config)?,
            layer_norm2: norm("layer_norm2")?,
            fc1: Linear::load_with_bias(&mlp.at("fc1"), [width, inner])?,
            fc2: Linear::load_with_bias(&mlp.at("fc2"), [inner, width])?,
        })
    }
}

impl AttentionLayer for EncoderLayer {
    fn site(&self) -> Site {
        self.site
    }

    fn project(&self, x: &Tensor, start: usize) -> Qkv {
        self.self_attn.project(&self.layer_norm1.forward(x), start)
    }

    fn merge(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        let h = x + self.self_attn.out_proj.forward(&join_heads(heads));
        let mlp = self.fc2.forward(&self.fc1.forward(&self.layer_norm2.forward(&h)).gelu("tanh"));
        h + mlp
    }
}

#[derive(Debug)]
struct VisionAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    n_heads: i64,
    scale: f64,
}

impl VisionAttention {
    fn load(path: &WeightPath<'_>, config: &VisionConfig) -> Result<Self, Error> {
        let width = config.hidden_size;
        let linear = |name| Linear::load_with_bias(&path.at(name), [width, width]);
        Ok(Self {
            q_proj: linear("q_proj")?,
            k_proj: linear("k_proj")?,
            v_proj: linear("v_proj")?,
            out_proj: linear("out_proj")?,
            n_heads: config.num_attention_heads as i64,
            scale: ((width / config.num_attention_heads) as f64).powf(-0.5),
        })
    }

    fn project(&self, x: &Tensor, start: usize) -> Qkv {
        let heads = |linear: &Linear| split_heads(&linear.forward(x), self.n_heads);
        Qkv {
            q: heads(&self.q_proj),
            k: heads(&self.k_proj),
            v: heads(&self.v_proj),
            scale: self.scale,
            start,
        }
    }
}

/// Patches to image tokens: average pooling of square neighbourhoods, norm, projection.
#[derive(Debug)]
pub struct Projector {
    mm_input_projection_weight: Tensor, // [D, hidden], used as x·W
    mm_soft_emb_norm: RmsNorm,
    patches_per_side: i64,
    pool: i64,
}

impl Projector {
    pub(crate) fn load(root: &WeightPath<'_>, config: &Config) -> Result<Self, Error> {
        let path = root.at("multi_modal_projector");
        let (vision, side) = (&config.vision, config.vision.patches_per_side());
        let shape = [vision.hidden_size, config.text.hidden_size];
        Ok(Self {
            mm_input_projection_weight: path.tensor("mm_input_projection_weight", &shape)?,
            mm_soft_emb_norm: RmsNorm::load(
                &path.at("mm_soft_emb_norm"),
                vision.hidden_size,
                vision.layer_norm_eps,
            )?,
            patches_per_side: side as i64,
            pool: (side / config.tokens_per_side()) as i64,
        })
    }

    /// Image tokens `[t, hidden]`, row by row, from patch features `[P, D]`. They are not scaled like token embeddings.
    pub fn forward(&self, patches: &Tensor) -> Tensor {
        let g = self.patches_per_side;
        let plane = patches.tr().reshape([1, -1, g, g]); // [1, D, g, g]
        let pooled =
            plane.avg_pool2d([self.pool, self.pool], [self.pool, self.pool], 0, false, true, None);
        let tokens = pooled.flatten(2, 3).squeeze_dim(0).tr(); // [t, D]
        self.mm_soft_emb_norm.forward(&tokens).matmul(&self.mm_input_projection_weight)
    }
}
