//! The pass over a layer of the vision tower on a CPU: attention and its gradient are made for some queries of one head at a time and
//! dropped before the next are taken, so that they never leave the cache of a core.
//!
//! The arithmetic is that of `attention-kernels`.
//!
//! Symbols: T goals, H heads, m query rows, n keys, d head width.

#[cfg(test)]
mod tests;

use super::backend::Backend;
use super::weights::row_weights;
use super::{Pass, PassCost, RowFold, Rows, Setting, Swept};
use crate::convert::numbers;
use crate::seam::QkvGradient;
use attention_kernels::{Goal, Head, Matrix, Processor, Pulled};
use attention_relevancy::{Backward, HeadRule, RowRule};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Kind, Tensor};

pub(super) struct Cpu;

impl Backend for Cpu {
    /// Dense passes by the gradient on a processor with vector registers, folded by the mean of the heads.
    fn accepts(&self, setting: &Setting) -> bool {
        setting.is_dense()
            && setting.relevancy.is_some_and(folds)
            && pulls(setting.backward)
            && setting.placement.on_cpu()
            && Processor::here().has_vectors()
    }

    /// It makes no blocks. What it holds in their place, copies of the layer's numbers, sums by head and some megabytes a thread, is
    /// less than blocks of [`COUNTED_ROWS`] rows would be together with the pull-backs, which are done when the pass is; it is counted
    /// as such blocks, so that a sweep is cut in the same way on every processor (`tests/memory` holds it to that).
    fn cost(&self, setting: &Setting) -> PassCost {
        PassCost::of_blocks(setting, COUNTED_ROWS)
    }

    fn run(&self, pass: &Pass<'_>, rows: &Rows) -> Option<Swept> {
        let fold = pass.folds.relevancy?;
        Some(Layer::new(pass, Processor::here()).run(pass, rows, fold.rule))
    }
}

const COUNTED_ROWS: u64 = 64;

/// Whether it pulls attention back so.
fn pulls(backward: Backward) -> bool {
    match backward {
        Backward::Gradient => true,
        Backward::CpLrp | Backward::AttnLrp => false,
    }
}

/// Whether it folds rows so.
fn folds(RowFold { rule, heads }: RowFold) -> bool {
    let of_rows = match rule {
        RowRule::Fixed(_) | RowRule::Normalized(_) => true,
    };
    let of_heads = match heads {
        HeadRule::Mean => true,
        HeadRule::Max | HeadRule::One(_) => false,
    };
    of_rows && of_heads
}

/// The numbers of a layer in main memory.
struct Layer {
    processor: Processor,
    q: Vec<f32>,      // [m, H, d]
    k: Vec<f32>,      // [n, H, d]
    v: Vec<f32>,      // [n, H, d]
    dheads: Vec<f32>, // [T, m, H, d]
    shape: Shape,
    scale: f32,
}

#[derive(Clone, Copy)]
struct Shape {
    t: usize,
    h: usize,
    m: usize,
    n: usize,
    d: usize,
}

impl Layer {
    fn new(pass: &Pass<'_>, processor: Processor) -> Self {
        let queries = pass.qkv.q.narrow(1, pass.queries.start as i64, pass.queries.len() as i64);
        let sizes = <[i64; 4]>::try_from(pass.dheads.size()).expect("[T, H, m, d]");
        let [t, h, m, d] = sizes.map(|size| size as usize);
        let shape = Shape { t, h, m, n: pass.qkv.tokens(), d };
        let rows_first = |x: &Tensor| numbers(&x.transpose(-3, -2));
        let [q, k, v, dheads] = [&queries, &pass.qkv.k, &pass.qkv.v, pass.dheads].map(rows_first);
        Self { processor, q, k, v, dheads, shape, scale: pass.qkv.scale as f32 }
    }

