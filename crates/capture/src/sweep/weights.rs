//! The row rule of `attention-relevancy` for many rows at once, on the device where they are.

use attention_relevancy::{RowRule, RowWeights};
use tch::{Kind, Tensor};

/// The weights α and β of some rows of the transition, `[T, b]` as `row` is: [`RowRule::weights`] on the device. `sums` gives the sums of
/// the rows of Ā, `[T, b]`, and is asked only where they matter.
pub(super) fn row_weights(
    rule: RowRule,
    row: &Tensor,
    sums: impl FnOnce() -> Tensor,
) -> [Tensor; 2] {
    match rule {
        RowRule::Fixed(RowWeights { identity, attention }) => {
            [identity, attention].map(|weight| row.full_like(weight))
        }
        RowRule::Normalized(RowWeights { identity, attention }) => {
            let sums = sums();
            let empty = sums.eq(0.0);
            let alpha = empty.to_kind(Kind::Float) * attention + identity;
            let beta = (sums.reciprocal() * attention).masked_fill(&empty, 0.0);
            [alpha, beta]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention_relevancy::Update;
    use tch::Device;

    #[test]
    fn weights_on_the_device_are_those_of_the_definition() {
        let sums = [0.0, 1e-30, 0.3, 1.0, 7.5, 3e30];
        for update in [Update::Additive, Update::Stochastic] {
            let row = Tensor::ones([1, sums.len() as i64], (Kind::Float, Device::Cpu));
            let of = || Tensor::from_slice(&sums).to_kind(Kind::Float).view([1, -1]);
            let found = row_weights(update.rule(), &row, of);
            for (at, &sum) in sums.iter().enumerate() {
                let RowWeights { identity, attention } = update.weights(f64::from(sum as f32));
                let found = found.each_ref().map(|x| x.double_value(&[0, at as i64]));
                let expected = [identity, attention].map(|x| f64::from(x as f32));
                assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits), "{sum}");
            }
        }
    }
}
