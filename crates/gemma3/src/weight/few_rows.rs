//! `x·Wᵀ` for one row x, or a few, with W as it lies in a GGUF file: what making a token consists of.
//!
//! Expanding all of W for one row takes ten times as long as reading it does. Here x is rounded to 15 bits and multiplied in integers
//! (`quantised_weights::Activations`), which is nothing beside rounding the product to bfloat16. Where float32 is asked for nothing may
//! change, so W is expanded there.

use quantised_weights::{Activations, Instructions};
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::{Blocks, Code, rows, with_bias};
use crate::row_product;

/// The most rows of x. Each costs as much as the first, while expanding W is done once for all of them.
const MOST_ROWS: i64 = 8;
/// Bytes of W that stay in a core's cache while one row of x after the other is multiplied with them.
const STRETCH: usize = 1 << 15;
/// Products below this many weights are not worth waking a second thread.
const SMALLEST_SHARE: usize = 1 << 17;

/// `x·Wᵀ + b` `[…, outputs]` in bfloat16, for up to [`MOST_ROWS`] rows `[…, inputs]`, where the processor is fast at it and nobody asks
/// for a gradient; else `None`.
pub(super) fn product(blocks: &Blocks, x: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
    let Code::Gguf(code) = blocks.code else { return None };
    let wanted = blocks.kind == Kind::BFloat16
        && blocks.device == Device::Cpu
        && x.device() == Device::Cpu
        && !x.requires_grad()
        && (1..=MOST_ROWS).contains(&rows(x))
        && Instructions::here() != Instructions::Plain;
    if !wanted {
        return None;
    }
    let [outputs, inputs] = [blocks.bytes.size()[0] as usize, blocks.inputs as usize];
    let weights = row_product::bytes(&blocks.bytes)?;
    let flat = x.to_kind(Kind::Float).contiguous();
    let mut numbers = vec![0_f32; flat.numel()];
    flat.copy_data(&mut numbers, flat.numel());
    let rounded = |row: &[f32]| Activations::of(row, code);
    let rows = numbers.chunks_exact(inputs).map(rounded).collect::<Option<Vec<_>>>()?;
    let mut shape = x.size();
    *shape.last_mut()? = outputs as i64;
    let products = Tensor::from_slice(&products(&rows, weights, outputs))
        .view([outputs as i64, rows.len() as i64])
        .tr()
        .reshape(shape.as_slice());
    let bias = bias.map(|bias| bias.to_kind(Kind::Float));
    Some(with_bias(products, bias.as_ref()).to_kind(Kind::BFloat16))
}

/// `[outputs, x]`: what each of `outputs` rows of weights gives with each row of x.
fn products(x: &[Activations], weights: &[u8], outputs: usize) -> Vec<f32> {
    let width = weights.len() / outputs.max(1);
    let mut all = vec![0_f32; outputs * x.len()];
    let n_weights = outputs * width / x[0].blocks().bytes() * x[0].blocks().weights();
    let n_shares = crate::threads().min(n_weights / SMALLEST_SHARE).max(1);
    let share = outputs.div_ceil(n_shares).max(1);
    let stretch = (STRETCH / width.max(1)).max(1);
    let shares = all.par_chunks_mut(share * x.len()).zip(weights.par_chunks(share * width));
    shares.for_each(|(all, weights)| {
        if let [x] = x {
            return x.products(weights, all);
        }
        let mut one = vec![0_f32; stretch];
        let stretches = all.chunks_mut(stretch * x.len()).zip(weights.chunks(stretch * width));
        for (all, weights) in stretches {
            let one = &mut one[..all.len() / x.len()];
            for (index, row) in x.iter().enumerate() {
                row.products(weights, one);
                for (all, product) in all.chunks_exact_mut(x.len()).zip(&*one) {
                    all[index] = *product;
                }
            }
        }
    });
    all
}

#[cfg(test)]
mod tests {
    use super::super::tests::{quantised, random};
    use super::super::{Blocks, Weight};
    use super::*;

    fn blocks(weight: Weight) -> Blocks {
        let Weight::Blocks(blocks) = weight else { unreachable!("made of blocks") };
        blocks
    }

    /// Within what rounding x to 1/16319 of the largest of 32 may change, all of one sign, and bfloat16's own rounding.
    #[test]
    fn a_few_rows_are_multiplied_where_the_blocks_lie() {
        tch::manual_seed(12);
        for (outputs, inputs) in [(1, 32), (3, 96), (2048, 1024)] {
            let (weight, matrix) = quantised(outputs, inputs, Kind::BFloat16);
            let (weight, matrix) = (blocks(weight), matrix.to_kind(Kind::Double));
            let bias = random(&[outputs]).to_kind(Kind::BFloat16);
            for shape in [vec![inputs], vec![1, inputs], vec![1, 3, inputs], vec![8, inputs]] {
                let x = random(&shape).to_kind(Kind::BFloat16);
                for bias in [None, Some(&bias)] {
                    let Some(found) = product(&weight, &x, bias) else {
                        assert_eq!(Instructions::here(), Instructions::Plain);
                        return;
                    };
                    let x = x.to_kind(Kind::Double);
                    let exact = x.matmul(&matrix.tr());
                    let exact = bias.map_or(exact.shallow_clone(), |bias| &exact + bias);
                    assert_eq!((found.kind(), found.size()), (Kind::BFloat16, exact.size()));
                    let steps = x.abs().view([-1, 32]).amax(1, true) / 32_638.0;
                    let steps = steps.expand([-1, 32], false).reshape(shape.as_slice());
                    let allowed = steps.matmul(&matrix.abs().tr()) + exact.abs() / 256.0 + 1e-5;
                    let excess = (found.to_kind(Kind::Double) - exact).abs() / allowed;
                    assert!(excess.max().double_value(&[]) <= 1.0, "{outputs} × {inputs}");
                }
            }
        }
    }

    #[test]
    fn what_it_is_not_made_for_is_expanded() {
        let few = |weight: Weight, x: &Tensor| product(&blocks(weight), x, None).is_some();
        let bfloat16 = || quantised(8, 64, Kind::BFloat16).0;
        let x = random(&[1, 64]);
        assert_eq!(few(bfloat16(), &x), Instructions::here() != Instructions::Plain);
        assert!(!few(quantised(8, 64, Kind::Float).0, &x));
        assert!(!few(bfloat16(), &random(&[MOST_ROWS + 1, 64])));
        assert!(!few(bfloat16(), &random(&[0, 64])));
        assert!(!few(bfloat16(), &x.set_requires_grad(true)));
    }
}
