//! One beginning, several continuations: the questions about a picture share its tokens.
//!
//! Symbols: n tokens, K key/value heads, d head width.

use std::ops::Range;

use gemma3_tch::{Attend, Fast, MaskRule, Qkv, Site, Watch};
use tch::{Device, Kind, Tensor};

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

/// Attention over a beginning and continuations behind each other, none of which sees another.
#[derive(Debug)]
pub struct Packed {
    /// Whether a token may see another, as far as continuations go, `[n, n]`.
    allowed: Tensor,
}

impl Packed {
    /// Continuations of the first `beginning` tokens, in order and without gaps.
    pub fn new(beginning: usize, turns: &[Range<usize>]) -> Self {
        let end = turns.last().map_or(beginning, |turn| turn.end) as i64;
        let allowed = Tensor::zeros([end, end], (Kind::Bool, Device::Cpu));
        let open = |rows: &Range<usize>, columns: Range<usize>| {
            let block = allowed.narrow(0, rows.start as i64, rows.len() as i64);
            let mut block = block.narrow(1, columns.start as i64, columns.len() as i64);
            let _ = block.fill_(1);
        };
        open(&(0..beginning), 0..beginning);
        for turn in turns {
            open(turn, 0..beginning);
            open(turn, turn.clone());
        }
        Self { allowed }
    }
}

impl Attend for Packed {
    fn attend(&mut self, _: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        let all = 0..qkv.tokens();
        let visible = mask.block(&all, &all, qkv.q.device());
        let visible = visible
            .map_or(self.allowed.shallow_clone(), |visible| visible.logical_and(&self.allowed));
        let repeat = |x: &Tensor| match qkv.group() {
            1 => x.shallow_clone(),
            group => x.repeat_interleave_self_int(group, 0, None),
        };
        // By products in the dtype of the model: with heads as wide as those of a real decoder the fused attention, which computes in
        // float32, takes a third of a step.
        let (k, v) = (repeat(&qkv.k), repeat(&qkv.v)); // [H, n, d]
        let scores = qkv.q.matmul(&k.transpose(-2, -1)).to_kind(Kind::Float) * qkv.scale;
        let hidden = visible.logical_not();
        let weights = scores.masked_fill(&hidden, f64::NEG_INFINITY).softmax(-1, Kind::Float);
        weights.to_kind(v.kind()).matmul(&v)
    }
}

impl<Trace> Watch<Trace> for Packed {}
