//! The method as it is written down, on a graph of autograd: every attention a tensor of the graph, R a matrix, first layer to last. Only
//! the weights are the toy's: nothing here goes through the seam.

use crate::detached::Detached;
use crate::toy::{EPS, Norm, Toy, damping};
use attention_capture::{Backward, LanguageModel};
use gemma3_tch::Sequence;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

pub(crate) const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// A run with its graph.
pub(crate) struct Definition {
    pub(crate) logits: Tensor, // [S, V]
    input: Tensor,             // [S, D], the leaf of the graph
    attention: Vec<Tensor>,    // [H, S, S] each
    probes: Vec<Tensor>,       // [H, S, S] each: where the gradient of attention is read
}

/// A scalar: some tokens with the rows that predict them.
pub(crate) type Scalar<'a> = &'a dyn Fn(&Tensor, i64) -> Tensor;

impl Definition {
    /// With gradients by that rule.
    pub(crate) fn new(toy: &Toy, sequence: &Sequence, backward: Backward) -> Self {
        let by = Detached(backward);
        let norm = |norm: &Norm, x: &Tensor| {
            let centred = x - x.mean_dim(-1, true, Kind::Float);
            by.norm(&centred, &norm.gain, EPS) + &norm.bias
        };
        let n = sequence.ids().len();
        let damping = damping(&Tensor::arange(n as i64, (Kind::Int64, Device::Cpu)));
        let input = toy.embed(sequence);
        // Features of a picture may be part of a graph of their own.
        let input = if input.requires_grad() { input } else { input.set_requires_grad(true) };
        let mut x = input.shallow_clone();
        let (mut attention, mut probes) = (Vec::new(), Vec::new());
        for layer in &toy.layers {
            let dims = gemma3_tch::Layer::dims(layer);
            let normed = norm(&layer.norm, &x);
            let hidden = hidden(n, dims.window, sequence.images());
            let of_head = |head: usize| {
                let shared = head / (dims.heads / dims.key_heads);
                let part = |weight: &Tensor, head: usize| {
                    let rows = weight.narrow(0, (head * dims.width) as i64, dims.width as i64);
                    normed.matmul(&rows.tr()) // [S, d]
                };
                let q = part(&layer.q, head) * &damping;
                let k = part(&layer.k, shared) * &damping;
                let scores = by.product(&q, &k.tr()) / (dims.width as f64).sqrt();
                (scores.masked_fill(&hidden, f64::NEG_INFINITY), part(&layer.v, shared))
            };
            let (scores, values): (Vec<_>, Vec<_>) = (0..dims.heads).map(of_head).unzip();
            let a = Tensor::stack(&scores, 0).softmax(-1, Kind::Float); // [H, S, S]
            let (outputs, probe) = by.attend(&a, &Tensor::stack(&values, 0)); // [H, S, d]
            let h = &x + Tensor::cat(&outputs.unbind(0), 1).matmul(&layer.o.tr());
            let inner = norm(&layer.mlp_norm, &h).matmul(&layer.up.tr());
            let inner = by.activation(&inner, inner.tanh());
            x = &h + inner.matmul(&layer.down.tr());
            attention.push(a.detach());
            probes.push(probe);
        }
        let logits = norm(&toy.norm, &x).matmul(&toy.head.tr()) + &toy.bias;
        Self { logits, input, attention, probes }
    }

    /// The sum of the scalars of targets (position, token).
    fn scalar(&self, targets: &[(usize, u32)], of_token: Scalar<'_>) -> Tensor {
        let term = |&(position, token): &(usize, u32)| {
            of_token(&self.logits.get(position as i64 - 1), i64::from(token))
        };
        targets.iter().map(term).sum()
    }

    /// Gradient × input at the embeddings `[S]`, the mean over targets, in double precision.
    pub(crate) fn input_gradient(&self, targets: &[(usize, u32)], of_token: Scalar<'_>) -> Tensor {
        let z = self.scalar(targets, of_token);
        let gradient = Tensor::run_backward(&[z], &[&self.input], true, false).remove(0);
        let products = self.input.detach().to_kind(Kind::Double) * gradient;
        products.sum_dim_intlist(-1, false, Kind::Double) / targets.len() as f64
    }

    /// The row of R for targets (position, token), their mean: `Ā = mean_h (∇A⊙A)⁺`, `R ← R + Ā·R` from `R = I`, in double precision.
    /// `of_token` makes the scalar of one token of its row of logits; layers that are not `folded` leave R as it is.
    pub(crate) fn relevancy(
        &self,
        targets: &[(usize, u32)],
        of_token: Scalar<'_>,
        folded: [bool; 4],
    ) -> Tensor {
        let z = self.scalar(targets, of_token);
        let gradients = Tensor::run_backward(&[z], &self.probes, true, false);
        let n = self.logits.size()[0];
        let mut r = Tensor::eye(n, DOUBLE);
        for ((a, gradient), _) in
            self.attention.iter().zip(gradients).zip(folded).filter(|(_, folded)| *folded)
        {
            let fused = (gradient * a).relu().to_kind(Kind::Double);
            r = &r + fused.mean_dim(0, false, Kind::Double).matmul(&r);
        }
        let rows = targets.iter().map(|&(position, _)| r.get(position as i64 - 1));
        rows.sum::<Tensor>() / targets.len() as f64
    }
}

/// Where a query (row) does not see a key (column): behind its window, or ahead of it and not in its picture.
fn hidden(n: usize, window: Option<usize>, images: &[Range<usize>]) -> Tensor {
    let together = |i: usize, j: usize| images.iter().any(|at| at.contains(&i) && at.contains(&j));
    let sees = |i: usize, j: usize| {
        (j <= i || together(i, j)) && window.is_none_or(|window| i < j + window)
    };
    let all: Vec<bool> = (0..n * n).map(|at| !sees(at / n, at % n)).collect();
    Tensor::from_slice(&all).view([n as i64, n as i64])
}
