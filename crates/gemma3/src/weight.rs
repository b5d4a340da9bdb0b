//! A matrix that rows are multiplied with, in whatever form it is stored.
//!
//! Weights are frozen: beside the product only the one with the transpose is needed, which takes a gradient back. What is quantised
//! stays as it is in its file: a few rows are multiplied with it there ([`few_rows`]), for many it is expanded tile by tile. What an
//! adapter adds to such a matrix is a second product beside it ([`low_rank`]).

mod few_rows;
pub(crate) mod low_rank;
mod shuffled;

use crate::row_product::{self, row_product};
use crate::widened;
use attention_kernels::Bfloat16;
use low_rank::{Adapted, stretches};
use quantised_weights::{BlockType, Nf4};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use shuffled::Shuffled;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Weights that are expanded at a time: 16 MB in float32.
const TILE: i64 = 1 << 22;

/// A matrix `[outputs, inputs]`.
#[derive(Debug)]
pub(crate) enum Weight {
    /// In the type that products are made in.
    Dense(Tensor),
    /// Quantised.
    Blocks(Blocks),
    /// With what adapters add, as second products.
    Adapted(Box<Adapted>),
    /// With its rows in another order: nothing that was learnt is left.
    Shuffled(Box<Shuffled>),
}

/// Quantised weights, expanded when they are needed.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// `[outputs, bytes of a row]`, a view of the file.
    pub(crate) bytes: Tensor,
    pub(crate) inputs: i64,
    pub(crate) code: Code,
    /// What products are made in.
    pub(crate) kind: Kind,
    /// Where they are made.
    pub(crate) device: Device,
}

/// What the bytes of a row stand for.
#[derive(Clone, Debug)]
pub(crate) enum Code {
    /// Blocks of a GGUF file.
    Gguf(BlockType),
    /// Half bytes, with scales that may reach across rows.
    Nf4(Arc<Nf4>),
}

