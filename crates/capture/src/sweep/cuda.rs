//! The pass over a layer of the vision tower on an NVIDIA GPU: the products are those of tensor cores, and one kernel does all that lies
//! between them.
//!
//! Tensor cores multiply bfloat16 numbers, whose products are float32 without rounding, and add them up in float32. Queries, keys, values and
//! what comes back through weights in bfloat16 are such numbers. Attention and the gradient of the scores are not: the kernel writes
//! each as the sum of three, which is exact, and each of their products becomes one that is three times as long.
//!
//! Symbols: T goals, H heads, m query rows, b of them in a block, n keys, d head width.

mod kernel;
#[cfg(test)]
mod tests;

use super::backend::Backend;
use super::{Pass, PassCost, RowFold, Rows, Setting, Swept};
use crate::seam::{Placement, QkvGradient};
use attention_relevancy::{Backward, HeadRule, RowRule, RowWeights};
use kernel::Kernel;
use std::sync::Arc;
use tch::{Kind, Tensor};

pub(super) struct Cuda;

impl Backend for Cuda {
    /// Dense passes by the gradient in bfloat16 where there is a [`Kernel`], folded by the mean of the heads and with weights that do not depend on the
    /// row.
    fn accepts(&self, setting: &Setting) -> bool {
        is_made_for(setting) && matches!(kernel(setting.placement, setting.keys), Some(Ok(_)))
    }

    /// Copies of queries, values and, four times, keys; for each goal one of its gradient, and a sum in the making of those of keys and
    /// of values. A row of a block by query, key and head: scores and attention, and for each goal the gradient of attention and that of
    /// the scores; what leaves the kernel has three parts of two bytes.
    fn cost(&self, setting: &Setting) -> PassCost {
        const FLOAT: u64 = 4;
        const NARROW: u64 = 2;
        let row = (FLOAT + 3 * NARROW) * (setting.heads * setting.keys) as u64;
        let numbers = (setting.keys * setting.heads * setting.width) as u64;
        PassCost {
            shared: 6 * NARROW * numbers + WORKSPACE,
            per_goal: (NARROW + 2 * FLOAT) * numbers,
            row,
            row_per_goal: row,
            most_rows: MOST_ROWS,
            is_tight: true,
        }
    }

    fn missing(&self, setting: &Setting) -> Option<String> {
        if is_made_for(setting) { why_missing(setting.placement, setting.keys) } else { None }
    }

    fn run(&self, pass: &Pass<'_>, rows: &Rows) -> Option<Swept> {
        let weights = fixed_weights(pass.folds.relevancy?)?;
        let placement = Placement { device: pass.qkv.q.device(), kind: Some(pass.qkv.q.kind()) };
        let kernel = kernel(placement, pass.qkv.tokens())?.ok()?;
        let layer = Layer::new(pass, |between| kernel.fold(between))?;
        Some(layer.run(pass, rows, weights))
    }
}

/// Rows beyond this make a block no faster.
const MOST_ROWS: u64 = 1024;
/// What cuBLAS takes for itself by default on a GPU of the newer kind (NVIDIA's documentation of `cublasSetWorkspace`: 32 MiB).
const WORKSPACE: u64 = 32 << 20;

fn is_made_for(setting: &Setting) -> bool {
    let by_gradient = match setting.backward {
        Backward::Gradient => true,
        Backward::CpLrp | Backward::AttnLrp => false,
    };
    by_gradient && setting.is_dense() && setting.relevancy.and_then(fixed_weights).is_some()
}

/// The weights of every row where it folds rows so.
fn fixed_weights(RowFold { rule, heads }: RowFold) -> Option<RowWeights> {
    let by_mean = match heads {
        HeadRule::Mean => true,
        HeadRule::Max | HeadRule::One(_) => false,
    };
    match rule {
        RowRule::Fixed(weights) => by_mean.then_some(weights),
        RowRule::Normalized(_) => None, // it makes no sums of rows before it folds them
    }
}

/// The kernel for the patches of a model there. `None` where it is not made for the model or the device, an error where there should be
/// one and is not.
fn kernel(placement: Placement, n_keys: usize) -> Option<Result<Arc<Kernel>, String>> {
    let is_made_for = placement.device.is_cuda()
        && placement.kind == Some(Kind::BFloat16)
        && Kernel::is_made_for(n_keys);
    is_made_for.then(|| Kernel::of(placement.device, n_keys))
}

/// Why a GPU that should have a kernel has none.
fn why_missing(placement: Placement, n_keys: usize) -> Option<String> {
    kernel(placement, n_keys)?.err()
}

/// What the kernel takes of a block.
struct Between {
    scores: Tensor,     // [H, b, n], before they are scaled
    dattention: Tensor, // [H, T, b, n]
    weights: Tensor,    // [T, b]
    scale: f64,
}

/// What it makes of it, numbers of bfloat16 in threes.
struct Folded {
    attention: Tensor, // [H, b, 3, n]
    dscores: Tensor,   // [H, T, b, 3, n]
    row: Tensor,       // [H, T, n]
}

/// The numbers of a layer in bfloat16.
struct Layer<F> {
    q: Tensor,      // [H, m, d]
    k: Tensor,      // [H, n, d]
    thrice: Tensor, // [H, 3·n, d], the keys once for each part
    v: Tensor,      // [H, n, d]
    dheads: Tensor, // [H, T, m, d]
    fold: F,
}

