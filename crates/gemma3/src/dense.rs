//! Attention in which every query sees every key, on a CPU: that of the vision tower, of whose work it is more than a third.
//!
//! libtorch's own is what the test holds it against. For bfloat16 it is made of libtorch's products of small bfloat16 matrices, which is
//! slow on many processors ([`crate::widened`]); this one is as fast there as for float32.
//!
//! Symbols: H heads, n tokens, d head width.

use crate::Qkv;
use attention_kernels::{Head, Matrix, Processor};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Kind, Tensor};

/// Fewer tokens are not worth copies of queries, keys and values, and other threads.
const FEWEST_TOKENS: usize = 64;
/// Queries of one piece of work: where there are more threads than heads, each head is several.
const FEWEST_QUERIES: usize = 256;

/// `softmax(q·kᵀ·scale)·v`, `[H, n, d]` in the dtype of `v`, where all is in main memory, each head has keys of its own and nobody asks for
/// a gradient; else `None`.
pub(crate) fn attend(qkv: &Qkv) -> Option<Tensor> {
    let processor = Processor::here();
    let of_cpu = |x: &Tensor| {
        x.device() == Device::Cpu
            && matches!(x.kind(), Kind::Float | Kind::BFloat16)
            && !x.requires_grad()
    };
    let wanted = processor.has_vectors()
        && FEWEST_TOKENS <= qkv.tokens()
        && qkv.group() == 1
        && [&qkv.q, &qkv.k, &qkv.v].into_iter().all(of_cpu);
    wanted.then(|| attend_with(processor, qkv))
}

fn attend_with(processor: Processor, qkv: &Qkv) -> Tensor {
    let [h, n, d] = <[i64; 3]>::try_from(qkv.q.size()).expect("heads are [H, n, d]");
    let [h, n, d] = [h, n, d].map(|size| size as usize);
    let [q, k, v] = [&qkv.q, &qkv.k, &qkv.v].map(rows_first);
    let (width, scale) = (h * d, qkv.scale as f32);
    let threads = crate::threads();
    let rows = n.div_ceil(threads.div_ceil(h)).max(FEWEST_QUERIES);
    let pieces: Vec<(usize, usize)> =
        (0..h).flat_map(|head| (0..n).step_by(rows).map(move |start| (head, start))).collect();
    let piece = |&(head, start): &(usize, usize)| {
        let rows = rows.min(n - start);
        let queries = &q[start * width..][..rows * width];
        processor.attend(Head {
            q: part(queries, head, [h, d]),
            k: part(&k, head, [h, d]),
            v: part(&v, head, [h, d]),
            scale,
        })
    };
    let next = AtomicUsize::new(0);
    let in_turn = |_| {
        std::iter::from_fn(|| {
            let at = next.fetch_add(1, Ordering::Relaxed);
            pieces.get(at).map(|one| (at, piece(one)))
        })
    };
    let workers = threads.min(pieces.len());
    let mut made: Vec<(usize, Vec<f32>)> =
        (0..workers).into_par_iter().with_max_len(1).flat_map_iter(in_turn).collect();
    made.sort_by_key(|(at, _)| *at);
    let parts: Vec<Tensor> = made.iter().map(|(_, part)| Tensor::from_slice(part)).collect();
    let heads = Tensor::cat(&parts, 0).view([h, n, d].map(|size| size as i64));
    heads.to_kind(qkv.v.kind())
}

/// A head's part of `[rows, H, d]`.
fn part(numbers: &[f32], head: usize, [h, d]: [usize; 2]) -> Matrix<'_> {
    Matrix { numbers: &numbers[head * d..], stride: h * d, width: d }
}

/// `[n, H, d]` as float32.
fn rows_first(x: &Tensor) -> Vec<f32> {
    let x = x.transpose(0, 1).to_kind(Kind::Float).reshape([-1]);
    Vec::try_from(&x).expect("a vector of float32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attend, Fast, MaskRule, SequenceLayout, Site, Tower};

    fn qkv(kind: Kind, [h, n, d]: [i64; 3]) -> Qkv {
        // As projections give them: tokens first in memory.
        let make = || {
            let x = Tensor::randn([n, h, d], (Kind::Float, Device::Cpu)).to_kind(kind);
            x.transpose(0, 1)
        };
        Qkv { q: make(), k: make(), v: make(), scale: 0.3, start: 0 }
    }

    fn by_libtorch(qkv: &Qkv) -> Tensor {
        let [q, k, v] = [&qkv.q, &qkv.k, &qkv.v].map(|x| x.to_kind(Kind::Double));
        (q.matmul(&k.transpose(1, 2)) * qkv.scale).softmax(-1, Kind::Double).matmul(&v)
    }

    /// Tokens that fill no vector, more pieces than heads, the width of the real tower.
    #[test]
    fn it_is_attention() {
        tch::manual_seed(14);
        for shape in [[3, 70, 5], [1, 530, 16], [2, 96, 72]] {
            for (kind, most) in [(Kind::Float, 2e-6), (Kind::BFloat16, 4e-3)] {
                let qkv = qkv(kind, shape);
                let found = attend(&qkv).expect("this machine has vector registers");
                assert_eq!((found.kind(), found.size()), (kind, shape.to_vec()));
                let expected = by_libtorch(&qkv);
                let distance = (found.to_kind(Kind::Double) - &expected).abs().max();
                let distance = (distance / expected.abs().max()).double_value(&[]);
                assert!(distance < most, "{shape:?}, {kind:?}: {distance}");
            }
        }
    }

    #[test]
    fn the_rest_is_left_to_libtorch() {
        assert!(attend(&qkv(Kind::Float, [2, 63, 4])).is_none());
        let mut grouped = qkv(Kind::Float, [2, 64, 4]);
        grouped.k = grouped.k.narrow(0, 0, 1);
        assert!(attend(&grouped).is_none());
        let mut learning = qkv(Kind::Float, [2, 64, 4]);
        learning.q = learning.q.detach().set_requires_grad(true);
        assert!(attend(&learning).is_none());
    }

    /// What does not see everything is not attended to as if it did.
    #[test]
    fn masks_are_heeded() {
        tch::manual_seed(15);
        let qkv = qkv(Kind::Float, [2, 80, 8]);
        let site = Site { tower: Tower::Text, layer: 0 };
        let causal = MaskRule::causal(None, &SequenceLayout::unforked(Vec::new()));
        let first = Fast.attend(site, &qkv, &causal).narrow(1, 0, 1);
        let distance = (first - qkv.v.narrow(1, 0, 1)).abs().max().double_value(&[]);
        assert!(distance < 1e-6, "the first token sees itself alone: {distance}");
    }
}
