//! The logarithm of a token's probability and that of its odds, and their gradients at the logits.
//!
//! Those of the probability are small differences where the model is sure of the token: `log p` is near zero, and of the gradient, one-hot − p, every entry is.
//! In float32 `1 − p` is exactly zero from 1 − p ≈ 6·10⁻⁸ on, in bfloat16 from 4·10⁻³ on. What is left is as good a gradient as any other,
//! only shorter, so neither is made by a subtraction here: all is said by what the other tokens of the vocabulary have.

use tch::{Kind, Tensor};

/// The logarithm of the probability of one token a row, `[n]` float32, from logits `[n, V]`; part of the graph where they are.
///
/// `log p_y = −ln(1 + Σ_{v≠y} exp(z_v − z_y))`.
pub(crate) fn log_probabilities(logits: &Tensor, tokens: &[u32]) -> Tensor {
    log_odds(logits, tokens).log_sigmoid()
}

/// The logarithm of the odds of one token a row, `[n]` float32, from logits `[n, V]`; part of the graph where they are.
///
/// `ln(p_y/(1 − p_y)) = z_y − ln Σ_{v≠y} exp(z_v)`.
pub(crate) fn log_odds(logits: &Tensor, tokens: &[u32]) -> Tensor {
    let (logits, own) = (logits.to_kind(Kind::Float), column(tokens, logits));
    let others = logits.scatter_value(1, &own, f64::NEG_INFINITY).logsumexp([1], true); // [n, 1]
    (logits.gather(1, &own, false) - others).squeeze_dim(1)
}

/// The gradient of [`log_odds`] at the logits, one-hot − q, `[n, V]` float32: q are the probabilities of the others among themselves.
pub(crate) fn log_odds_gradients(logits: &Tensor, tokens: &[u32]) -> Tensor {
    let own = column(tokens, logits);
    let others = logits.to_kind(Kind::Float).scatter_value(1, &own, f64::NEG_INFINITY);
    others.softmax(-1, Kind::Float).neg().scatter_value(1, &own, 1.0)
}

/// The gradient of [`log_probabilities`] at the logits, one-hot − p, `[n, V]` float32. Each row sums to zero to the accuracy of float32
/// relative to its largest entry, which is `1 − p_y = Σ_{v≠y} p_v`.
pub(crate) fn log_probability_gradients(logits: &Tensor, tokens: &[u32]) -> Tensor {
    let own = column(tokens, logits);
    let others = logits.softmax(-1, Kind::Float).scatter_value(1, &own, 0.0);
    let rest = others.sum_dim_intlist(1, true, Kind::Float);
    others.neg().scatter(1, &own, &rest)
}

/// Tokens as an index of one column in each row, `[n, 1]`.
pub(crate) fn column(tokens: &[u32], beside: &Tensor) -> Tensor {
    let tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
    Tensor::from_slice(&tokens).to_device(beside.device()).unsqueeze(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Logits of three rows over 40 tokens in float64; the first token has `gap` more than the rest have about.
    fn logits(gap: f64) -> Tensor {
        let logits = Tensor::randn([3, 40], (Kind::Double, Device::Cpu));
        let _ = logits.narrow(1, 0, 1).g_add_scalar_(gap);
        logits.to_kind(Kind::Float).to_kind(Kind::Double) // numbers that float32 has
    }

    /// Largest difference over the largest number.
    fn off(found: &Tensor, expected: &Tensor) -> f64 {
        let difference = (found.to_kind(Kind::Double) - expected).abs().max();
        (difference / expected.abs().max()).double_value(&[])
    }

    /// Float64 has 1 − p to nine digits where it is 10⁻⁷, so there the plain formulas are a reference. At a gap of 60 it is 10⁻²⁵.
    #[test]
    fn sure_and_unsure_tokens_have_the_numbers_of_float64() {
        tch::manual_seed(4);
        for gap in [-8.0, 0.0, 4.0, 12.0, 20.0] {
            let exact = logits(gap);
            let plain = exact.log_softmax(-1, Kind::Double).narrow(1, 0, 1).squeeze_dim(1);
            let narrow = exact.to_kind(Kind::Float).set_requires_grad(true);
            let found = log_probabilities(&narrow, &[0; 3]);
            assert!(off(&found.detach(), &plain) < 1e-6, "gap {gap}: {found} {plain}");

            let one_hot = Tensor::zeros([3, 40], (Kind::Double, Device::Cpu));
            let _ = one_hot.narrow(1, 0, 1).fill_(1.0);
            let plain = one_hot - exact.softmax(-1, Kind::Double);
            let by_hand = log_probability_gradients(&narrow.detach(), &[0; 3]);
            let sum = found.sum(Kind::Float);
            let autograd = Tensor::run_backward(&[sum], &[&narrow], false, false).remove(0);
            for found in [&by_hand, &autograd] {
                assert!(off(found, &plain) < 1e-6, "gap {gap}");
            }
            // Over 1 − p it is that of the odds.
            let rest = plain.narrow(1, 0, 1);
            let odds = log_odds(&narrow, &[0; 3]);
            let p = exact.softmax(-1, Kind::Double).narrow(1, 0, 1).squeeze_dim(1);
            assert!(
                off(&odds.detach(), &(p.log() - rest.squeeze_dim(1).log())) < 1e-6,
                "gap {gap}"
            );
            let by_hand = log_odds_gradients(&narrow.detach(), &[0; 3]);
            let sum = odds.sum(Kind::Float);
            let autograd = Tensor::run_backward(&[sum], &[&narrow], false, false).remove(0);
            for found in [&by_hand, &autograd] {
                assert!(off(found, &(&plain / &rest)) < 1e-6, "gap {gap}");
            }
        }
    }

    #[test]
    fn a_token_surer_than_one_in_ten_to_the_25_has_a_gradient_that_sums_to_zero() {
        tch::manual_seed(5);
        let gradients = log_probability_gradients(&logits(60.0).to_kind(Kind::Float), &[0; 3]);
        let own = gradients.narrow(1, 0, 1);
        let sums = gradients.sum_dim_intlist(1, true, Kind::Double) / &own;
        assert!(0.0 < own.min().double_value(&[]) && own.max().double_value(&[]) < 1e-20);
        assert!(sums.abs().max().double_value(&[]) < 1e-6);
    }
}