impl<F: Fn(&Between) -> Folded> Layer<F> {
    /// `None` where the gradient is not exact in bfloat16.
    fn new(pass: &Pass<'_>, fold: F) -> Option<Self> {
        let narrow = |x: &Tensor| x.to_kind(Kind::BFloat16);
        let dheads = narrow(pass.dheads);
        if !dheads.to_kind(Kind::Float).equal(pass.dheads) {
            return None;
        }
        let q = pass.qkv.q.narrow(1, pass.queries.start as i64, pass.queries.len() as i64);
        let [q, k, v] = [&q, &pass.qkv.k, &pass.qkv.v].map(|x| narrow(x).contiguous());
        let (thrice, dheads) = (Tensor::cat(&[&k, &k, &k], 1), dheads.transpose(0, 1).contiguous());
        Some(Self { q, k, thrice, v, dheads, fold })
    }

    fn run(&self, pass: &Pass<'_>, rows: &Rows, of_row: RowWeights) -> Swept {
        let [h, t, m, d] = <[i64; 4]>::try_from(self.dheads.size()).expect("[H, T, m, d]");
        let n = self.k.size()[1];
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, self.k.device()));
        let (dq, mut folded) = (zeros(&[h, t, m, d]), zeros(&[h, t, n]));
        let (mut dk, mut dv) = (zeros(&[h * t, n, d]), zeros(&[h, n, t * d]));
        let at = |row: &Tensor| row.narrow(1, pass.queries.start as i64, m); // a view of those of the queries
        let row = at(&rows.relevancy); // [T, m]
        let weights = &row * of_row.attention;
        for start in (0..m).step_by(pass.block) {
            let b = (pass.block as i64).min(m - start);
            let q = self.q.narrow(1, start, b);
            let dheads = self.dheads.narrow(2, start, b);
            let Folded { attention, dscores, row } = (self.fold)(&Between {
                scores: product(&q, &self.k.transpose(1, 2)),
                dattention: product(&dheads.reshape([h, t * b, d]), &self.v.transpose(1, 2))
                    .view([h, t, b, n]),
                weights: weights.narrow(1, start, b).contiguous(),
                scale: pass.qkv.scale,
            });
            folded = folded.g_add_(&row);
            let of_keys = dscores.view([h, t * b, 3 * n]);
            let block = long_product(None, &of_keys, &self.thrice).view([h, t, b, d]);
            dq.narrow(2, start, b).copy_(&block);
            let queries = q.repeat_interleave_self_int(3, 1, None).unsqueeze(1); // [H, 1, 3·b, d]
            let queries = queries.expand([h, t, 3 * b, d], false).reshape([h * t, 3 * b, d]);
            let of_queries = dscores.view([h * t, 3 * b, n]).transpose(1, 2);
            dk = long_product(Some(dk), &of_queries, &queries);
            let beside = dheads.transpose(1, 2).reshape([h, b, t * d]); // goals beside each other
            let beside = beside.repeat_interleave_self_int(3, 1, None);
            dv = long_product(Some(dv), &attention.view([h, 3 * b, n]).transpose(1, 2), &beside);
        }
        let goals_first = |x: Tensor| x.transpose(0, 1);
        let scaled = |mut x: Tensor| x.g_mul_scalar_(pass.qkv.scale);
        let folded = goals_first(folded); // [T, H, n]
        let relevancy = folded.mean_dim(1, false, Kind::Float);
        let _ = at(&relevancy).g_add_(&(row * of_row.identity));
        Swept {
            rows: Rows { relevancy, rollouts: Vec::new() },
            heads: folded.sum_dim_intlist(-1, false, Kind::Float),
            gradient: QkvGradient {
                q: goals_first(scaled(dq)),
                k: goals_first(scaled(dk).view([h, t, n, d])),
                v: dv.view([h, n, t, d]).permute([2, 0, 1, 3]),
                skip: pass.queries.start,
            },
        }
    }
}

/// `a·b` of bfloat16 matrices with float32 sums, `[B, r, s]·[B, s, c]`.
fn product(a: &Tensor, b: &Tensor) -> Tensor {
    if a.device().is_cuda() {
        a.bmm_dtype(b, Kind::Float)
    } else {
        a.to_kind(Kind::Float).bmm(&b.to_kind(Kind::Float))
    }
}

/// Numbers that a tensor core adds up before they are added to the rest: long sums lose more there than float32 sums do. On an H200 random
/// numbers had gradients off by 2.2·10⁻⁵ with sums over 12 288, by 2.0·10⁻⁶ over 1536, by 0.5·10⁻⁶ to 1.2·10⁻⁶ with float32
/// products (root of the mean square over that of the gradient in float64).
const STRETCH: i64 = 1536;

/// `to + a·b` of bfloat16 matrices whose rows and columns are long.
fn long_product(to: Option<Tensor>, a: &Tensor, b: &Tensor) -> Tensor {
    let length = a.size()[2];
    let stretch = |start: i64| {
        let of = |x: &Tensor, dim| x.narrow(dim, start, STRETCH.min(length - start));
        (of(a, 2), of(b, 1))
    };
    let add = |sum: Option<Tensor>, start| {
        let (a, b) = stretch(start);
        Some(match sum {
            Some(sum) if a.device().is_cuda() => sum.baddbmm_dtype(&a, &b, Kind::Float, 1.0, 1.0),
            Some(sum) => sum + product(&a, &b),
            None => product(&a, &b),
        })
    };
    let sum = (0..length).step_by(STRETCH as usize).fold(to, add);
    sum.expect("a product over at least one number")
}
