//! The pass on a GPU, with the kernel where there is one and with its part done by libtorch anywhere.
//!
//! What needs a GPU is skipped with a notice where libtorch finds none; `REQUIRE_CUDA=1` makes that a failure.

use super::*;
use crate::sweep::examples::{Example, assert_folded, assert_same, random};
use attention_relevancy::Update;
use gemma3_tch::{EncoderTrace, Gemma3, Layer as _, PullRule};
use std::io::Write;
use std::path::Path;
use tch::Device;

/// Where the kernel runs. `None`, with a notice, where there is no GPU, unless `REQUIRE_CUDA=1`.
fn gpu() -> Option<Placement> {
    if tch::Cuda::is_available() {
        return Some(Placement { device: Device::Cuda(0), kind: Some(Kind::BFloat16) });
    }
    let required = std::env::var("REQUIRE_CUDA").is_ok_and(|value| value == "1");
    assert!(!required, "REQUIRE_CUDA=1, and libtorch finds no GPU");
    // Straight to the terminal: what a passing test prints is not shown.
    let _best_effort = std::io::stderr().write_all(b"skipped: libtorch finds no GPU\n");
    None
}

/// Float32 numbers as the sums of three of bfloat16: `[…, n]` to `[…, 3, n]`.
fn in_parts(x: &Tensor) -> Tensor {
    let mut rest = x.copy();
    let part = |_| {
        let part = rest.to_kind(Kind::BFloat16);
        rest = &rest - part.to_kind(Kind::Float);
        part
    };
    let parts: Vec<Tensor> = (0..3).map(part).collect();
    assert!(rest.equal(&rest.zeros_like()), "three parts are all of it");
    Tensor::stack(&parts, -2)
}

/// What `fold.cu` computes, by operations of libtorch.
fn fold(between: &Between) -> Folded {
    let Between { scores, dattention, weights, scale } = between;
    let attention = (scores * *scale).softmax(-1, Kind::Float); // [H, b, n]
    let by_goal = attention.unsqueeze(1);
    let weighted = dattention * &by_goal; // [H, T, b, n]
    let total = weighted.sum_dim_intlist(-1, true, Kind::Float);
    let row = weights.unsqueeze(1).matmul(&weighted.relu()).squeeze_dim(2); // [H, T, n]
    let dscores = &weighted - by_goal * total;
    Folded { attention: in_parts(&attention), dscores: in_parts(&dscores), row }
}

/// Less than a block of queries; whole blocks; one more than whole; the vision tower's width, and products longer than a stretch; queries
/// that are only some of the tokens.
const SHAPES: [[usize; 5]; 5] = [
    [1, 1, 1, 4, 1],
    [2, 3, 8, 8, 5],
    [1, 2, 32, 48, 16],
    [3, 2, 33, 52, 17],
    [2, 1, 100, 1028, 72],
];

#[test]
fn products_of_parts_give_what_the_reference_gives() {
    for shape in SHAPES {
        let layer = Example::new(shape, Kind::BFloat16);
        let pass = layer.pass(Update::Additive);
        let found =
            Layer::new(&pass, fold).unwrap().run(&pass, &layer.rows, Update::Additive.weights(1.0));
        let what = format!("{shape:?}");
        assert_same(&found, &pass.run_by_reference(&layer.rows), 5e-6, &what);
        assert_folded(&layer, Update::Additive, &found, &what);
    }
}

#[test]
fn a_gradient_that_bfloat16_does_not_hold_is_left_to_the_reference() {
    let mut layer = Example::new([1, 2, 8, 8, 4], Kind::BFloat16);
    assert!(Layer::new(&layer.pass(Update::Additive), fold).is_some());
    layer.dheads = &layer.dheads * 1.001;
    assert!(Layer::new(&layer.pass(Update::Additive), fold).is_none());
    layer.dheads = &layer.dheads * f64::NAN;
    assert!(Layer::new(&layer.pass(Update::Additive), fold).is_none());
}

#[test]
fn without_a_gpu_there_is_no_kernel_and_nothing_is_missing() {
    let layer = Example::new([1, 2, 8, 8, 4], Kind::BFloat16);
    let pass = layer.pass(Update::Additive);
    assert!(Cuda.run(&pass, &layer.rows).is_none());
    let setting = pass.setting(&layer.rows);
    assert!(!Cuda.accepts(&setting));
    assert_eq!(Cuda.missing(&setting), None);
}

#[test]
fn the_kernel_gives_what_the_reference_gives() {
    let Some(gpu) = gpu() else { return };
    for shape in SHAPES.into_iter().chain([[2, 4, 1000, 4096, 72]]) {
        let layer = Example::new(shape, Kind::BFloat16).to_device(gpu.device);
        let pass = layer.pass(Update::Additive);
        let found = Cuda.run(&pass, &layer.rows);
        let why = why_missing(gpu, shape[3]);
        let found = found.unwrap_or_else(|| panic!("no kernel for {shape:?}: {why:?}"));
        assert_same(&found, &pass.run_by_reference(&layer.rows), 5e-6, &format!("{shape:?}"));
    }
}

#[test]
fn the_kernel_hides_nothing_that_is_not_a_number() {
    let Some(gpu) = gpu() else { return };
    for operand in 0..2 {
        let layer = Example::new([1, 2, 40, 40, 8], Kind::BFloat16);
        let spoilt = [&layer.qkv.q, &layer.qkv.k][operand].get(0).get(20);
        let _ = spoilt.shallow_clone().fill_(f64::NAN);
        let layer = layer.to_device(gpu.device);
        let found =
            Cuda.run(&layer.pass(Update::Additive), &layer.rows).expect("there is a kernel");
        let Swept { gradient, rows, .. } = found;
        for sum in [gradient.q, gradient.k, gradient.v, rows.relevancy].map(|x| x.sum(Kind::Float))
        {
            assert!(sum.double_value(&[]).is_nan(), "operand {operand}: {sum:?}");
        }
    }
}

/// What lies between the kernel's layers: the MLP has an operation of its own on a GPU.
#[test]
fn a_layer_on_a_gpu_pulls_back_what_one_on_a_cpu_does() {
    let Some(gpu) = gpu() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/layout/model");
    let models = [Placement::AS_STORED, Placement { kind: None, ..gpu }]
        .map(|placement| Gemma3::load(&folder, placement).unwrap());
    let config = &models[0].vision().unwrap().config;
    let [hidden, dy] = [1, 2].map(|n| random(&[n, config.patches(), config.hidden_size]));
    let [expected, found] = models.each_ref().map(|model| {
        let at = |x: &Tensor| x.to_device(model.placement().device);
        let layer = &model.vision().unwrap().tower.layers()[1];
        let hidden = at(&hidden.get(0));
        let trace = EncoderTrace { x: hidden.shallow_clone(), hidden };
        let pulled = layer.pull_merge(&trace, &at(&dy), PullRule::Gradient);
        [pulled.x, pulled.heads].map(|x| x.to_device(Device::Cpu))
    });
    for (found, expected) in found.iter().zip(&expected) {
        let distance = (found - expected).abs().max() / expected.abs().max();
        assert!(distance.double_value(&[]) < 5e-6, "{distance:?}");
    }
}
