//! The kernel against plain loops, and the pass against the reference and the row rule, with every kind of vector registers that there is.

use super::*;
use crate::seam::{MaskRule, Qkv, SequenceLayout};
use crate::sweep::Folds;
use crate::sweep::examples::{Example, assert_folded, assert_same, random};
use attention_relevancy::{Backward, HeadFusion, Update};
use tch::Device;

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
fn swept(layer: &Example, update: Update) -> Vec<Swept> {
    let pass = layer.pass(update);
    let run = |processor| Layer::new(&pass, processor).run(&pass, &layer.rows, update.rule());
    processors().into_iter().map(run).collect()
}

#[test]
fn the_pass_gives_what_the_reference_gives() {
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
            let expected = layer.pass(update).run_by_reference(&layer.rows);
            for (found, processor) in swept(&layer, update).iter().zip(processors()) {
                let what = format!("{shape:?}, {update:?}, {kind:?}, {processor:?}");
                assert_same(found, &expected, 5e-6, &what);
                assert_folded(&layer, update, found, &what);
            }
        }
    }
}

const PARTS: [&str; 4] = ["dq", "dk", "dv", "folded"];

fn parts(pulled: &Pulled) -> [&[f32]; 4] {
    [&pulled.dq, &pulled.dk, &pulled.dv, &pulled.folded]
}

/// The greatest difference over the greatest number.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let greatest = expected.iter().fold(1e-2, |most: f32, x| most.max(x.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |most, x| if x.is_nan() { f32::INFINITY } else { most.max(x) }) / greatest
}

#[test]
fn the_kernel_does_what_the_plain_loops_do() {
    // Queries, keys, width: one of each; less than a vector, a stretch of lanes and a group of keys; whole ones; one more than whole.
    let shapes =
        [[1, 1, 1], [3, 2, 5], [7, 47, 9], [31, 48, 16], [32, 49, 17], [33, 97, 72], [65, 145, 33]];
    let kinds = [Kind::Float, Kind::BFloat16];
    for (shape, kind) in shapes.into_iter().flat_map(|shape| kinds.map(|kind| (shape, kind))) {
        tch::manual_seed(3);
        let [m, n, d] = shape;
        let make = |rows| numbers(&random(&[rows, d]).to_kind(kind));
        let (q, k, v, dheads) = (make(m), make(n), make(n), [make(m), make(m)]);
        let weights = numbers(&random(&[m]).abs());
        let matrix = |numbers| Matrix { numbers, stride: d, width: d };
        let head = Head { q: matrix(&q), k: matrix(&k), v: matrix(&v), scale: 0.7 };
        let goals = dheads.each_ref().map(|x| Goal { dheads: matrix(x), weights: &weights });
        let operands = Operands { head, goals: &goals };
        let (expected, expected_sums) = (scalar::pull(operands), scalar::row_sums(operands));
        for processor in processors() {
            let what = format!("{shape:?}, {kind:?}, {processor:?}");
            let found = processor.dispatch(Pull, operands);
            for (found, expected) in found.iter().zip(&expected) {
                let both = parts(found).into_iter().zip(parts(expected));
                for (part, (found, expected)) in PARTS.into_iter().zip(both) {
                    let distance = distance(found, expected);
                    assert!(distance < 5e-6, "{part} of {what}: {distance:e}");
                }
            }
            let sums = processor.dispatch(RowSums, operands);
            for (found, expected) in sums.iter().zip(&expected_sums) {
                let distance = distance(found, expected);
                assert!(distance < 5e-6, "sums of {what}: {distance:e}");
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
        for found in swept(&layer, Update::Additive) {
            let sum = found.gradient.v.sum(Kind::Float).double_value(&[]);
            assert!(sum.is_nan(), "{sum}");
        }
    }
}

#[test]
fn what_it_is_not_made_for_is_left_to_the_reference() {
    let qkv = Qkv {
        q: random(&[2, 8, 4]),
        k: random(&[2, 8, 4]),
        v: random(&[2, 8, 4]),
        scale: 0.5,
        start: 0,
    };
    let causal = MaskRule::causal(None, &SequenceLayout::unforked(Vec::new()));
    let fold = |heads| Some(RowFold::new(Update::Additive, heads));
    let mean = fold(HeadFusion::Mean);
    let by_rule = |backward, mask: &MaskRule, relevancy, n_rollouts: usize| {
        let folds = Folds { relevancy, rollouts: vec![Some(HeadRule::Mean); n_rollouts] };
        let dheads = random(&[1, 2, 8, 4]);
        let (queries, block) = (0..8, 8);
        let pass = Pass { qkv: &qkv, mask, queries, dheads: &dheads, backward, folds, block };
        let row = || Tensor::ones([1, 8], (Kind::Float, Device::Cpu));
        let rollouts = (0..n_rollouts).map(|_| row()).collect();
        Cpu.accepts(&pass.setting(&Rows { relevancy: row(), rollouts }))
    };
    let made_for = |mask: &MaskRule, relevancy, n_rollouts| {
        by_rule(Backward::Gradient, mask, relevancy, n_rollouts)
    };
    for backward in Backward::ALL.into_iter().filter(|backward| backward.is_lrp()) {
        assert!(!by_rule(backward, &MaskRule::all(), mean, 0), "{backward}");
    }
    assert_eq!(made_for(&MaskRule::all(), mean, 0), !matches!(Arch::new(), Arch::Scalar));
    assert!(!made_for(&causal, mean, 0));
    assert!(!made_for(&MaskRule::all(), fold(HeadFusion::Max), 0));
    assert!(!made_for(&MaskRule::all(), None, 0));
    assert!(!made_for(&MaskRule::all(), mean, 1));
}