impl Weight {
    /// The type that products are made in.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Dense(weight) => weight.kind(),
            Self::Blocks(blocks) => blocks.kind,
            Self::Adapted(adapted) => adapted.base().kind(),
            Self::Shuffled(shuffled) => shuffled.base().kind(),
        }
    }

    pub(crate) fn device(&self) -> Device {
        match self {
            Self::Dense(weight) => weight.device(),
            Self::Blocks(blocks) => blocks.device,
            Self::Adapted(adapted) => adapted.base().device(),
            Self::Shuffled(shuffled) => shuffled.base().device(),
        }
    }

    /// Outputs and inputs.
    pub(crate) fn size(&self) -> [i64; 2] {
        match self {
            Self::Dense(weight) => {
                <[i64; 2]>::try_from(weight.size()).expect("weights are matrices")
            }
            Self::Blocks(blocks) => [blocks.bytes.size()[0], blocks.inputs],
            Self::Adapted(adapted) => adapted.base().size(),
            Self::Shuffled(shuffled) => shuffled.base().size(),
        }
    }

    /// `x·Wᵀ + b`: `[…, outputs]` from `[…, inputs]`.
    pub(crate) fn product(&self, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
        match self {
            Self::Dense(weight) => {
                let one_row = if bias.is_none() { row_product(x, weight) } else { None };
                one_row.unwrap_or_else(|| {
                    if widened::widens(rows(x), weight) {
                        widened::product(x, weight, bias)
                    } else {
                        x.linear(weight, bias)
                    }
                })
            }
            Self::Blocks(blocks) => {
                few_rows::product(blocks, x, bias).unwrap_or_else(|| blocks.product(x, bias))
            }
            Self::Adapted(adapted) => with_bias(adapted.product(x), bias),
            Self::Shuffled(shuffled) => with_bias(shuffled.product(x), bias),
        }
    }

    /// `y·W`: `[…, inputs]` from `[…, outputs]`, in the type that products are made in.
    pub(crate) fn product_back(&self, y: &Tensor) -> Tensor {
        match self {
            Self::Dense(weight) => {
                let y = y.to_kind(weight.kind());
                if widened::widens(rows(&y), weight) {
                    widened::product_back(&y, weight)
                } else {
                    y.matmul(weight)
                }
            }
            Self::Blocks(blocks) => {
                let y = y.to_kind(blocks.kind).to_kind(blocks.sum_kind());
                let parts = blocks.tiles(blocks.sum_kind()).map(|(start, tile)| {
                    y.narrow(-1, start, tile.size()[0]).matmul(&tile).to_kind(Kind::Float)
                });
                sum(parts).to_kind(blocks.kind)
            }
            Self::Adapted(adapted) => {
                let y = y.to_kind(self.kind());
                adapted.product_back(&y, Self::product_back).to_kind(self.kind())
            }
            Self::Shuffled(shuffled) => shuffled.base().product_back(&shuffled.sorted(y)),
        }
    }

    /// `y·W`, `[m, inputs]` from float32 `[m, outputs]`, made in float32 whatever type other products are made in.
    pub(crate) fn product_back_wide(&self, y: &Tensor) -> Tensor {
        let [outputs, inputs] = self.size();
        let start = Tensor::zeros([y.size()[0], inputs], (Kind::Float, self.device()));
        let add = |mut sum: Tensor, (start, tile): (i64, Tensor)| {
            sum.addmm_(&y.narrow(1, start, tile.size()[0]), &tile)
        };
        match self {
            Self::Dense(weight) => {
                let rows = (TILE / inputs).max(1);
                let tile = |start: i64| {
                    let tile = weight.narrow(0, start, rows.min(outputs - start));
                    (start, tile.to_kind(Kind::Float))
                };
                (0..outputs).step_by(rows as usize).map(tile).fold(start, add)
            }
            Self::Blocks(blocks) => blocks.tiles(Kind::Float).fold(start, add),
            Self::Adapted(adapted) => adapted.product_back(y, Self::product_back_wide),
            Self::Shuffled(shuffled) => shuffled.base().product_back_wide(&shuffled.sorted(y)),
        }
    }

    /// [`range`] of all of it.
    pub(crate) fn range(&self) -> [f64; 2] {
        if let Self::Dense(weight) = self {
            return range(weight);
        }
        let both = |[low, high]: [f64; 2], [other_low, other_high]: [f64; 2]| {
            // Not `min`, which passes over a NaN.
            let (low, high) = (
                if low <= other_low { low } else { other_low },
                if high >= other_high { high } else { other_high },
            );
            if low.is_nan() || high.is_nan() { [f64::NAN; 2] } else { [low, high] }
        };
        let tiles =
            stretches(self).map(|(start, rows)| range(&self.stretch(start, rows, Kind::Float)));
        tiles.reduce(both).unwrap_or([0.0; 2])
    }

    /// Rows `start..start + rows`, `[rows, inputs]` in that type.
    pub(crate) fn stretch(&self, start: i64, rows: i64, kind: Kind) -> Tensor {
        match self {
            Self::Dense(weight) => weight.narrow(0, start, rows).to_kind(kind),
            Self::Blocks(blocks) => blocks.expanded(start, rows, kind),
            Self::Adapted(adapted) => adapted.stretch(start, rows).to_kind(kind),
            Self::Shuffled(shuffled) => shuffled.stretch(start, rows).to_kind(kind),
        }
    }

    /// The rows with these numbers, `[ids, inputs]`, in the type that products are made in.
    pub(crate) fn rows(&self, ids: &[u32]) -> Tensor {
        match self {
            Self::Dense(weight) => {
                let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
                let ids = Tensor::from_slice(&ids).to_device(weight.device());
                Tensor::embedding(weight, &ids, -1, false, false)
            }
            Self::Blocks(blocks) => {
                let row = |&id: &u32| blocks.expanded(i64::from(id), 1, blocks.kind);
                Tensor::cat(&ids.iter().map(row).collect::<Vec<_>>(), 0)
            }
            Self::Adapted(adapted) => adapted.rows(ids),
            Self::Shuffled(shuffled) => {
                shuffled.rows(&ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>())
            }
        }
    }

    /// The same matrix: numbers are shared, not copied.
    pub(crate) fn shared(&self) -> Self {
        match self {
            Self::Dense(weight) => Self::Dense(weight.shallow_clone()),
            Self::Blocks(blocks) => Self::Blocks(Blocks {
                bytes: blocks.bytes.shallow_clone(),
                code: blocks.code.clone(),
                ..*blocks
            }),
            Self::Adapted(adapted) => Self::Adapted(Box::new(adapted.shared())),
            Self::Shuffled(shuffled) => Self::Shuffled(Box::new(shuffled.shared())),
        }
    }

    /// A matrix of the same rows in a random order, each with a random sign.
    pub(crate) fn shuffled(&self, random: &mut ChaCha8Rng) -> Self {
        Self::Shuffled(Box::new(Shuffled::new(self.shared(), random)))
    }
}