    fn run(&self, pass: &Pass<'_>, rows: &Rows, rule: RowRule) -> Swept {
        let Shape { t, h, m, n, .. } = self.shape;
        let skip = pass.queries.start;
        let at = |rows: &Tensor| rows.narrow(1, skip as i64, m as i64); // a view of those of the queries
        let row = at(&rows.relevancy); // [T, m]
        let [alpha, beta] = row_weights(rule, &row, || self.row_sums());
        let weights = numbers(&(&row * beta));
        let mut of_heads: Vec<Vec<Pulled>> = self.over_heads(|head| {
            let goals = self.goals(head, &weights);
            self.processor.pull(self.head(head), &goals)
        });

        let [n_goals, n_heads] = [t, h].map(|size| size as i64);
        let mut take = |of: fn(&mut Pulled) -> &mut Vec<f32>| -> Vec<Tensor> {
            let part = |part: usize| {
                let numbers = std::mem::take(of(&mut of_heads[part % h][part / h])); // freed at once
                Tensor::from_slice(&numbers)
            };
            (0..t * h).map(part).collect()
        };
        // Heads beside each other, as the layer's weights take them.
        let mut gradient = |of, rows: usize| {
            let rows = rows as i64;
            let parts: Vec<Tensor> = take(of).iter().map(|part| part.view([rows, -1])).collect();
            let all = Tensor::cat(&parts, 1).view([rows, n_goals, n_heads, -1]);
            all.permute([1, 2, 0, 3])
        };
        let q = gradient(|pulled| &mut pulled.dq, m);
        let k = gradient(|pulled| &mut pulled.dk, n);
        let v = gradient(|pulled| &mut pulled.dv, n);
        let folded = take(|pulled| &mut pulled.folded);
        let folded = Tensor::stack(&folded, 0).view([n_goals, n_heads, n as i64]);
        let relevancy = folded.mean_dim(1, false, Kind::Float);
        let _ = at(&relevancy).g_add_(&(alpha * &row));
        Swept {
            rows: Rows { relevancy, rollouts: Vec::new() },
            gradient: QkvGradient { q, k, v, skip },
            heads: folded.sum_dim_intlist(-1, false, Kind::Float),
        }
    }

    /// The sums of the rows of `mean_h (A⊙∇A)⁺`, `[T, m]`.
    fn row_sums(&self) -> Tensor {
        let weights = vec![0.0; self.shape.t * self.shape.m]; // not looked at
        let sums = self.over_heads(|head| {
            let goals = self.goals(head, &weights);
            self.processor.row_sums(self.head(head), &goals)
        });
        let Shape { t, h, m, .. } = self.shape;
        let numbers: Vec<f32> = sums.into_iter().flatten().flatten().collect();
        let sums = Tensor::from_slice(&numbers).view([h, t, m].map(|size| size as i64));
        sums.mean_dim(0, false, Kind::Float)
    }

    fn head(&self, head: usize) -> Head<'_> {
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|x| self.matrix(x, head));
        Head { q, k, v, scale: self.scale }
    }

    /// The goals at a head; `weights` are `[T, m]`.
    fn goals<'b>(&'b self, head: usize, weights: &'b [f32]) -> Vec<Goal<'b>> {
        let Shape { h, m, d, .. } = self.shape;
        let goals = self.dheads.chunks_exact(m * h * d).zip(weights.chunks_exact(m));
        let of_goal = |(dheads, weights)| Goal { dheads: self.matrix(dheads, head), weights };
        goals.map(of_goal).collect()
    }

    /// A head's part of `[rows, H, d]`.
    fn matrix<'b>(&self, x: &'b [f32], head: usize) -> Matrix<'b> {
        let Shape { h, d, .. } = self.shape;
        Matrix { numbers: &x[head * d..], stride: h * d, width: d }
    }

    /// What `of_head` makes of each head, in order. As many threads as libtorch may use take one head after the other: more of them than
    /// heads have nothing to do.
    fn over_heads<R: Send>(&self, of_head: impl Fn(usize) -> R + Sync) -> Vec<R> {
        let n_heads = self.shape.h;
        let next = AtomicUsize::new(0);
        let heads = |_| {
            std::iter::from_fn(|| {
                let head = next.fetch_add(1, Ordering::Relaxed);
                (head < n_heads).then(|| (head, of_head(head)))
            })
        };
        let threads = crate::seam::threads().min(n_heads);
        let mut found: Vec<(usize, R)> =
            (0..threads).into_par_iter().with_max_len(1).flat_map_iter(heads).collect();
        found.sort_by_key(|(head, _)| *head);
        found.into_iter().map(|(_, of_head)| of_head).collect()
    }
}
