//! The method as it is written down, on a graph of autograd: every attention a tensor of the graph, R a matrix, first layer to last. Only
//! the weights are the toy's: nothing here goes through the seam.

use crate::toy::{Toy, damping};
use attention_capture::LanguageModel;
use gemma3_tch::Sequence;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

pub(crate) const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// A run with its graph.
pub(crate) struct Definition {
    pub(crate) logits: Tensor, // [S, V]
    attention: Vec<Tensor>,    // [H, S, S] each
}

/// A scalar: some tokens with the rows that predict them.
pub(crate) type Scalar<'a> = &'a dyn Fn(&Tensor, i64) -> Tensor;

impl Definition {
    pub(crate) fn new(toy: &Toy, sequence: &Sequence) -> Self {
        let n = sequence.ids().len();
        let damping = damping(&Tensor::arange(n as i64, (Kind::Int64, Device::Cpu)));
        let mut x = toy.embed(sequence);
        let mut attention = Vec::new();
        for layer in &toy.layers {
            let dims = gemma3_tch::Layer::dims(layer);
            let normed = layer.norm.forward(&x);
            let hidden = hidden(n, dims.window, sequence.images());
            let of_head = |head: usize| {
                let shared = head / (dims.heads / dims.key_heads);
                let part = |weight: &Tensor, head: usize| {
                    let rows = weight.narrow(0, (head * dims.width) as i64, dims.width as i64);
                    normed.matmul(&rows.tr()) // [S, d]
                };
                let q = part(&layer.q, head) * &damping;
                let k = part(&layer.k, shared) * &damping;
                let scores = q.matmul(&k.tr()) / (dims.width as f64).sqrt();
                (scores.masked_fill(&hidden, f64::NEG_INFINITY), part(&layer.v, shared))
            };
            let (scores, values): (Vec<_>, Vec<_>) = (0..dims.heads).map(of_head).unzip();
            let a = Tensor::stack(&scores, 0).softmax(-1, Kind::Float); // [H, S, S]
            // Above the first layer it is part of the graph; there it is where embeddings are.
            let a = if a.requires_grad() { a } else { a.set_requires_grad(true) };
            let outputs: Vec<Tensor> =
                values.iter().enumerate().map(|(head, v)| a.get(head as i64).matmul(v)).collect();
            let h = &x + Tensor::cat(&outputs, 1).matmul(&layer.o.tr());
            let inner = layer.mlp_norm.forward(&h).matmul(&layer.up.tr()).tanh();
            x = &h + inner.matmul(&layer.down.tr());
            attention.push(a);
        }
        let logits = toy.norm.forward(&x).matmul(&toy.head.tr()) + &toy.bias;
        Self { logits, attention }
    }

    /// The row of R for targets (position, token), their mean: `Ā = mean_h (∇A⊙A)⁺`, `R ← R + Ā·R` from `R = I`, in double precision.
    /// `of_token` makes the scalar of one token of its row of logits; layers that are not `folded` leave R as it is.
    pub(crate) fn relevancy(
        &self,
        targets: &[(usize, u32)],
        of_token: Scalar<'_>,
        folded: [bool; 4],
    ) -> Tensor {
        let term = |&(position, token): &(usize, u32)| {
            of_token(&self.logits.get(position as i64 - 1), i64::from(token))
        };
        let z: Tensor = targets.iter().map(term).sum();
        let gradients = Tensor::run_backward(&[z], &self.attention, true, false);
        let n = self.logits.size()[0];
        let mut r = Tensor::eye(n, DOUBLE);
        for ((a, gradient), _) in
            self.attention.iter().zip(gradients).zip(folded).filter(|(_, folded)| *folded)
        {
            let fused = (gradient * a.detach()).relu().to_kind(Kind::Double);
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
