//! A matrix whose rows stand in another order, each with its sign or the other: a layer that learnt nothing, of numbers that are as large.
//!
//! Nothing is stored but the order and the signs, so that a model of any size and of any form of storage can be asked what its maps look
//! like when layers know nothing (Adebayo et al., Sanity Checks for Saliency Maps, 2018, who drew new weights).

use super::Weight;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

/// `W'[i] = s[i] · W[order[i]]`.
#[derive(Debug)]
pub(crate) struct Shuffled {
    base: Weight,
    /// For each output the row of the base, int64 `[outputs]`.
    order: Tensor,
    /// For each row of the base its output, int64 `[outputs]`.
    place: Tensor,
    /// −1 or 1, in the type that products are made in, `[outputs]`.
    signs: Tensor,
}

impl Shuffled {
    pub(super) fn new(base: Weight, random: &mut ChaCha8Rng) -> Self {
        let outputs = base.size()[0];
        let mut order: Vec<i64> = (0..outputs).collect();
        order.shuffle(random);
        let mut place = vec![0_i64; order.len()];
        for (output, &row) in (0..).zip(&order) {
            place[row as usize] = output;
        }
        let signs: Vec<f32> =
            order.iter().map(|_| if random.random() { 1.0 } else { -1.0 }).collect();
        let (device, kind) = (base.device(), base.kind());
        Self {
            order: Tensor::from_slice(&order).to_device(device),
            place: Tensor::from_slice(&place).to_device(device),
            signs: Tensor::from_slice(&signs).to_device_(device, kind, false, false),
            base,
        }
    }

    pub(super) fn shared(&self) -> Self {
        Self {
            base: self.base.shared(),
            order: self.order.shallow_clone(),
            place: self.place.shallow_clone(),
            signs: self.signs.shallow_clone(),
        }
    }

    pub(super) fn base(&self) -> &Weight {
        &self.base
    }

    pub(super) fn product(&self, x: &Tensor) -> Tensor {
        self.base.product(x, None).index_select(-1, &self.order) * &self.signs
    }

    /// The gradient at the outputs of the base, from that at the outputs.
    pub(super) fn sorted(&self, y: &Tensor) -> Tensor {
        (y * self.signs.to_kind(y.kind())).index_select(-1, &self.place)
    }

    /// The rows with these numbers, `[ids, inputs]`.
    pub(super) fn rows(&self, ids: &[i64]) -> Tensor {
        let ids = Tensor::from_slice(ids).to_device(self.base.device());
        let rows = Vec::<i64>::try_from(self.order.index_select(0, &ids)).expect("numbers of rows");
        let rows: Vec<u32> = rows.into_iter().map(|row| row as u32).collect();
        self.base.rows(&rows) * self.signs.index_select(0, &ids).unsqueeze(1)
    }

    /// Rows `start..start + rows`, in float32.
    pub(super) fn stretch(&self, start: i64, rows: i64) -> Tensor {
        self.rows(&(start..start + rows).collect::<Vec<_>>()).to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, quantised, random};
    use super::*;
    use rand::SeedableRng;
    use tch::Device;

    /// Every product is that with the matrix whose rows were moved, stored plainly or quantised; and all rows are still there.
    #[test]
    fn products_are_those_with_the_matrix_that_was_shuffled() {
        tch::manual_seed(14);
        let (outputs, inputs) = (4200, 1024);
        let (blocks, expanded) = quantised(outputs, inputs, Kind::Float);
        for base in [blocks, Weight::Dense(expanded.shallow_clone())] {
            let mut seeded = ChaCha8Rng::seed_from_u64(3);
            let weight = base.shuffled(&mut seeded);
            let all = weight.stretch(0, outputs, Kind::Float);
            let (found, _) = all.abs().sum_dim_intlist(1, false, Kind::Double).sort(0, false);
            let (rows, _) = expanded.abs().sum_dim_intlist(1, false, Kind::Double).sort(0, false);
            assert_same(&found, &rows, 1e-9);
            let moved = (&all - &expanded).abs().sum_dim_intlist(1, false, Kind::Double);
            let same = moved.eq(0.0).sum(Kind::Int64).int64_value(&[]);
            assert!(same < 100, "{same} rows stayed where they were");
            let (x, y, bias) = (random(&[3, inputs]), random(&[2, outputs]), random(&[outputs]));
            assert_same(&weight.product(&x, Some(&bias)), &x.linear(&all, Some(&bias)), 1e-6);
            assert_same(&weight.product_back(&y), &y.matmul(&all), 2e-6);
            assert_same(&weight.product_back_wide(&y), &y.matmul(&all), 2e-6);
            let ids = Tensor::from_slice(&[4199_i64, 0]);
            assert_eq!(weight.rows(&[4199, 0]), all.index_select(0, &ids));
            assert_eq!(weight.size(), [outputs, inputs]);
        }
    }

    #[test]
    fn a_graph_goes_through_and_bfloat16_stays_bfloat16() {
        tch::manual_seed(15);
        let (blocks, _) = quantised(40, 64, Kind::BFloat16);
        let weight = blocks.shuffled(&mut ChaCha8Rng::seed_from_u64(1));
        let x = random(&[3, 64]).to_kind(Kind::BFloat16).set_requires_grad(true);
        let y = weight.product(&x, None);
        assert_eq!((y.kind(), weight.device()), (Kind::BFloat16, Device::Cpu));
        let dy = random(&[3, 40]).to_kind(Kind::BFloat16);
        let gradient = Tensor::run_backward(&[(y * &dy).sum(Kind::Float)], &[&x], false, false);
        assert_same(&weight.product_back(&dy), &gradient[0].to_kind(Kind::Double), 2e-2);
    }
}
