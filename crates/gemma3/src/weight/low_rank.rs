//! What an adapter adds to a matrix, and the two ways to add it: merged into numbers that are stored plainly, or as a second product
//! beside a matrix that stays quantised.
//!
//! LoRA (Hu et al., 2021): `W' = W + s·B·A`. DoRA (Liu et al., 2024, eq. 5): `W' = m ⊙ (W + s·B·A) / ‖W + s·B·A‖`, the norm that of a row
//! of outputs. An adapter that is applied with weight w takes the way to W' that far: `W + w·(W' − W)`. All of it is of one form,
//! `W ← g ⊙ W + B'·A` with g by output row, so parts of several adapters follow each other.

use tch::{Kind, Tensor};

use super::{TILE, Weight};
use crate::LowRankPair;

/// `W ← g ⊙ W + B·A`, float32 on the CPU until it is placed.
#[derive(Debug)]
pub(crate) struct LowRank {
    /// A, `[r, inputs]`.
    pub(crate) down: Tensor,
    /// B with all scales in it, `[outputs, r]`.
    pub(crate) up: Tensor,
    /// g, `[outputs]`; `None`: one everywhere.
    pub(crate) gain: Option<Tensor>,
}

/// A matrix with what adapters add to it, first to last, as second products: a quantised one, or one whose addition is being trained.
#[derive(Debug)]
pub(crate) struct Adapted {
    base: Weight,
    parts: Vec<LowRank>,
}

/// What the files say of one pair.
#[derive(Debug)]
pub(crate) struct Pair {
    /// A, `[r, inputs]`.
    pub(crate) down: Tensor,
    /// B, `[outputs, r]`.
    pub(crate) up: Tensor,
    /// s, α/r or α/√r.
    pub(crate) scale: f64,
    /// m of DoRA, `[outputs]`.
    pub(crate) magnitude: Option<Tensor>,
}

impl LowRank {
    /// The part of a pair that is applied with this weight to `base` as the parts before have made it.
    pub(crate) fn new(pair: &Pair, weight: f64, base: &Weight, before: &[Self]) -> Self {
        let float = |tensor: &Tensor| tensor.to_kind(Kind::Float);
        let (down, up) = (float(&pair.down), float(&pair.up) * pair.scale);
        let Some(magnitude) = &pair.magnitude else {
            return Self { down, up: up * weight, gain: None };
        };
        let norm_of = |(start, rows): (i64, i64)| {
            let tile = stretch(base, before, start, rows) + up.narrow(0, start, rows).matmul(&down);
            tile.square().sum_dim_intlist(1, false, Kind::Float).sqrt()
        };
        let norms: Vec<Tensor> = stretches(base).map(norm_of).collect();
        let full = float(magnitude) / Tensor::cat(&norms, 0);
        let up = up * full.unsqueeze(1) * weight;
        Self { down, up, gain: Some(full * weight + (1.0 - weight)) }
    }

    fn shared(&self) -> Self {
        Self {
            down: self.down.shallow_clone(),
            up: self.up.shallow_clone(),
            gain: self.gain.as_ref().map(Tensor::shallow_clone),
        }
    }

    fn placed(&self, base: &Weight) -> Self {
        let placed = |tensor: &Tensor| tensor.to_device_(base.device(), base.kind(), false, false);
        Self {
            down: placed(&self.down),
            up: placed(&self.up),
            gain: self.gain.as_ref().map(placed),
        }
    }
}

/// The matrix with these parts in it: numbers where `base` is stored plainly, in the type and on the device of `base` or in `kind`;
/// else a second product.
pub(crate) fn adapted(base: Weight, parts: Vec<LowRank>, kind: Kind) -> Weight {
    if parts.is_empty() {
        return base;
    }
    if !matches!(base, Weight::Dense(_)) {
        let parts = parts.iter().map(|part| part.placed(&base)).collect();
        return Weight::Adapted(Box::new(Adapted { base, parts }));
    }
    let merged = Tensor::empty(base.size(), (kind, base.device()));
    for (start, rows) in stretches(&base) {
        merged.narrow(0, start, rows).copy_(&stretch(&base, &parts, start, rows));
    }
    Weight::Dense(merged)
}

/// The matrix with a pair beside it, whatever it is stored as: products are part of the graph of both tensors of the pair.
pub(crate) fn beside(base: Weight, pair: &LowRankPair) -> Weight {
    let placed = |tensor: &Tensor| tensor.to_device_(base.device(), base.kind(), false, false);
    let part = LowRank { down: placed(&pair.down), up: placed(&pair.up), gain: None };
    Weight::Adapted(Box::new(Adapted { base, parts: vec![part] }))
}

