//! Numbers that look random and are the same each time.

/// Each number is the mix of `SplitMix64` (Steele, Lea and Flood 2014) of the one before.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let sum = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
        (self.0 % count as u64) as usize
    }
}
