//! A layer of the vision tower, and its pull-back written by hand. Field names follow the checkpoint's path segments.
//!
//! Symbols: n patches of one picture, H heads, d head width, D = H·d hidden width, F feed-forward width.

use crate::attention::{join_gradient, join_heads, split_gradient, split_heads};
use crate::layers::{LayerNorm, Linear, tiles};
use crate::{
    AttentionLayer, Error, MergeGradient, Place, PullCost, Qkv, QkvGradient, Site, Tower,
    VisionConfig, WeightPath,
};
use tch::{Device, Kind, Tensor};

/// One encoder layer: `h = x + attention(norm x)`, `y = h + mlp(norm h)`.
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
    pub(crate) fn load(
        path: &WeightPath<'_>,
        config: &VisionConfig,
        index: usize,
    ) -> Result<Self, Error> {
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

    fn project(&self, x: &Tensor, place: Place) -> Qkv {
        self.self_attn.project(&self.layer_norm1.forward(x), place.start())
    }

    fn merge(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        self.output(&self.hidden(x, heads))
    }
}

/// The layer's second half in two steps, and pull-backs: from the gradient at the output to that at the input, float32 whatever
/// the dtype of the weights, for any number of gradients at once (leading dimensions). Products with weights are made in the dtype
/// of the weights.
impl EncoderLayer {
    /// What the pull-backs hold when a number of the weights' dtype has `width` bytes: the activations of the MLP and hidden states, and
    /// the gradients at them.
    pub fn pull_cost(config: &VisionConfig, width: u64) -> PullCost {
        const FLOAT_BYTES: u64 = 4;
        let [d, f] = [config.hidden_size, config.intermediate_size].map(|n| n as u64);
        PullCost {
            shared: width * (f + 4 * d) + FLOAT_BYTES * 4 * d,
            per_gradient: width * f + FLOAT_BYTES * 10 * d,
        }
    }

    /// What stands between attention and MLP, `[n, D]`: `h = x + out_proj(heads)`.
    pub fn hidden(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        x + self.self_attn.out_proj.forward(&join_heads(heads))
    }

    /// The layer's output `[n, D]`: `y = h + mlp(norm h)`.
    pub fn output(&self, hidden: &Tensor) -> Tensor {
        let inner = self.fc1.forward(&self.layer_norm2.forward(hidden));
        hidden + self.fc2.forward(&inner.gelu("tanh"))
    }

    /// Pull-back of [`AttentionLayer::merge`]: `hidden` is [`EncoderLayer::hidden`] of what it took, `dy` is `[…, n, D]`.
    pub fn pull_merge(&self, hidden: &Tensor, dy: &Tensor) -> MergeGradient {
        // y = h + mlp(norm h)
        let dn = self.pull_mlp(&self.layer_norm2.forward(hidden), dy);
        let dh = self.layer_norm2.pull_back(hidden, &dn).g_add_(dy);
        // h = x + out_proj(heads)
        let heads = split_gradient(&self.self_attn.out_proj.pull_back(&dh), self.self_attn.n_heads);
        MergeGradient { x: dh, heads }
    }

    /// Pull-back of [`AttentionLayer::project`], as many queries as keys: the gradient at `x`, `[…, n, D]`.
    pub fn pull_project(&self, x: &Tensor, gradient: &QkvGradient) -> Tensor {
        let VisionAttention { q_proj, k_proj, v_proj, .. } = &self.self_attn;
        let mut dn = q_proj.pull_back(&join_gradient(&gradient.q));
        for (linear, gradient) in [(k_proj, &gradient.k), (v_proj, &gradient.v)] {
            dn = dn.g_add_(&linear.pull_back(&join_gradient(gradient)));
        }
        self.layer_norm1.pull_back(x, &dn)
    }

    /// Pull-back of `fc2(gelu(fc1 x))`: `x` is `[n, D]`, `dy` `[…, n, D]`. What lies between the products is one operation on a GPU. On a
    /// CPU it is done for some rows and one gradient at a time, so that it stays in the cache, and only in float32 while it is
    /// there; what has one slope for all gradients is made once.
    fn pull_mlp(&self, x: &Tensor, dy: &Tensor) -> Tensor {
        let inner = self.fc1.forward(x);
        let dinner = self.fc2.pull_back_narrow(dy); // […, n, F]
        if x.device() != Device::Cpu {
            return self.fc1.pull_back(&inner.gelu_backward(&dinner, "tanh"));
        }
        let [n, width] = <[i64; 2]>::try_from(inner.size()).expect("[n, F]");
        let flat = dinner.view([-1, n, width]);
        for (row, rows) in tiles(&inner) {
            let inner = inner.narrow(0, row, rows).to_kind(Kind::Float);
            let slope = inner.gelu_backward(&inner.ones_like(), "tanh");
            for goal in 0..flat.size()[0] {
                let mut part = flat.get(goal).narrow(0, row, rows); // a view: the product lands in `dinner`
                part.copy_(&(part.to_kind(Kind::Float) * &slope));
            }
        }
        self.fc1.pull_back(&dinner)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{assert_same, checkpoint, random};
    use crate::{Config, MaskRule, Placement, Weights};

    /// Layer 1 of a reference checkpoint in float32: its width and its heads.
    fn layer() -> (EncoderLayer, [i64; 2]) {
        let dir = checkpoint();
        let (config, weights) = (Config::from_dir(&dir).unwrap(), Weights::open(&dir).unwrap());
        let path = weights.root(Placement::AS_STORED).at("vision_tower").at("encoder");
        let config = config.vision.unwrap();
        let sizes = [config.hidden_size, config.num_attention_heads].map(|n| n as i64);
        (EncoderLayer::load(&path.at("layers").at(1), &config, 1).unwrap(), sizes)
    }

    #[test]
    fn the_pull_back_of_merge_is_that_of_autograd() {
        tch::manual_seed(5);
        let ((layer, [width, n_heads]), n) = (layer(), 9);
        let x = random(&[n, width]).set_requires_grad(true);
        let heads = random(&[n_heads, n, width / n_heads]).set_requires_grad(true);
        let dy = random(&[2, n, width]);
        let found = layer.pull_merge(&layer.hidden(&x.detach(), &heads.detach()), &dy);
        for target in 0..2 {
            let z = (layer.merge(&x, &heads) * dy.get(target)).sum(Kind::Float);
            let expected = Tensor::run_backward(&[z], &[&x, &heads], false, false);
            assert_same("x", &found.x.get(target), &expected[0]);
            assert_same("heads", &found.heads.get(target), &expected[1]);
        }
    }

    #[test]
    fn the_pull_back_of_project_is_that_of_autograd() {
        tch::manual_seed(6);
        let ((layer, [width, n_heads]), n) = (layer(), 9);
        let x = random(&[n, width]).set_requires_grad(true);
        let heads = || random(&[2, n_heads, n, width / n_heads]);
        let gradient = QkvGradient { q: heads(), k: heads(), v: heads(), skip: 0 };
        let found = layer.pull_project(&x.detach(), &gradient);
        for target in 0..2 {
            let qkv = layer.project(&x, MaskRule::all().place(0));
            let pairs = [(qkv.q, &gradient.q), (qkv.k, &gradient.k), (qkv.v, &gradient.v)];
            let terms = pairs.map(|(x, dy)| (x * dy.get(target)).sum(Kind::Float));
            let z: Tensor = terms.into_iter().sum();
            let expected = Tensor::run_backward(&[z], &[&x], false, false).remove(0);
            assert_same("x", &found.get(target), &expected);
        }
    }
}
