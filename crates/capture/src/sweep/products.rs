//! The reference: block of query rows by block, one product of libtorch after the other. It takes every pass.
//!
//! Symbols: T goals, H query heads, K key heads, G = H/K, m query rows, n keys, b rows of a block, j keys of a block.

use super::backend::Backend;
use super::weights::row_weights;
use super::{Pass, PassCost, RowFold, Rows, Setting, Swept};
use crate::attention::Float;
use crate::seam::QkvGradient;
use attention_relevancy::{Backward, HeadRule, Update};
use std::ops::Range;
use tch::{Kind, Tensor};

const FLOAT: Kind = Kind::Float;

/// Rows beyond this make a block no faster: on a CPU they only push it out of the cache.
const MOST_ROWS_CPU: u64 = 64;
const MOST_ROWS_CUDA: u64 = 512;

pub(super) struct Products;

impl Backend for Products {
    fn accepts(&self, _: &Setting) -> bool {
        true
    }

    fn cost(&self, setting: &Setting) -> PassCost {
        let on_cpu = setting.placement.on_cpu();
        PassCost::of_blocks(setting, if on_cpu { MOST_ROWS_CPU } else { MOST_ROWS_CUDA })
    }

    fn run(&self, pass: &Pass<'_>, rows: &Rows) -> Option<Swept> {
        Some(run(pass, rows))
    }
}

/// The pass.
pub(super) fn run(pass: &Pass<'_>, rows: &Rows) -> Swept {
    let float = Float::with_queries(pass.qkv, &pass.queries);
    let mut sums = Sums::new(pass, rows, &float);
    for start in pass.queries.clone().step_by(pass.block) {
        let block = start..(start + pass.block).min(pass.queries.end);
        let keys = pass.mask.keys(&block, pass.qkv.start + pass.qkv.tokens());
        sums.add(pass, rows, &float, &Block { rows: block, keys });
    }
    let skip = pass.queries.start - pass.qkv.start;
    let gradient = match pass.backward {
        Backward::Gradient | Backward::CpLrp => {
            QkvGradient { q: sums.dq, k: sums.dk, v: sums.dv, skip }
        }
        // Half of a product is its attention's, and half of that each factor's of the scores.
        Backward::AttnLrp => {
            QkvGradient { q: sums.dq * 0.25, k: sums.dk * 0.25, v: sums.dv * 0.5, skip }
        }
    };
    Swept {
        rows: Rows { relevancy: sums.relevancy, rollouts: sums.rollouts },
        gradient,
        heads: sums.heads,
    }
}

/// Positions of some query rows and of all keys that they see.
struct Block {
    rows: Range<usize>,
    keys: Range<usize>,
}

/// What blocks add up to.
struct Sums {
    relevancy: Tensor,     // [T, S]
    rollouts: Vec<Tensor>, // [T, S] each
    heads: Tensor,         // [T, H]
    dq: Tensor,            // [T, H, m, d]
    dk: Tensor,            // [T, K, n, d]
    dv: Tensor,            // [T, K, n, d]
}

impl Sums {
    fn new(pass: &Pass<'_>, rows: &Rows, float: &Float) -> Self {
        let [t, h, m, _] = <[i64; 4]>::try_from(pass.dheads.size()).expect("[T, H, m, d]");
        let options = (FLOAT, pass.dheads.device());
        let [k, n, d] = <[i64; 3]>::try_from(float.k.size()).expect("keys are [K, n, d]");
        // Blocks add to zero what they make of a row; a row that is left alone is there already.
        let begin = |row: &Tensor, folded: bool| {
            if folded { row.zeros_like() } else { row.shallow_clone() }
        };
        let rollouts = rows.rollouts.iter().zip(&pass.folds.rollouts);
        Self {
            relevancy: begin(&rows.relevancy, pass.folds.relevancy.is_some()),
            rollouts: rollouts.map(|(row, fold)| begin(row, fold.is_some())).collect(),
            heads: Tensor::zeros([t, h], options),
            dq: Tensor::zeros([t, h, m, d], options),
            dk: Tensor::zeros([t, k, n, d], options),
            dv: Tensor::zeros([t, k, n, d], options),
        }
    }

