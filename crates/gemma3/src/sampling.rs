//! Choosing the next token from its logits.

use rand::{Rng, RngExt};

/// How a token is drawn. Applied in transformers' order: temperature, then `top_k`, then `top_p`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; > 0.
    pub temperature: f64,
    /// Only the `k` most likely tokens; 0: all.
    pub top_k: usize,
    /// Only the smallest set of most likely tokens whose probability reaches this; 1: all.
    pub top_p: f64,
    /// Of the random numbers: the same seed gives the same text.
    pub seed: u64,
}

/// The token with the largest logit, the first of equals.
pub(crate) fn greedy(logits: &[f32]) -> u32 {
    let best = |best: usize, index: usize| if logits[best] < logits[index] { index } else { best };
    (0..logits.len()).reduce(best).expect("a vocabulary is not empty") as u32
}

/// Draws a token.
pub(crate) fn draw(logits: &[f32], sampling: &Sampling, random: &mut impl Rng) -> u32 {
    let mut ranked: Vec<u32> = (0..logits.len() as u32).collect();
    let descending =
        |&a: &u32, &b: &u32| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b));
    if (1..ranked.len()).contains(&sampling.top_k) {
        ranked.select_nth_unstable_by(sampling.top_k, descending);
        ranked.truncate(sampling.top_k);
    }
    ranked.sort_unstable_by(descending);
    let top = f64::from(logits[ranked[0] as usize]);
    let weight = |&id: &u32| ((f64::from(logits[id as usize]) - top) / sampling.temperature).exp();
    let weights: Vec<f64> = ranked.iter().map(weight).collect();
    let kept = nucleus(&weights, sampling.top_p);
    let mut rest = random.random::<f64>() * weights[..kept].iter().sum::<f64>();
    let drawn = weights[..kept].iter().position(|weight| {
        rest -= weight;
        rest < 0.0
    });
    ranked[drawn.unwrap_or(kept - 1)]
}

/// How many of the descending `weights` it takes to reach the share `top_p`: at least one.
fn nucleus(weights: &[f64], top_p: f64) -> usize {
    let goal = top_p * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let reached = weights.iter().position(|weight| {
        sum += weight;
        goal <= sum
    });
    reached.map_or(weights.len(), |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const ALL: Sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0 };

    fn frequencies(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
        const DRAWS: usize = 20_000;
        let mut random = ChaCha8Rng::seed_from_u64(sampling.seed);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..DRAWS {
            counts[draw(logits, sampling, &mut random) as usize] += 1.0 / DRAWS as f64;
        }
        counts
    }

    fn assert_near(found: &[f64], expected: &[f64]) {
        // Four standard deviations of a frequency over 20 000 draws.
        assert!(
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.015),
            "{found:?} {expected:?}"
        );
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.5f32.ln(), 0.2f32.ln(), 0.3f32.ln()];
        assert_near(&frequencies(&logits, &ALL), &[0.5, 0.2, 0.3]);
        let cold = Sampling { temperature: 0.5, ..ALL };
        let total = 0.25 + 0.04 + 0.09;
        assert_near(&frequencies(&logits, &cold), &[0.25 / total, 0.04 / total, 0.09 / total]);
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let logits = [0.5f32.ln(), 0.2f32.ln(), 0.3f32.ln()];
        assert_near(&frequencies(&logits, &Sampling { top_k: 2, ..ALL }), &[0.625, 0.0, 0.375]);
        assert_near(&frequencies(&logits, &Sampling { top_p: 0.6, ..ALL }), &[0.625, 0.0, 0.375]);
        assert_near(&frequencies(&logits, &Sampling { top_p: 0.0, ..ALL }), &[1.0, 0.0, 0.0]);
    }

    #[test]
    fn greedy_takes_the_first_of_equals() {
        assert_eq!(greedy(&[0.0, 2.0, 2.0, 1.0]), 1);
    }
}
