//! The pass over a layer of the vision tower on a CPU: what `sweep.rs` does with one product of libtorch after the other is done here
//! for some queries of one head at a time, so that attention and its gradient stay small enough for a cache.
//!
//! `sweep.rs` is the reference that the test holds it against, and takes whatever this is not made for.
//!
//! Symbols: T goals, H heads, m query rows, n keys, d head width.

mod kernel;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod products;

use crate::sweep::{Pass, Rows, Swept, row_weights};
use attention_relevancy::{HeadRule, Update};
use gemma3_tch::{MaskRule, QkvGradient};
use kernel::{AtHead, Goal, Head, Matrix, Operands, Pull, Pulled, RowSums};
#[cfg(target_arch = "x86_64")]
use pairs::Pairs;
use products::Single;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Kind, Tensor};

/// [`Pass::run`] where every query sees every key, each head has its own keys, and only relevancy is folded, by the mean of the heads:
/// `None` elsewhere, on other devices, and where the processor has no vector registers.
pub(crate) fn run(pass: &Pass<'_>, rows: &Rows) -> Option<Swept> {
    let processor = Processor::here();
    let (update, heads) = pass.folds.relevancy?;
    let by_mean = match heads.rule() {
        HeadRule::Mean => true,
        HeadRule::Max | HeadRule::One(_) => false,
    };
    let made_for = by_mean
        && pass.dheads.device() == Device::Cpu
        && !matches!(processor.arch, Arch::Scalar)
        && pass.qkv.start == 0
        && pass.qkv.group() == 1
        && *pass.mask == MaskRule::all()
        && rows.rollouts.is_empty();
    made_for.then(|| Layer::new(pass, processor).run(pass, rows, update))
}

/// What the processor can do.
#[derive(Clone, Copy, Debug)]
struct Processor {
    arch: Arch,
    #[cfg(target_arch = "x86_64")]
    pairs: Option<Pairs>,
}

impl Processor {
    fn here() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            pairs: Pairs::try_new(),
            ..Self::without_pairs(Arch::new())
        }
    }

    fn without_pairs(arch: Arch) -> Self {
        Self {
            arch,
            #[cfg(target_arch = "x86_64")]
            pairs: None,
        }
    }

    /// `work` with the widest registers, and in pairs where the operands and the processor are such.
    fn dispatch<W: AtHead>(self, work: W, operands: Operands<'_>) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        if let (Arch::V4(v4), Some(pairs)) = (self.arch, self.pairs)
            && operands.are_narrow()
        {
            return pairs.dispatch(v4, work, operands);
        }
        self.arch.dispatch(InSingles(work, operands))
    }
}

struct InSingles<'a, W>(W, Operands<'a>);