    fn add(&mut self, pass: &Pass<'_>, rows: &Rows, float: &Float, block: &Block) {
        let Block { rows: queries, keys } = block;
        let attention = float.attention(queries, keys, pass.mask); // [H, b, j]
        let within = (queries.start - pass.queries.start) as i64;
        let dheads = pass.dheads.narrow(2, within, queries.len() as i64); // [T, H, b, d]

        // ∂z/∂A[h,i,j] = dO[h,i,:]·V[h,j,:], and A ⊙ ∇A of it.
        let grouped = Grouped::new(&dheads, float, &attention);
        let mut weighted = grouped.attention_gradient(&float.values(keys)); // [T, H, b, j]
        let _ = weighted.g_mul_(&attention);
        if let Some(fold) = pass.folds.relevancy {
            self.fold(fold, rows, block, &weighted);
        }
        for ((row, sum), heads) in
            rows.rollouts.iter().zip(&self.rollouts).zip(&pass.folds.rollouts)
        {
            if let Some(heads) = heads {
                roll(*heads, row, sum, block, &attention);
            }
        }

        let at = (keys.start - pass.qkv.start) as i64;
        let slice = |sum: &Tensor| sum.narrow(2, at, keys.len() as i64);
        match pass.backward {
            Backward::Gradient | Backward::AttnLrp => {
                // softmax: dS = A⊙∇A − A·Σ_j(A⊙∇A)
                let total = weighted.sum_dim_intlist(-1, true, FLOAT);
                let dscores = weighted.addcmul_(&attention, &total.neg());
                let dq = grouped.query_gradient(&dscores, &float.keys(keys)) * float.scale;
                self.dq.narrow(2, within, queries.len() as i64).copy_(&dq);
                let dk = grouped.key_gradient(&dscores, &float.queries(queries));
                let _ = slice(&self.dk).g_add_(&dk);
            }
            Backward::CpLrp => {} // attention is constant
        }
        let _ = slice(&self.dv).g_add_(&grouped.value_gradient(&attention));
    }

    /// `r ← r·T` for the block's rows: `T_i = α_i·e_i + β_i·Ā_i`, with `Ā = fuse_h[(A⊙∇A)⁺]`.
    fn fold(&mut self, fold: RowFold, rows: &Rows, block: &Block, weighted: &Tensor) {
        let positive = weighted.relu(); // [T, H, b, j]
        let row = part(&rows.relevancy, &block.rows); // [T, b]
        let fused = fuse(fold.heads, &positive, 1); // [T, b, j]
        let [alpha, beta] = row_weights(fold.rule, &row, || match &fused {
            Some(fused) => fused.sum_dim_intlist(-1, false, FLOAT),
            None => positive.sum_dim_intlist(-1, false, FLOAT).mean_dim(1, false, FLOAT),
        });
        let [t, h, b, _] = <[i64; 4]>::try_from(positive.size()).expect("[T, H, b, j]");
        let weight = (&row * beta).view([t, 1, 1, b]);
        let by_head = weight.expand([t, h, 1, b], false).matmul(&positive).squeeze_dim(2); // [T, H, j]
        let added = match fused {
            Some(fused) => weight.squeeze_dim(1).matmul(&fused).squeeze_dim(1), // [T, j]
            None => by_head.mean_dim(1, false, FLOAT),
        };
        let _ = part(&self.relevancy, &block.rows).g_add_(&(alpha * &row));
        let _ = part(&self.relevancy, &block.keys).g_add_(&added);
        let _ = self.heads.g_add_(&by_head.sum_dim_intlist(-1, false, FLOAT));
    }
}

/// The same for attention rollout, which is [`Update::Stochastic`] of `fuse_h[A]`. Rows of attention sum to one, and so do those of a mean;
/// those of the maximum sum to more. None sums to zero.
fn roll(heads: HeadRule, row: &Tensor, sum: &Tensor, block: &Block, attention: &Tensor) {
    let of_one = Update::Stochastic.weights(1.0);
    let row = part(row, &block.rows); // [T, b]
    let _ = part(sum, &block.rows).g_add_(&(&row * of_one.identity));
    let row = row * of_one.attention;
    let added = match fuse(heads, attention, 0) {
        Some(fused) => (row / fused.sum_dim_intlist(-1, false, FLOAT)).matmul(&fused), // [T, j]
        None => row.matmul(attention).mean_dim(0, false, FLOAT), // of [H, T, j]
    };
    let _ = part(sum, &block.keys).g_add_(&added);
}

/// The heads, which are dimension `dim`, as one; `None` for their mean, which is cheaper to take of the products.
fn fuse(heads: HeadRule, values: &Tensor, dim: i64) -> Option<Tensor> {
    match heads {
        HeadRule::One(head) => Some(values.select(dim, head as i64)),
        HeadRule::Max => Some(values.amax(dim, false)),
        HeadRule::Mean => None,
    }
}

/// The entries of rows `[T, S]` at some positions: a view.
fn part(rows: &Tensor, positions: &Range<usize>) -> Tensor {
    rows.narrow(1, positions.start as i64, positions.len() as i64)
}

