//! Numbers drawn from a seed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One stream of one seed. A part with its own stream is unchanged when another part draws more or fewer numbers.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    pub(crate) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// From 0 to below 1, in steps of 2⁻²⁴: every step is a float.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1 << 24) as f32
    }

    pub(crate) fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// An index below `count`, which is not zero.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        ((u64::from(self.bits()) * count as u64) >> 32) as usize
    }

    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// An index with a chance that is proportional to its weight; none where no weight is above zero.
    pub(crate) fn weighted(&mut self, weights: &[f32]) -> Option<usize> {
        let total: f32 = weights.iter().map(|w| w.max(0.0)).sum();
        let mut rest = self.unit() * total;
        let mut last = None;
        for (index, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            last = Some(index);
            rest -= weight;
            if rest < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept() {
        let mut draw = Draw::new(3, 0);
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[draw.weighted(&[1.0, 0.0, 3.0, -1.0]).unwrap()] += 1;
        }
        assert_eq!(counts[1] + counts[3], 0);
        // Four standard deviations of 4000 draws with probability 1/4.
        assert!((counts[0] - 1000i32).abs() < 110, "{counts:?}");
        assert_eq!(draw.weighted(&[0.0, 0.0]), None);
        assert!((0..1000).all(|_| draw.index(3) < 3 && draw.unit() < 1.0));
    }
}
