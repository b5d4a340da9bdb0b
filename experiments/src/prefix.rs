//! One beginning, several continuations: the questions about a picture share its tokens.

use gemma3_tch::{Attend, Fast, MaskRule, Qkv, Site, Watch};
use tch::Tensor;

/// Attention that remembers the keys and values of a beginning and lets any number of continuations see them.
///
/// Unlike a cache for generation it never writes to what it keeps, so gradients flow from every continuation to the beginning, and
/// continuations do not see each other.
#[derive(Debug, Default)]
pub struct Prefix {
    /// Keys and values `[K, n, d]` by layer.
    layers: Vec<[Tensor; 2]>,
}

impl Attend for Prefix {
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        if qkv.start == 0 {
            self.layers.truncate(site.layer);
            self.layers.push([qkv.k.shallow_clone(), qkv.v.shallow_clone()]);
            return Fast.attend(site, qkv, mask);
        }
        let [k, v] = &self.layers[site.layer];
        let k = Tensor::cat(&[k, &qkv.k], 1);
        let v = Tensor::cat(&[v, &qkv.v], 1);
        let end = qkv.start + qkv.tokens();
        let visible = mask.block(&(qkv.start..end), &(0..end), qkv.q.device());
        let repeat = |x: Tensor| match qkv.group() {
            1 => x,
            group => x.repeat_interleave_self_int(group, 0, None),
        };
        let [q, k, v] = [qkv.q.shallow_clone(), repeat(k), repeat(v)].map(|x| x.unsqueeze(0));
        Tensor::scaled_dot_product_attention(&q, &k, &v, visible, 0.0, false, qkv.scale, false)
            .squeeze_dim(0)
    }
}

impl<Trace> Watch<Trace> for Prefix {}
