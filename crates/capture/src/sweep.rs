//! One layer of the reverse sweep: attention rebuilt block of query rows by block, folded into the rows and pulled back in the
//! same pass. No S×S value exists.
//!
//! Symbols: T goals, H query heads, K key heads, G = H/K, m query rows, n keys, b rows of a block, j keys of a block.

#[cfg(test)]
pub(crate) mod examples;

use crate::attention::Float;
use crate::{cuda, fused};
use attention_relevancy::{HeadRule, Heads, RowRule, RowWeights, Update};
use gemma3_tch::{MaskRule, Qkv, QkvGradient};
use std::ops::Range;
use tch::{Kind, Tensor};

const FLOAT: Kind = Kind::Float;

/// The rows of T goals on their way down, `[T, S]` each.
pub(crate) struct Rows {
    pub(crate) relevancy: Tensor,
    pub(crate) rollouts: Vec<Tensor>,
}

/// What a layer does to the rows. `None` leaves a row as it is.
pub(crate) struct Folds {
    pub(crate) relevancy: Option<(Update, Heads)>,
    /// One for each row of [`Rows::rollouts`].
    pub(crate) rollouts: Vec<Option<Heads>>,
}

/// What the pass over a layer gives.
pub(crate) struct Swept {
    pub(crate) rows: Rows,
    pub(crate) gradient: QkvGradient,
    /// How much each head carried into the row, `[T, H]`.
    pub(crate) heads: Tensor,
}

/// The pass over one layer. `queries` are the positions that the rows and the gradient `dheads` `[T, H, m, d]` stand on; the keys of
/// `qkv` are all that they see. Blocks have `block` rows.
pub(crate) struct Pass<'a> {
    pub(crate) qkv: &'a Qkv,
    pub(crate) mask: &'a MaskRule,
    pub(crate) queries: Range<usize>,
    pub(crate) dheads: &'a Tensor,
    pub(crate) folds: Folds,
    pub(crate) block: usize,
}

impl Pass<'_> {
    pub(crate) fn run(&self, rows: &Rows) -> Swept {
        self.run_fast(rows).unwrap_or_else(|| self.run_by_products(rows))
    }

    /// [`Pass::run`] by what is made for this kind of layer on this device; `None` where there is nothing.
    pub(crate) fn run_fast(&self, rows: &Rows) -> Option<Swept> {
        fused::run(self, rows).or_else(|| cuda::run(self, rows))
    }

    /// [`Pass::run`] by one product of libtorch after the other: the reference.
    pub(crate) fn run_by_products(&self, rows: &Rows) -> Swept {
        let float = Float::with_queries(self.qkv, &self.queries);
        let mut sums = Sums::new(self, rows, &float);
        for start in self.queries.clone().step_by(self.block) {
            let block = start..(start + self.block).min(self.queries.end);
            let keys = self.mask.keys(&block, self.qkv.start + self.qkv.tokens());
            sums.add(self, rows, &float, &Block { rows: block, keys });
        }
        let skip = self.queries.start - self.qkv.start;
        let gradient = QkvGradient { q: sums.dq, k: sums.dk, v: sums.dv, skip };
        Swept {
            rows: Rows { relevancy: sums.relevancy, rollouts: sums.rollouts },
            gradient,
            heads: sums.heads,
        }
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
        if let Some((update, heads)) = pass.folds.relevancy {
            self.fold((update, heads), rows, block, &weighted);
        }
        for ((row, sum), heads) in
            rows.rollouts.iter().zip(&self.rollouts).zip(&pass.folds.rollouts)
        {
            if let Some(heads) = heads {
                roll(*heads, (row, sum), block, &attention);
            }
        }

        // softmax: dS = A⊙∇A − A·Σ_j(A⊙∇A)
        let total = weighted.sum_dim_intlist(-1, true, FLOAT);
        let dscores = weighted.addcmul_(&attention, &total.neg());
        let dq = grouped.query_gradient(&dscores, &float.keys(keys)) * float.scale;
        self.dq.narrow(2, within, queries.len() as i64).copy_(&dq);
        let at = (keys.start - pass.qkv.start) as i64;
        let slice = |sum: &Tensor| sum.narrow(2, at, keys.len() as i64);
        let _ = slice(&self.dk).g_add_(&grouped.key_gradient(&dscores, &float.queries(queries)));
        let _ = slice(&self.dv).g_add_(&grouped.value_gradient(&attention));
    }

    /// `r ← r·T` for the block's rows: `T_i = α_i·e_i + β_i·Ā_i`, with `Ā = fuse_h[(A⊙∇A)⁺]`.
    fn fold(
        &mut self,
        (update, heads): (Update, Heads),
        rows: &Rows,
        block: &Block,
        weighted: &Tensor,
    ) {
        let positive = weighted.relu(); // [T, H, b, j]
        let row = part(&rows.relevancy, &block.rows); // [T, b]
        let fused = fuse(heads, &positive, 1); // [T, b, j]
        let [alpha, beta] = row_weights(update.rule(), &row, || match &fused {
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
fn roll(heads: Heads, (row, sum): (&Tensor, &Tensor), block: &Block, attention: &Tensor) {
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
fn fuse(heads: Heads, values: &Tensor, dim: i64) -> Option<Tensor> {
    match heads.rule() {
        HeadRule::One(head) => Some(values.select(dim, head as i64)),
        HeadRule::Max => Some(values.amax(dim, false)),
        HeadRule::Mean => None,
    }
}

/// The weights α and β of some rows of the transition, `[T, b]` as `row` is: [`RowRule::weights`] on the device. `sums` gives the sums of
/// the rows of Ā, `[T, b]`, and is asked only where they matter.
pub(crate) fn row_weights(
    rule: RowRule,
    row: &Tensor,
    sums: impl FnOnce() -> Tensor,
) -> [Tensor; 2] {
    match rule {
        RowRule::Fixed(RowWeights { identity, attention }) => {
            [identity, attention].map(|weight| row.full_like(weight))
        }
        RowRule::Normalized(RowWeights { identity, attention }) => {
            let sums = sums();
            let empty = sums.eq(0.0);
            let alpha = empty.to_kind(FLOAT) * attention + identity;
            let beta = (sums.reciprocal() * attention).masked_fill(&empty, 0.0);
            [alpha, beta]
        }
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
    use tch::Device;

    #[test]
    fn weights_on_the_device_are_those_of_the_definition() {
        let sums = [0.0, 1e-30, 0.3, 1.0, 7.5, 3e30];
        for update in [Update::Additive, Update::Stochastic] {
            let row = Tensor::ones([1, sums.len() as i64], (FLOAT, Device::Cpu));
            let of = || Tensor::from_slice(&sums).to_kind(FLOAT).view([1, -1]);
            let found = row_weights(update.rule(), &row, of);
            for (at, &sum) in sums.iter().enumerate() {
                let RowWeights { identity, attention } = update.weights(f64::from(sum as f32));
                let found = found.each_ref().map(|x| x.double_value(&[0, at as i64]));
                assert_eq!(found, [identity, attention].map(|x| f64::from(x as f32)), "{sum}");
            }
        }
    }
}