/// Rows `start..start + rows` with these parts, in float32.
fn stretch(base: &Weight, parts: &[LowRank], start: i64, rows: i64) -> Tensor {
    parts.iter().fold(base.stretch(start, rows, Kind::Float), |tile, part| {
        let float = |tensor: &Tensor| tensor.narrow(0, start, rows).to_kind(Kind::Float);
        let tile = match &part.gain {
            Some(gain) => tile * float(gain).unsqueeze(1),
            None => tile,
        };
        tile + float(&part.up).matmul(&part.down.to_kind(Kind::Float))
    })
}

/// Starts and lengths of tiles of all rows.
pub(crate) fn stretches(weight: &Weight) -> impl Iterator<Item = (i64, i64)> + use<> {
    let [outputs, inputs] = weight.size();
    let rows = (TILE / inputs).max(1);
    (0..outputs).step_by(rows as usize).map(move |start| (start, rows.min(outputs - start)))
}

impl Adapted {
    pub(super) fn base(&self) -> &Weight {
        &self.base
    }

    pub(super) fn shared(&self) -> Self {
        Self { base: self.base.shared(), parts: self.parts.iter().map(LowRank::shared).collect() }
    }

    /// `x·W'ᵀ`: after the product with the matrix itself, `y ← g ⊙ y + (x·Aᵀ)·Bᵀ` part by part.
    pub(super) fn product(&self, x: &Tensor) -> Tensor {
        self.parts.iter().fold(self.base.product(x, None), |y, part| {
            let y = match &part.gain {
                Some(gain) => y * gain,
                None => y,
            };
            y + x.matmul(&part.down.tr()).matmul(&part.up.tr())
        })
    }

    /// `y·W'`, in float32 sums of products in the type of `y`: last part first.
    pub(super) fn product_back(
        &self,
        y: &Tensor,
        base: impl FnOnce(&Weight, &Tensor) -> Tensor,
    ) -> Tensor {
        let (mut y, mut beside) = (y.shallow_clone(), None);
        for part in self.parts.iter().rev() {
            let of = |tensor: &Tensor| tensor.to_kind(y.kind());
            let own = y.matmul(&of(&part.up)).matmul(&of(&part.down)).to_kind(Kind::Float);
            beside = Some(beside.map_or(own.shallow_clone(), |sum: Tensor| sum + own));
            if let Some(gain) = &part.gain {
                y = &y * gain.to_kind(y.kind());
            }
        }
        let through = base(&self.base, &y).to_kind(Kind::Float);
        beside.map_or(through.shallow_clone(), |beside| beside + through)
    }

    /// Rows `start..start + rows`, in float32.
    pub(super) fn stretch(&self, start: i64, rows: i64) -> Tensor {
        stretch(&self.base, &self.parts, start, rows)
    }

