//! `x·Wᵀ` for a single row x: what making one token consists of.
//!
//! Every weight is read once and used once, so the time is that of reading memory. The general product of libtorch reaches about
//! half of it (`cargo xtask bench --only generation`); this loop over bfloat16 weights, with sums in float32, reaches most of it.
//! Whatever it is not made for is left to libtorch, which is also what the test holds it against.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

/// Products below this many weights are not worth waking a second thread.
const SMALLEST_SHARE: usize = 1 << 17;
/// Partial sums of one row: four vector registers of AVX2.
const LANES: usize = 32;

/// `x·Wᵀ` `[1, outputs]` where `x` is one row `[1, inputs]` and `weight` `[outputs, inputs]`, both bfloat16 and dense in main memory,
/// and nobody asks for a gradient; else `None`.
pub(crate) fn row_product(x: &Tensor, weight: &Tensor) -> Option<Tensor> {
    let [outputs, inputs] = <[i64; 2]>::try_from(weight.size()).ok()?;
    let wanted = x.size() == [1, inputs] && !x.requires_grad() && !weight.requires_grad();
    if !wanted || inputs == 0 || outputs == 0 {
        return None;
    }
    let (row, weights) = (numbers(x)?, numbers(weight)?);
    let row: Vec<f32> = row.iter().map(|&bits| widened(bits)).collect();
    let mut sums = vec![0f32; outputs as usize];
    let n_shares = crate::threads().min(weights.len() / SMALLEST_SHARE).max(1);
    let rows = sums.len().div_ceil(n_shares);
    let shares = sums.par_chunks_mut(rows).zip(weights.par_chunks(rows * row.len()));
    shares.for_each(|(sums, weights)| products(&row, weights, sums));
    Some(Tensor::from_slice(&sums).view([1, outputs]).to_kind(Kind::BFloat16))
}

/// `sums[i] = row · weights[i]`.
fn products(row: &[f32], weights: &[u16], sums: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both.
        #[expect(unsafe_code, reason = "the compiler cannot know which processor it will be")]
        return unsafe { products_avx2(row, weights, sums) };
    }
    products_plain(row, weights, sums, |_| ());
}

/// [`products_plain`], compiled for wide registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn products_avx2(row: &[f32], weights: &[u16], sums: &mut [f32]) {
    products_plain(row, weights, sums, fetch_ahead);
}

/// Asks for the line of memory that is needed 4 KB later. What a processor fetches by itself ends with a page; with this the loop reads
/// half as much again in a second (Intel Xeon, two threads: 18 GB/s for 12).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch_ahead(weights: &[u16]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: fetching ahead reads nothing and may be asked of any address.
    #[expect(unsafe_code, reason = "it takes a pointer")]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(weights.as_ptr().wrapping_add(2048).cast::<i8>());
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it is compiled as a part of each function above")]
fn products_plain(row: &[f32], weights: &[u16], sums: &mut [f32], fetch: impl Fn(&[u16])) {
    for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(row.len())) {
        let (wide_row, wide_weights) = (row.chunks_exact(LANES), weights.chunks_exact(LANES));
        let rest = wide_row.remainder().iter().zip(wide_weights.remainder());
        let rest: f32 = rest.map(|(x, &w)| x * widened(w)).sum();
        let mut lanes = [0f32; LANES];
        for (x, w) in wide_row.zip(wide_weights) {
            fetch(w);
            for lane in 0..LANES {
                lanes[lane] += x[lane] * widened(w[lane]);
            }
        }
        *sum = lanes.iter().sum::<f32>() + rest;
    }
}

/// A bfloat16 is the upper half of a float32.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as `products_plain`")]
fn widened(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The bits of a dense bfloat16 tensor in main memory, without a copy.
fn numbers(tensor: &Tensor) -> Option<&[u16]> {
    in_place(tensor, Kind::BFloat16)
}

/// The bytes of a dense tensor of bytes in main memory, without a copy.
pub(crate) fn bytes(tensor: &Tensor) -> Option<&[u8]> {
    in_place(tensor, Kind::Uint8)
}

/// `kind` must be that of numbers of the size of `T`, which is whole numbers: all bits are some number.
fn in_place<T>(tensor: &Tensor, kind: Kind) -> Option<&[T]> {
    let dense = tensor.kind() == kind && tensor.device() == Device::Cpu && tensor.is_contiguous();
    if dense && tensor.numel() == 0 {
        return Some(&[]); // without an address
    }
    dense.then(|| {
        // SAFETY: the tensor is dense, so `numel` numbers of that size stand at `data_ptr`, and it is aligned to them. The storage
        // lives as long as the tensor that is borrowed here. Weights are frozen and `x` is this call's own: no one writes.
        #[expect(unsafe_code, reason = "a copy would cost as much as the product")]
        unsafe {
            std::slice::from_raw_parts(tensor.data_ptr().cast::<T>(), tensor.numel())
        }
    })
}

/// A float32 tensor of main memory whose numbers `fill` writes in their place, over zeros.
pub(crate) fn filled(shape: [i64; 2], fill: impl FnOnce(&mut [f32])) -> Tensor {
    let tensor = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    if tensor.numel() != 0 {
        // SAFETY: the tensor was made here, so it is dense, `numel` numbers stand at `data_ptr`, and nobody else looks at it.
        #[expect(unsafe_code, reason = "a copy would cost as much as expanding blocks does")]
        fill(unsafe {
            std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel())
        });
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: [i64; 2]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16)
    }

    #[test]
    fn a_row_product_is_that_of_libtorch() {
        tch::manual_seed(11);
        // Shorter than a register, split over several threads, and not a multiple of the lanes.
        for (outputs, inputs) in [(1, 1), (3, 31), (700, 1000), (2048, 2560)] {
            let (x, weight) = (random([1, inputs]), random([outputs, inputs]));
            let found = row_product(&x, &weight).unwrap();
            assert_eq!((found.kind(), found.size()), (Kind::BFloat16, vec![1, outputs]));
            let [x, weight] = [x, weight].map(|t| t.to_kind(Kind::Double));
            let expected = x.matmul(&weight.tr());
            // Rounding to bfloat16 (half of 2⁻⁷ of the value), and float32 sums of `inputs` terms of size 1.
            let allowed = expected.abs() / 256.0 + 1e-6 * inputs as f64;
            let excess = (found.to_kind(Kind::Double) - expected).abs() - allowed;
            assert!(excess.max().double_value(&[]) <= 0.0, "{outputs} x {inputs}");
        }
    }

    #[test]
    fn what_it_is_not_made_for_is_left_to_libtorch() {
        let (x, weight) = (random([1, 64]), random([8, 64]));
        assert!(row_product(&x, &weight).is_some());
        assert!(row_product(&random([2, 64]), &weight).is_none());
        assert!(row_product(&x.to_kind(Kind::Float), &weight).is_none());
        assert!(row_product(&x, &weight.to_kind(Kind::Float)).is_none());
        assert!(row_product(&x, &random([64, 8]).tr()).is_none());
        let learning = weight.detach().copy().set_requires_grad(true);
        assert!(row_product(&x, &learning).is_none());
    }
}
