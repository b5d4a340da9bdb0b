//! The seam at which a model is cut: what a layer hands to attention, which keys a query may see, who computes it.

use crate::{Error, MaskRule};
use tch::Tensor;

/// Which of the two transformers a layer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tower {
    /// SigLIP, over the patches of one picture.
    Vision,
    /// The language model, over the tokens.
    Text,
}

/// The typed name of an attention in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// The transformer.
    pub tower: Tower,
    /// The layer, counted from 0.
    pub layer: usize,
}

/// Queries, keys and values of one attention, after norms and rotation, ready for the dot product.
///
/// # Shapes
/// `q: [H, n, d]`, `k, v: [K, n, d]` for `n` consecutive tokens; query head `h` uses key head `h / (H / K)`.
#[derive(Debug)]
pub struct Qkv {
    /// Queries `[H, n, d]`.
    pub q: Tensor,
    /// Keys `[K, n, d]`.
    pub k: Tensor,
    /// Values `[K, n, d]`.
    pub v: Tensor,
    /// What the dot products are multiplied by before the softmax.
    pub scale: f64,
    /// Index of the first of the `n` tokens in their sequence.
    pub start: usize,
}

impl Qkv {
    /// Number of tokens `n`.
    pub fn tokens(&self) -> usize {
        self.q.size()[1] as usize
    }

    /// Query heads that share one key head, `H / K`.
    pub fn group(&self) -> i64 {
        self.q.size()[0] / self.k.size()[0]
    }
}

/// How attention is computed.
///
/// The fast attention with its cache ([`Cached`](crate::Cached)), the capturing ones of `attention-capture`: each is an
/// implementation, passed to the forward pass as an argument. A model holds none.
pub trait Attend {
    /// `softmax(q·kᵀ·scale + mask)·v`, `[H, n, d]`, in the dtype of `v`.
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor;

    /// How many tokens, from the first of a sequence on, it has seen and remembers: a run that goes on from them begins behind. What wraps
    /// another one says what that one says.
    fn seen(&self) -> usize {
        0
    }

    /// Whether it can compute the attention of that transformer; whoever runs one asks before the first layer.
    ///
    /// Fails with [`Error::Tower`] where it cannot.
    fn check(&self, tower: Tower) -> Result<(), Error> {
        let _ = tower;
        Ok(())
    }
}

/// An attention that sees what the layers of a language model computed, as [`Layer::Trace`](crate::Layer::Trace): what a forward pass takes.
pub trait Watch<Trace>: Attend {
    /// Takes what a layer computed, when it is done with it. Keeping it is what costs memory: the default lets it go.
    fn layer_done(&mut self, site: Site, trace: Trace) {
        let _ = (site, trace);
    }
}

/// `[n, H·d]` → `[H, n, d]`.
pub(crate) fn split_heads(x: &Tensor, n_heads: i64) -> Tensor {
    let [n, width] = <[i64; 2]>::try_from(x.size()).expect("projections are [n, H·d]");
    x.view([n, n_heads, width / n_heads]).transpose(0, 1)
}

/// `[H, n, d]` → `[n, H·d]`.
pub(crate) fn join_heads(heads: &Tensor) -> Tensor {
    let n = heads.size()[1];
    heads.transpose(0, 1).reshape([n, -1])
}

/// `[…, n, H·d]` → `[…, H, n, d]`.
pub(crate) fn split_gradient(gradient: &Tensor, n_heads: i64) -> Tensor {
    let mut shape = gradient.size();
    let width = shape.pop().expect("at least [n, H·d]");
    shape.extend([n_heads, width / n_heads]);
    gradient.view(shape.as_slice()).transpose(-3, -2)
}

/// `[…, H, n, d]` → `[…, n, H·d]`.
pub(crate) fn join_gradient(gradient: &Tensor) -> Tensor {
    gradient.transpose(-3, -2).flatten(-2, -1)
}