    /// The rows with these numbers, `[ids, inputs]`.
    pub(super) fn rows(&self, ids: &[u32]) -> Tensor {
        let wanted: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let wanted = Tensor::from_slice(&wanted).to_device(self.base.device());
        self.parts.iter().fold(self.base.rows(ids), |rows, part| {
            let rows = match &part.gain {
                Some(gain) => rows * gain.index_select(0, &wanted).unsqueeze(1),
                None => rows,
            };
            rows + part.up.index_select(0, &wanted).matmul(&part.down)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, quantised, random};
    use super::*;
    use tch::Device;

    fn pair(outputs: i64, inputs: i64, rank: i64, is_dora: bool) -> Pair {
        let magnitude = is_dora.then(|| random(&[outputs]).abs() + 0.5);
        let (down, up) = (random(&[rank, inputs]), random(&[outputs, rank]));
        Pair { down, up, scale: 0.25, magnitude }
    }

    /// W' by the formulas, in float64.
    fn defined(base: &Tensor, pairs: &[(&Pair, f64)]) -> Tensor {
        let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
        pairs.iter().fold(double(base), |before, (pair, weight)| {
            let sum = &before + double(&pair.up).matmul(&double(&pair.down)) * pair.scale;
            let after = match &pair.magnitude {
                None => sum,
                Some(m) => {
                    let norm = sum.norm_scalaropt_dim(2.0, [1], true);
                    sum / norm * double(m).unsqueeze(1)
                }
            };
            &before + (after - &before) * *weight
        })
    }

    fn parts(base: &Weight, pairs: &[(&Pair, f64)]) -> Vec<LowRank> {
        pairs.iter().fold(Vec::new(), |mut parts, (pair, weight)| {
            parts.push(LowRank::new(pair, *weight, base, &parts));
            parts
        })
    }

    /// A second product beside a quantised matrix is what merging into its numbers gives, and both are the formula; every tile.
    #[test]
    fn beside_and_merged_are_the_formula() {
        tch::manual_seed(11);
        let (outputs, inputs) = (4200, 1024);
        assert!(TILE < outputs * inputs);
        let (lora, dora) = (pair(outputs, inputs, 4, false), pair(outputs, inputs, 3, true));
        for pairs in [vec![(&lora, 1.0)], vec![(&dora, 1.0)], vec![(&dora, 0.5), (&lora, 2.0)]] {
            let (blocks, expanded) = quantised(outputs, inputs, Kind::Float);
            let expected = defined(&expanded, &pairs);
            let dense = Weight::Dense(expanded);
            let both = [
                adapted(
                    Weight::Dense(dense.stretch(0, outputs, Kind::Float)),
                    parts(&dense, &pairs),
                    Kind::Float,
                ),
                {
                    let parts = parts(&blocks, &pairs);
                    adapted(blocks, parts, Kind::Float)
                },
            ];
            assert!(matches!(both, [Weight::Dense(_), Weight::Adapted(_)]));
            let (x, y, bias) = (random(&[3, inputs]), random(&[2, outputs]), random(&[outputs]));
            for weight in both {
                let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
                let product = double(&x).matmul(&expected.tr()) + double(&bias);
                assert_same(&weight.product(&x, Some(&bias)), &product, 1e-5);
                let back = double(&y).matmul(&expected);
                assert_same(&weight.product_back(&y), &back, 1e-5);
                assert_same(&weight.product_back_wide(&y), &back, 1e-5);
                let ids = Tensor::from_slice(&[4199_i64, 0]);
                assert_same(&weight.rows(&[4199, 0]), &expected.index_select(0, &ids), 1e-5);
                let [low, high] = weight.range();
                assert!((high - expected.max().double_value(&[])).abs() < 1e-4 && low < 0.0);
            }
        }
    }

    /// Not at all, half way, and all the way.
    #[test]
    fn a_weight_says_how_far() {
        tch::manual_seed(12);
        let base = Weight::Dense(random(&[6, 5]));
        for pair in [pair(6, 5, 2, false), pair(6, 5, 2, true)] {
            let at = |weight| {
                adapted(
                    Weight::Dense(base.stretch(0, 6, Kind::Float)),
                    parts(&base, &[(&pair, weight)]),
                    Kind::Float,
                )
                .stretch(0, 6, Kind::Float)
            };
            let (none, half, all) = (at(0.0), at(0.5), at(1.0));
            assert_same(&none, &base.stretch(0, 6, Kind::Float), 1e-6);
            assert_same(&half, &((&none + &all) / 2.0), 1e-6);
            assert!((all - none).abs().max().double_value(&[]) > 0.1);
        }
    }

    #[test]
    fn a_graph_goes_through_and_bfloat16_stays_bfloat16() {
        tch::manual_seed(13);
        let (blocks, _) = quantised(40, 64, Kind::BFloat16);
        let pair = pair(40, 64, 2, true);
        let parts = parts(&blocks, &[(&pair, 1.0)]);
        let weight = adapted(blocks, parts, Kind::BFloat16);
        let x = random(&[3, 64]).to_kind(Kind::BFloat16).set_requires_grad(true);
        let y = weight.product(&x, None);
        assert_eq!(
            (y.kind(), weight.kind(), weight.device()),
            (Kind::BFloat16, Kind::BFloat16, Device::Cpu)
        );
        let dy = random(&[3, 40]).to_kind(Kind::BFloat16);
        let gradient = Tensor::run_backward(&[(y * &dy).sum(Kind::Float)], &[&x], false, false);
        assert_same(&weight.product_back(&dy), &gradient[0].to_kind(Kind::Double), 2e-2);
        assert_eq!(weight.product_back(&dy).kind(), Kind::BFloat16);
    }

    /// A pair in training: the product is that with the merged matrix, and gradients reach the pair and what is multiplied.
    #[test]
    fn a_pair_beside_is_part_of_the_graph() {
        tch::manual_seed(13);
        let leaf = |shape: &[i64]| random(shape).set_requires_grad(true);
        let (base, x, dy) = (random(&[6, 5]), leaf(&[4, 5]), random(&[4, 6]));
        let pair = LowRankPair { down: leaf(&[2, 5]), up: leaf(&[6, 2]) };
        let leaves = [&pair.down, &pair.up, &x];
        let pulled = |y: Tensor| {
            let z = (&y * &dy).sum(Kind::Float);
            (y, Tensor::run_backward(&[z], &leaves, false, false))
        };
        let merged = &base + pair.up.matmul(&pair.down);
        let (expected, gradients) = pulled(x.matmul(&merged.tr()));
        let (found, pulled) =
            pulled(beside(Weight::Dense(base.shallow_clone()), &pair).product(&x, None));
        assert_same(&found, &expected, 1e-6);
        for (found, expected) in pulled.iter().zip(&gradients) {
            assert_same(found, expected, 1e-5);
        }
    }
}