/// The products of a block with query heads in their groups: `[T·K, G·b, ·]`.
struct Grouped {
    dheads: Tensor,  // [T, K, G·b, d]
    shape: [i64; 5], // T, K, G, b, j
}

impl Grouped {
    fn new(dheads: &Tensor, float: &Float, attention: &Tensor) -> Self {
        let [t, h, b, d] = <[i64; 4]>::try_from(dheads.size()).expect("[T, H, b, d]");
        let (group, j) = (float.group(), attention.size()[2]);
        Self {
            dheads: dheads.reshape([t, h / group, group * b, d]),
            shape: [t, h / group, group, b, j],
        }
    }

    /// `dO·Vᵀ` `[T, H, b, j]`.
    fn attention_gradient(&self, values: &Tensor) -> Tensor {
        let [t, k, g, b, j] = self.shape;
        self.dheads.matmul(&values.transpose(1, 2)).view([t, k * g, b, j])
    }

    /// `dS·K` `[T, H, b, d]`.
    fn query_gradient(&self, dscores: &Tensor, keys: &Tensor) -> Tensor {
        let [t, k, g, b, j] = self.shape;
        dscores.view([t, k, g * b, j]).matmul(keys).view([t, k * g, b, -1])
    }

    /// `dSᵀ·Q` `[T, K, j, d]`, summed over the heads of a group.
    fn key_gradient(&self, dscores: &Tensor, queries: &Tensor) -> Tensor {
        let [t, k, g, b, j] = self.shape;
        dscores.view([t, k, g * b, j]).transpose(2, 3).matmul(&queries.reshape([k, g * b, -1]))
    }

    /// `Aᵀ·dO` `[T, K, j, d]`, summed over the heads of a group.
    fn value_gradient(&self, attention: &Tensor) -> Tensor {
        let [_, k, g, b, j] = self.shape;
        attention.view([k, g * b, j]).transpose(1, 2).matmul(&self.dheads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::examples::{Example, assert_folded, random};

    #[test]
    fn rows_are_folded_by_the_row_rule() {
        for shape in [[1, 1, 1, 1, 1], [2, 3, 7, 7, 5], [3, 2, 33, 49, 17]] {
            for update in [Update::Additive, Update::Stochastic] {
                let layer = Example::new(shape, Kind::Float);
                let found = run(&layer.pass(update), &layer.rows);
                assert_folded(&layer, update, &found, &format!("{shape:?}, {update:?}"));
            }
        }
    }
    /// Attention of two goals by each rule, against autograd of `softmax(q·kᵀ)·v` with what is constant detached from the graph.
    #[test]
    fn attention_is_pulled_back_by_each_rule() {
        let mut layer = Example::new([2, 3, 20, 33, 5], FLOAT);
        layer.dheads = random(&[2, 3, 20, 5]);
        for backward in Backward::ALL {
            let pass = Pass { backward, ..layer.pass(Update::Additive) };
            let found = run(&pass, &layer.rows);
            assert_folded(&layer, Update::Additive, &found, backward.name());
            let qkv = [&layer.qkv.q, &layer.qkv.k, &layer.qkv.v];
            let [q, k, v] = qkv.map(|x| x.copy().set_requires_grad(true));
            let queries = q.narrow(1, 13, 20);
            let scores = |q: &Tensor, k: &Tensor| q.matmul(&k.transpose(1, 2)) * layer.qkv.scale;
            let heads = match backward {
                Backward::Gradient => scores(&queries, &k).softmax(-1, FLOAT).matmul(&v),
                Backward::CpLrp => scores(&queries, &k).softmax(-1, FLOAT).detach().matmul(&v),
                Backward::AttnLrp => {
                    let halves = scores(&queries.detach(), &k) + scores(&queries, &k.detach());
                    let attention = (halves * 0.5).softmax(-1, FLOAT);
                    (attention.detach().matmul(&v) + attention.matmul(&v.detach())) * 0.5
                }
            };
            for goal in 0..2 {
                let z = (&heads * layer.dheads.get(goal)).sum(FLOAT);
                let leaves = match backward {
                    Backward::Gradient | Backward::AttnLrp => vec![&v, &q, &k],
                    Backward::CpLrp => vec![&v],
                };
                let mut expected = Tensor::run_backward(&[z], &leaves, true, false);
                expected.resize_with(3, || q.detach().zeros_like());
                let found = &found.gradient;
                let pairs = [
                    (found.v.get(goal), &expected[0]),
                    (found.q.get(goal), &expected[1].narrow(1, 13, 20)),
                    (found.k.get(goal), &expected[2]),
                ];
                for (found, expected) in pairs {
                    let off = (found - expected).abs().max().double_value(&[]);
                    assert!(off < 1e-5, "{backward}: {off}");
                }
            }
        }
    }
}
