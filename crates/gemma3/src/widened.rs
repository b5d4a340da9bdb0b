//! Products of bfloat16 matrices, made in float32 where the processor is faster at it.
//!
//! libtorch's product of bfloat16 matrices is as good as the processor's instructions for it. With a unit for tiles (AMX), or two products
//! to an instruction at the full rate (AMD's), it is twice as fast as that of float32 or more. Intel's processors without AMX, as virtual
//! machines often are, have the instruction at half the rate, so that float32 is faster; without the instruction it is emulated, at a
//! tenth of float32's speed. There a stretch of the matrix is widened and multiplied in float32, before the next one is: what is widened
//! stays in the cache. A product of two bfloat16 numbers is a float32 without rounding, and sums are float32 in both ways.

use attention_kernels::Bfloat16;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Numbers of the matrix that are widened at a time: 4 MB.
const STRETCH: i64 = 1 << 20;
/// Rows of what it is multiplied with that are widened at a time: so many that widening the matrix again for each is little beside the
/// product.
const BLOCK: i64 = 1024;

/// The fewest rows for which widening pays: it costs as much as some rows do.
fn fewest_rows(processor: Bfloat16) -> Option<i64> {
    match processor {
        Bfloat16::Fast => None,
        Bfloat16::Slow => Some(64),
        Bfloat16::Emulated => Some(2),
    }
}

/// Whether `rows` rows are multiplied with that matrix in float32.
pub(crate) fn widens(rows: i64, weight: &Tensor) -> bool {
    widens_on(Bfloat16::here(), rows, weight)
}

fn widens_on(processor: Bfloat16, rows: i64, weight: &Tensor) -> bool {
    weight.kind() == Kind::BFloat16
        && weight.device() == Device::Cpu
        && fewest_rows(processor).is_some_and(|fewest| fewest <= rows)
}

/// `x·Wᵀ + b`: `[…, outputs]` from `[…, inputs]`, bfloat16.
pub(crate) fn product(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let [outputs, inputs] = size(weight);
    let bias = bias.map(|bias| bias.to_kind(Kind::Float));
    let flat = x.reshape([-1, inputs]);
    let product = Tensor::empty([flat.size()[0], outputs], (Kind::BFloat16, Device::Cpu));
    for (start, len) in blocks(&flat) {
        let x = flat.narrow(0, start, len).to_kind(Kind::Float);
        let product = product.narrow(0, start, len);
        for rows in stretches(weight) {
            let bias = bias.as_ref().map(|bias| bias.narrow(0, rows.start, rows.end - rows.start));
            let part = x.linear(&widened(weight, &rows), bias.as_ref());
            product.narrow(1, rows.start, rows.end - rows.start).copy_(&part);
        }
    }
    product.view(with_last(x, outputs).as_slice())
}

/// `y·W`: `[…, inputs]` from `[…, outputs]`, bfloat16.
pub(crate) fn product_back(y: &Tensor, weight: &Tensor) -> Tensor {
    let [outputs, inputs] = size(weight);
    let flat = y.reshape([-1, outputs]);
    let product = Tensor::empty([flat.size()[0], inputs], (Kind::BFloat16, Device::Cpu));
    for (start, len) in blocks(&flat) {
        let y = flat.narrow(0, start, len);
        let mut sum = Tensor::zeros([len, inputs], (Kind::Float, Device::Cpu));
        for rows in stretches(weight) {
            let y = y.narrow(1, rows.start, rows.end - rows.start).to_kind(Kind::Float);
            sum = sum.addmm_(&y, &widened(weight, &rows));
        }
        product.narrow(0, start, len).copy_(&sum);
    }
    product.view(with_last(y, inputs).as_slice())
}

fn size(weight: &Tensor) -> [i64; 2] {
    <[i64; 2]>::try_from(weight.size()).expect("weights are matrices")
}

/// The shape of `x` with another last dimension.
fn with_last(x: &Tensor, last: i64) -> Vec<i64> {
    let mut shape = x.size();
    *shape.last_mut().expect("at least one dimension") = last;
    shape
}

/// Rows of `x` that are widened together: the first, and how many.
fn blocks(x: &Tensor) -> impl Iterator<Item = (i64, i64)> {
    let rows = x.size()[0];
    (0..rows).step_by(BLOCK as usize).map(move |start| (start, BLOCK.min(rows - start)))
}

/// Rows of the matrix that are widened together.
fn stretches(weight: &Tensor) -> impl Iterator<Item = Range<i64>> {
    let [outputs, inputs] = size(weight);
    let rows = (STRETCH / inputs.max(1)).max(1);
    (0..outputs).step_by(rows as usize).map(move |start| start..(start + rows).min(outputs))
}

fn widened(weight: &Tensor, rows: &Range<i64>) -> Tensor {
    weight.narrow(0, rows.start, rows.end - rows.start).to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16)
    }

    /// Within the rounding to bfloat16 (half of 2⁻⁷ of the value) and float32 sums of `terms` terms of size 1.
    fn assert_rounded(found: &Tensor, expected: &Tensor, terms: i64) {
        assert_eq!((found.kind(), found.size()), (Kind::BFloat16, expected.size()));
        let allowed = expected.abs() / 256.0 + 1e-6 * terms as f64;
        let excess = (found.to_kind(Kind::Double) - expected).abs() - allowed;
        assert!(excess.max().double_value(&[]) <= 0.0);
    }

    /// More rows of both than are widened together, and gradients with dimensions in front.
    #[test]
    fn widened_products_are_those_in_float64_rounded_once() {
        tch::manual_seed(12);
        let (outputs, inputs) = (1500, 1024);
        assert!(STRETCH < outputs * inputs);
        let (weight, bias) = (random(&[outputs, inputs]), random(&[outputs]));
        let (x, y) = (random(&[BLOCK + 5, inputs]), random(&[2, 600, outputs]));
        let wide = |tensor: &Tensor| tensor.to_kind(Kind::Double);
        let expected = wide(&x).matmul(&wide(&weight).tr());
        assert_rounded(&product(&x, &weight, None), &expected, inputs);
        let expected = expected + wide(&bias);
        assert_rounded(&product(&x, &weight, Some(&bias)), &expected, inputs);
        assert_rounded(&product_back(&y, &weight), &wide(&y).matmul(&wide(&weight)), outputs);
    }

    #[test]
    fn gradients_pass_through() {
        tch::manual_seed(13);
        let (weight, x) = (random(&[70, 64]), random(&[3, 64]).set_requires_grad(true));
        let dy = random(&[3, 70]);
        let z = (product(&x, &weight, None) * &dy).sum(Kind::Float);
        let gradient = Tensor::run_backward(&[z], &[&x], false, false).remove(0);
        let wide = |tensor: &Tensor| tensor.to_kind(Kind::Double);
        assert_rounded(&gradient, &wide(&dy).matmul(&wide(&weight)), 70);
    }

    #[test]
    fn only_narrow_matrices_in_main_memory_are_widened() {
        let weight = random(&[8, 8]);
        let on = |processor, rows| widens_on(processor, rows, &weight);
        assert!(!on(Bfloat16::Fast, 1000));
        assert!(on(Bfloat16::Slow, 64) && !on(Bfloat16::Slow, 63));
        assert!(on(Bfloat16::Emulated, 2) && !on(Bfloat16::Emulated, 1));
        assert!(!widens_on(Bfloat16::Emulated, 1000, &weight.to_kind(Kind::Float)));
    }
}
