//! The pass against the reference and the row rule, with every kind of vector registers that there is.

use super::*;
use crate::seam::{MaskRule, Qkv, SequenceLayout};
use crate::sweep::Folds;
use crate::sweep::examples::{Example, assert_folded, assert_same, random};
use attention_relevancy::{Backward, HeadFusion, Update};
use tch::Device;

/// With every kind of registers.
fn swept(layer: &Example, update: Update) -> Vec<Swept> {
    let pass = layer.pass(update);
    let run = |processor| Layer::new(&pass, processor).run(&pass, &layer.rows, update.rule());
    Processor::every().into_iter().map(run).collect()
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
            for (found, processor) in swept(&layer, update).iter().zip(Processor::every()) {
                let what = format!("{shape:?}, {update:?}, {kind:?}, {processor:?}");
                assert_same(found, &expected, 5e-6, &what);
                assert_folded(&layer, update, found, &what);
            }
        }
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
    assert_eq!(made_for(&MaskRule::all(), mean, 0), Processor::here().has_vectors());
    assert!(!made_for(&causal, mean, 0));
    assert!(!made_for(&MaskRule::all(), fold(HeadFusion::Max), 0));
    assert!(!made_for(&MaskRule::all(), None, 0));
    assert!(!made_for(&MaskRule::all(), mean, 1));
}
