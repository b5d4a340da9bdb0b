//! From patches of the vision tower to image tokens of the language model. Field names follow the checkpoint's path segments.
//!
//! Symbols: P patches of one picture (side g), D hidden width of the vision tower, t image tokens, k = (P/t)^½ patches of a token's side.

use crate::layers::RmsNorm;
use crate::weight::Weight;
use crate::{Config, Error, PullRule, VisionConfig, WeightPath};
use tch::{Kind, Tensor};

/// Patches to image tokens: average pooling of square neighbourhoods, norm, projection.
#[derive(Debug)]
pub struct Projector {
    mm_input_projection_weight: Weight, // [D, hidden], used as x·W
    mm_soft_emb_norm: RmsNorm,
    patches_per_side: i64,
    pool: i64,
}

impl Projector {
    pub(crate) fn load(
        root: &WeightPath<'_>,
        vision: &VisionConfig,
        config: &Config,
    ) -> Result<Self, Error> {
        let path = root.at("multi_modal_projector");
        let side = vision.patches_per_side();
        let shape = [vision.hidden_size, config.text.hidden_size];
        Ok(Self {
            mm_input_projection_weight: path.weight("mm_input_projection_weight", shape)?,
            mm_soft_emb_norm: RmsNorm::load(
                &path.at("mm_soft_emb_norm"),
                vision.hidden_size,
                vision.layer_norm_eps,
            )?,
            patches_per_side: side as i64,
            pool: (side / config.tokens_per_side()) as i64,
        })
    }

    /// Image tokens along one side of a picture: t is its square.
    pub fn tokens_per_side(&self) -> usize {
        (self.patches_per_side / self.pool) as usize
    }

    /// Image tokens `[t, hidden]`, row by row, from patch features `[P, D]`. They are not scaled like token embeddings.
    pub fn forward(&self, patches: &Tensor) -> Tensor {
        self.mm_input_projection_weight.product_back(&self.normed(patches))
    }

    /// What is projected, `[t, D]`: the normed means of the patches of each token.
    pub fn normed(&self, patches: &Tensor) -> Tensor {
        self.mm_soft_emb_norm.forward(&self.pool(patches))
    }

    /// The mean of the k×k patches that each token stands for: `[t, D]` from `[P, D]`.
    fn pool(&self, patches: &Tensor) -> Tensor {
        let g = self.patches_per_side;
        let plane = patches.tr().reshape([1, -1, g, g]); // [1, D, g, g]
        let pooled =
            plane.avg_pool2d([self.pool, self.pool], [self.pool, self.pool], 0, false, true, None);
        pooled.flatten(2, 3).squeeze_dim(0).tr()
    }

    /// Pull-back of [`Projector::forward`] by that rule: from the gradient at the tokens `[T, t, hidden]` to that at the patch features `[T, P, D]`,
    /// float32. Patches of one token have the same gradient: a k²-th of that at their mean.
    pub fn pull_back(&self, patches: &Tensor, dtokens: &Tensor, rule: PullRule) -> Tensor {
        let weight = &self.mm_input_projection_weight;
        let dn = weight.product(&dtokens.to_kind(weight.kind()), None).to_kind(Kind::Float);
        let dpooled = self.mm_soft_emb_norm.pull_back(&self.pool(patches), &dn, rule); // [T, t, D]
        let (k, cells) = (self.pool, self.patches_per_side / self.pool);
        let [n_goals, width] = [dtokens.size()[0], patches.size()[1]];
        let share = dpooled.view([n_goals, cells, 1, cells, 1, width]) / (k * k) as f64;
        share.expand([n_goals, cells, k, cells, k, width], false).reshape([n_goals, -1, width])
    }
}

#[cfg(test)]
mod tests {
    use crate::examples::{assert_same, checkpoint, random};
    use crate::{Gemma3, Placement, PullRule};
    use tch::{Kind, Tensor};

    /// The projector, and both ends of the vision tower.
    #[test]
    fn pull_backs_around_the_layers_are_those_of_autograd() {
        tch::manual_seed(7);
        let dir = checkpoint();
        let model = Gemma3::load(&dir, Placement::AS_STORED).unwrap();
        let (config, sight) = (model.config(), model.vision().unwrap());
        let vision = &sight.tower;
        let [side, n_patches, width, n_tokens, hidden] = [
            sight.config.image_size,
            sight.config.patches(),
            sight.config.hidden_size,
            config.mm_tokens_per_image,
            config.text.hidden_size,
        ]
        .map(|n| n as i64);
        let pixels = random(&[3, side, side]).set_requires_grad(true);
        let last = random(&[n_patches, width]).set_requires_grad(true);
        let (dpatches, dtokens) = (random(&[2, n_patches, width]), random(&[2, n_tokens, hidden]));
        let found = [
            vision.pull_embed(&dpatches),
            vision.pull_features(&last.detach(), &dpatches, PullRule::Gradient),
            sight.projector.pull_back(&last.detach(), &dtokens, PullRule::Gradient),
        ];
        for goal in 0..2 {
            let gradient = |y: Tensor, dy: &Tensor, x: &Tensor| {
                let z = (y * dy.get(goal)).sum(Kind::Float);
                Tensor::run_backward(&[z], &[x], false, false).remove(0)
            };
            let [at_pixels, at_last, at_patches] = found.each_ref().map(|found| found.get(goal));
            assert_same("pixels", &at_pixels, &gradient(vision.embed(&pixels), &dpatches, &pixels));
            assert_same("last", &at_last, &gradient(vision.features(&last), &dpatches, &last));
            let tokens = sight.projector.forward(&last);
            assert_same("patches", &at_patches, &gradient(tokens, &dtokens, &last));
        }
    }
    /// The projector has no bias: with a constant σ it is a linear map, and `Σ x⊙x̄` is the same at tokens and patches. The last norm of the
    /// tower has a bias, which takes its part, and what is linear with it is the map of its input less that bias.
    #[test]
    fn relevance_goes_through_the_projector_and_the_last_norm() {
        tch::manual_seed(9);
        let model = Gemma3::load(&checkpoint(), Placement::AS_STORED).unwrap();
        let (config, sight) = (model.config(), model.vision().unwrap());
        let sizes = [sight.config.patches(), sight.config.hidden_size];
        let last = random(&sizes.map(|n| n as i64));
        let tokens = [config.mm_tokens_per_image, config.text.hidden_size].map(|n| n as i64);
        let (dtokens, dpatches) = (random(&tokens).unsqueeze(0), last.randn_like().unsqueeze(0));
        let sum = |x: Tensor| x.sum(Kind::Double).double_value(&[]);
        for rule in [PullRule::ConstantGates, PullRule::SplitGates] {
            let from = sum(sight.projector.forward(&last) * dtokens.get(0));
            let found = sum(sight.projector.pull_back(&last, &dtokens, rule).get(0) * &last);
            assert!((from - found).abs() < 1e-5 * from.abs().max(1.0), "{from} {found}");

            let features = |x: &Tensor| sight.tower.features(x);
            let without_bias = features(&last) - features(&last.zeros_like());
            let from = sum(without_bias * dpatches.get(0));
            let found = sum(sight.tower.pull_features(&last, &dpatches, rule).get(0) * &last);
            assert!((from - found).abs() < 1e-5 * from.abs().max(1.0), "{from} {found}");
        }
    }
}