impl Blocks {
    /// `x·Wᵀ + b` by expanding W.
    fn product(&self, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let kind = self.sum_kind();
        let x = x.to_kind(kind);
        let bias = bias.map(|bias| bias.to_kind(kind));
        let parts: Vec<Tensor> = self
            .tiles(kind)
            .map(|(start, tile)| {
                let bias = bias.as_ref().map(|bias| bias.narrow(0, start, tile.size()[0]));
                x.linear(&tile, bias.as_ref()).to_kind(self.kind)
            })
            .collect();
        Tensor::cat(&parts, -1)
    }

    /// What products are made in before they are rounded to `kind`: float32 where the processor is faster at it, since expanding makes float32
    /// anyway.
    fn sum_kind(&self) -> Kind {
        let widens = self.kind == Kind::BFloat16
            && self.device == Device::Cpu
            && Bfloat16::here() != Bfloat16::Fast;
        if widens { Kind::Float } else { self.kind }
    }

    /// All rows, some at a time: the number of the first, and the rows expanded.
    fn tiles(&self, kind: Kind) -> impl Iterator<Item = (i64, Tensor)> {
        let outputs = self.bytes.size()[0];
        let rows = (TILE / self.inputs).max(1);
        (0..outputs)
            .step_by(rows as usize)
            .map(move |start| (start, self.expanded(start, rows.min(outputs - start), kind)))
    }

    /// `rows` rows from number `start` on, `[rows, inputs]`.
    fn expanded(&self, start: i64, rows: i64, kind: Kind) -> Tensor {
        let (width, inputs) = (self.bytes.size()[1] as usize, self.inputs as usize);
        let all = row_product::bytes(&self.bytes).expect("a view of whole rows of a file");
        let bytes = &all[start as usize * width..][..rows as usize * width];
        let code = &self.code; // plain data, which threads may share
        let expand = |(row, (bytes, numbers)): (usize, (&[u8], &mut [f32]))| match code {
            Code::Gguf(blocks) => blocks.dequantise(bytes, numbers),
            Code::Nf4(code) => code.dequantise((start as usize + row) * inputs, bytes, numbers),
        };
        let tile = row_product::filled([rows, self.inputs], |numbers| {
            let rows = bytes.par_chunks(width).zip(numbers.par_chunks_mut(inputs));
            rows.enumerate().for_each(expand);
        });
        tile.to_device_(self.device, kind, false, false)
    }
}

/// How many rows `x` has: all dimensions but the last.
fn rows(x: &Tensor) -> i64 {
    x.size().iter().rev().skip(1).product()
}

/// The smallest and the largest number; a NaN among them is both. An empty tensor has 0 and 0.
pub(crate) fn range(tensor: &Tensor) -> [f64; 2] {
    if tensor.numel() == 0 {
        return [0.0; 2];
    }
    let (low, high) = tensor.aminmax(None, false);
    [low, high].map(|value| value.to_kind(Kind::Double).double_value(&[]))
}

fn with_bias(y: Tensor, bias: Option<&Tensor>) -> Tensor {
    match bias {
        Some(bias) => y + bias,
        None => y,
    }
}