impl<W: AtHead> WithSimd for InSingles<'_, W> {
    type Output = W::Output;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "what is not inlined is compiled without vector registers"
    )]
    fn with_simd<S: Simd>(self, simd: S) -> W::Output {
        self.0.run(simd, Single, self.1)
    }
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

    fn run(&self, pass: &Pass<'_>, rows: &Rows, update: Update) -> Swept {
        let Shape { t, h, m, n, .. } = self.shape;
        let skip = pass.queries.start;
        let at = |rows: &Tensor| rows.narrow(1, skip as i64, m as i64); // a view of those of the queries
        let row = at(&rows.relevancy); // [T, m]
        let [alpha, beta] = row_weights(update.rule(), &row, || self.row_sums());
        let weights = numbers(&(&row * beta));
        let mut of_heads: Vec<Vec<Pulled>> = self.over_heads(|head| {
            let goals = self.goals(head, &weights);
            self.processor.dispatch(Pull, Operands { head: self.head(head), goals: &goals })
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
            self.processor.dispatch(RowSums, Operands { head: self.head(head), goals: &goals })
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
        let threads = gemma3_tch::threads().min(n_heads);
        let mut found: Vec<(usize, R)> =
            (0..threads).into_par_iter().with_max_len(1).flat_map_iter(heads).collect();
        found.sort_by_key(|(head, _)| *head);
        found.into_iter().map(|(_, of_head)| of_head).collect()
    }
}

/// The numbers of a tensor in main memory, row by row.
fn numbers(tensor: &Tensor) -> Vec<f32> {
    let float = tensor.to_kind(Kind::Float).contiguous();
    Vec::try_from(float.view(-1)).expect("a float32 tensor in main memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Folds;
    use crate::sweep::examples::{Example, assert_same, random};
    use attention_relevancy::Heads;
    use gemma3_tch::{Qkv, SequenceLayout};

    /// Every kind of registers that there is here, and none.
    fn processors() -> Vec<Processor> {
        let mut archs = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        archs.extend(pulp::x86::V3::try_new().map(Arch::V3));
        archs.push(Arch::new());
        let mut processors: Vec<_> = archs.into_iter().map(Processor::without_pairs).collect();
        processors.push(Processor::here());
        processors
    }

    /// With every kind of registers.
    fn fused(layer: &Example, update: Update) -> Vec<Swept> {
        let pass = layer.pass(update);
        let fused = |processor| Layer::new(&pass, processor).run(&pass, &layer.rows, update);
        processors().into_iter().map(fused).collect()
    }

    #[test]
    fn the_fused_pass_gives_what_the_products_give() {
        // Less than a vector of queries, keys and width; whole ones; one more than whole; the vision tower's width; queries that are
        // only some of the tokens.
        let shapes = [
            [1, 1, 1, 1, 1],
            [2, 3, 7, 7, 5],
            [1, 2, 32, 48, 16],
            [3, 2, 33, 49, 17],
            [1, 2, 100, 300, 72],
            [2, 1, 64, 64, 130],
        ];
        for shape in shapes {
            let updates = [Update::Additive, Update::Stochastic];
            let kinds = [Kind::Float, Kind::BFloat16];
            for (update, kind) in
                updates.into_iter().flat_map(|update| kinds.map(|kind| (update, kind)))
            {
                let layer = Example::new(shape, kind);
                let expected = layer.pass(update).run_by_products(&layer.rows);
                for (found, processor) in fused(&layer, update).iter().zip(processors()) {
                    let what = format!("{shape:?}, {update:?}, {kind:?}, {processor:?}");
                    assert_same(found, &expected, 5e-6, &what);
                }
            }
        }
    }

    #[test]
    fn only_numbers_of_bfloat16_are_taken_in_pairs() {
        let numbers = |kind| numbers(&random(&[6, 4]).to_kind(kind));
        let [wide, narrow] = [numbers(Kind::Float), numbers(Kind::BFloat16)];
        let are_narrow = |operands: [&[f32]; 4]| {
            let matrix = |numbers| Matrix { numbers, stride: 4, width: 4 };
            let [q, k, v, dheads] = operands.map(matrix);
            let goals = [matrix(&narrow), dheads].map(|dheads| Goal { dheads, weights: &[] });
            Operands { head: Head { q, k, v, scale: 0.5 }, goals: &goals }.are_narrow()
        };
        assert!(are_narrow([&narrow; 4]));
        for one in 0..4 {
            let mut operands = [narrow.as_slice(); 4];
            operands[one] = &wide;
            assert!(!are_narrow(operands), "operand {one}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_hidden() {
        let operands = [|qkv: &Qkv| qkv.q.shallow_clone(), |qkv: &Qkv| qkv.k.shallow_clone()];
        let kinds = [Kind::Float, Kind::BFloat16];
        for (pick, kind) in operands.into_iter().flat_map(|pick| kinds.map(|kind| (pick, kind))) {
            let layer = Example::new([1, 2, 40, 40, 8], kind);
            let _ = pick(&layer.qkv).get(0).get(20).fill_(f64::NAN);
            for found in fused(&layer, Update::Additive) {
                let sum = found.gradient.v.sum(Kind::Float).double_value(&[]);
                assert!(sum.is_nan(), "{sum}");
            }
        }
    }

    #[test]
    fn what_it_is_not_made_for_is_left_to_the_products() {
        let qkv = Qkv {
            q: random(&[2, 8, 4]),
            k: random(&[2, 8, 4]),
            v: random(&[2, 8, 4]),
            scale: 0.5,
            start: 0,
        };
        let causal = MaskRule::causal(None, &SequenceLayout::unforked(Vec::new()));
        let mean = Some((Update::Additive, Heads::Mean));
        let made_for = |mask: &MaskRule, relevancy, n_rollouts: usize| {
            let folds = Folds { relevancy, rollouts: vec![Some(Heads::Mean); n_rollouts] };
            let dheads = random(&[1, 2, 8, 4]);
            let pass = Pass { qkv: &qkv, mask, queries: 0..8, dheads: &dheads, folds, block: 8 };
            let row = || Tensor::ones([1, 8], (Kind::Float, Device::Cpu));
            let rollouts = (0..n_rollouts).map(|_| row()).collect();
            run(&pass, &Rows { relevancy: row(), rollouts }).is_some()
        };
        assert_eq!(made_for(&MaskRule::all(), mean, 0), !matches!(Arch::new(), Arch::Scalar));
        assert!(!made_for(&causal, mean, 0));
        assert!(!made_for(&MaskRule::all(), Some((Update::Additive, Heads::Max)), 0));
        assert!(!made_for(&MaskRule::all(), None, 0));
        assert!(!made_for(&MaskRule::all(), mean, 1));
    }
}
