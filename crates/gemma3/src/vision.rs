//! The SigLIP vision tower. Field names follow the checkpoint's path segments.
//!
//! Symbols: P patches of one picture (side g), D hidden width, p pixels of a patch's side, s pixels of the picture's side.

use crate::layers::LayerNorm;
use crate::weight::Weight;
use crate::{
    Attend, AttentionLayer, EncoderLayer, Error, MaskRule, Placement, PullRule, Tower,
    VisionConfig, WeightPath,
};
use tch::{Kind, Tensor};

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

    /// Where the weights are, and the dtype that its products are made in.
    pub fn placement(&self) -> Placement {
        let PatchEmbedding { weight, position, .. } = &self.embeddings;
        let kind = self.layers.first().map_or(weight.kind(), EncoderLayer::kind);
        Placement { device: position.device(), kind: Some(kind) }
    }

    /// Patch features `[P, D]` of one picture `[3, s, s]`, patches row by row.
    ///
    /// Fails with [`Error::Tower`] for an attention that is not made for the vision tower.
    pub fn forward(&self, pixels: &Tensor, attend: &mut dyn Attend) -> Result<Tensor, Error> {
        attend.check(Tower::Vision)?;
        let mask = MaskRule::all();
        let embedded = self.embed(pixels);
        let last =
            self.layers.iter().fold(embedded, |x, layer| layer.forward(&x, 0, &mask, attend));
        Ok(self.features(&last))
    }

    /// The first layer's input `[P, D]`: what one picture `[3, s, s]` is embedded as, positions included.
    pub fn embed(&self, pixels: &Tensor) -> Tensor {
        self.embeddings.forward(pixels)
    }

    /// Patch features `[P, D]` from the last layer's output `[P, D]`.
    pub fn features(&self, last: &Tensor) -> Tensor {
        self.post_layernorm.forward(last)
    }

    /// Pull-back of [`VisionModel::features`] by that rule: from the gradient at the features `[…, P, D]` to that at `last`, float32.
    pub fn pull_features(&self, last: &Tensor, dfeatures: &Tensor, rule: PullRule) -> Tensor {
        self.post_layernorm.pull_back(last, dfeatures, rule)
    }

    /// Pull-back of [`VisionModel::embed`]: from the gradient at the first layer's input `[…, P, D]` to that at the pixels
    /// `[…, 3, s, s]`, float32. It is linear: the same by every rule.
    pub fn pull_embed(&self, dembedded: &Tensor) -> Tensor {
        self.embeddings.pull_back(dembedded)
    }
}

/// The patch convolution written as the product that it is (stride = kernel), plus learned positions.
#[derive(Debug)]
struct PatchEmbedding {
    weight: Weight,   // [D, 3·p·p]
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
            weight: Weight::Dense(weight.view([width as i64, -1])),
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
        self.weight.product(&patches, Some(&self.bias)) + &self.position
    }

    /// `dpatches = dy·W`, and every number goes back to its pixel: patches do not overlap.
    fn pull_back(&self, dy: &Tensor) -> Tensor {
        let (p, channels) = (self.patch, self.weight.size()[1] / (self.patch * self.patch));
        let [n_patches, width] = <[i64; 2]>::try_from(self.position.size()).expect("[P, D]");
        let g = n_patches.isqrt();
        let mut shape = dy.size();
        shape.truncate(shape.len() - 2);
        shape.extend([channels, g * p, g * p]);
        let dpatches = self.weight.product_back(&dy.reshape([-1, width]));
        let dpatches = dpatches.to_kind(Kind::Float).view([-1, g, g, channels, p, p]);
        dpatches.permute([0, 3, 1, 4, 2, 5]).reshape(shape.as_slice())
    }
}