fn sum(parts: impl Iterator<Item = Tensor>) -> Tensor {
    parts.reduce(|sum, part| sum + part).expect("a matrix has rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// Random blocks of `Q8_0` with scales near one, and the matrix that they stand for.
    pub(super) fn quantised(outputs: i64, inputs: i64, kind: Kind) -> (Weight, Tensor) {
        let blocks = BlockType::Q8_0;
        let width = blocks.row_bytes(inputs as usize).unwrap();
        let mut bytes: Vec<u8> =
            (0..outputs as usize * width).map(|index| (index * 37 % 251) as u8).collect();
        for block in bytes.chunks_exact_mut(blocks.bytes()) {
            block[..2].copy_from_slice(&[0x00, 0x28]); // 2⁻⁵
        }
        let mut numbers = vec![0.0; (outputs * inputs) as usize];
        blocks.dequantise(&bytes, &mut numbers);
        let expected = Tensor::from_slice(&numbers).view([outputs, inputs]);
        let bytes = Tensor::from_slice(&bytes).view([outputs, width as i64]);
        let code = Code::Gguf(blocks);
        (Weight::Blocks(Blocks { bytes, inputs, code, kind, device: Device::Cpu }), expected)
    }

    pub(super) fn assert_same(found: &Tensor, expected: &Tensor, tolerance: f64) {
        assert_eq!(found.size(), expected.size());
        let distance = (found.to_kind(Kind::Double) - expected.to_kind(Kind::Double)).abs().max();
        let distance = (distance / expected.abs().max()).double_value(&[]);
        assert!(distance < tolerance, "{distance}");
    }

    #[test]
    fn quantised_products_are_those_with_the_expanded_matrix() {
        tch::manual_seed(3);
        // More rows than a tile has.
        let (outputs, inputs) = (5000, 1024);
        assert!(TILE < outputs * inputs);
        let (weight, expected) = quantised(outputs, inputs, Kind::Float);
        assert_eq!(weight.size(), [outputs, inputs]);
        let (x, y, bias) = (random(&[3, inputs]), random(&[2, 3, outputs]), random(&[outputs]));
        assert_same(&weight.product(&x, None), &x.linear(&expected, None::<&Tensor>), 1e-6);
        assert_same(&weight.product(&x, Some(&bias)), &x.linear(&expected, Some(&bias)), 1e-6);
        assert_same(&weight.product_back(&y), &y.matmul(&expected), 2e-6);
        let flat = y.view([6, outputs]);
        assert_same(&weight.product_back_wide(&flat), &flat.matmul(&expected), 2e-6);
        // Rows are the numbers themselves.
        let rows = weight.rows(&[4999, 0, 17]);
        assert_eq!(rows, expected.index_select(0, &Tensor::from_slice(&[4999_i64, 0, 17])));
    }

    #[test]
    fn a_type_to_compute_in_is_not_the_type_of_storage() {
        tch::manual_seed(4);
        let (weight, expected) = quantised(40, 64, Kind::BFloat16);
        assert_eq!((weight.kind(), weight.rows(&[1]).kind()), (Kind::BFloat16, Kind::BFloat16));
        let x = random(&[3, 64]).to_kind(Kind::BFloat16);
        let found = weight.product(&x, None);
        assert_eq!(found.kind(), Kind::BFloat16);
        assert_same(&found, &x.to_kind(Kind::Float).linear(&expected, None::<&Tensor>), 1e-2);
        let y = random(&[3, 40]);
        let wide = weight.product_back_wide(&y);
        assert_eq!(wide.kind(), Kind::Float);
        assert_same(&wide, &y.matmul(&expected), 1e-6);
    }

    #[test]
    fn dense_products_are_those_of_libtorch() {
        tch::manual_seed(5);
        let (matrix, x, y) = (random(&[7, 5]), random(&[4, 5]), random(&[4, 7]));
        let weight = Weight::Dense(matrix.shallow_clone());
        assert_eq!(weight.product(&x, None), x.linear(&matrix, None::<&Tensor>));
        assert_eq!(weight.product_back(&y), y.matmul(&matrix));
        assert_same(&weight.product_back_wide(&y), &y.matmul(&matrix), 1e-6);
        assert_eq!(weight.rows(&[6, 2]), matrix.index_select(0, &Tensor::from_slice(&[6_i64, 2])));
    }

    /// Gradients pass through a quantised product to what is multiplied.
    #[test]
    fn the_graph_goes_through_a_quantised_product() {
        tch::manual_seed(6);
        let (weight, _) = quantised(40, 64, Kind::Float);
        let (x, dy) = (random(&[3, 64]).set_requires_grad(true), random(&[3, 40]));
        let z = (weight.product(&x, None) * &dy).sum(Kind::Float);
        let gradient = Tensor::run_backward(&[z], &[&x], false, false).remove(0);
        assert_same(&weight.product_back(&dy), &gradient, 1e-6);
    }
}
