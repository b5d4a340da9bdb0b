//! Products with quantised rows: every set of instructions that this processor has against the plain ones, and both against the numbers
//! that the blocks stand for, within what rounding x to 15 bits may change.

use half::f16;
use quantised_weights::{Activations, BlockType, Instructions};

/// Where the float16 numbers of a block stand, and whether the second of them is the scale of offsets.
const TYPES: [(BlockType, &[usize]); 10] = [
    (BlockType::Q4_0, &[0]),
    (BlockType::Q4_1, &[0, 2]),
    (BlockType::Q5_0, &[0]),
    (BlockType::Q5_1, &[0, 2]),
    (BlockType::Q8_0, &[0]),
    (BlockType::Q2K, &[80, 82]),
    (BlockType::Q3K, &[108]),
    (BlockType::Q4K, &[0, 2]),
    (BlockType::Q5K, &[0, 2]),
    (BlockType::Q6K, &[208]),
];
const ROWS: usize = 16;

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// From −1 to 1.
    fn number(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A row whose groups differ much in size; most numbers are positive, so that offsets matter.
    fn row(&mut self, width: usize) -> Vec<f32> {
        let sizes: Vec<f32> = (0..width / 16).map(|_| (4.0 * self.number()).exp()).collect();
        (0..width).map(|index| sizes[index / 16] * (self.number() + 0.5)).collect()
    }

    /// Any bytes, but scales between 2⁻⁷ and 2⁻⁵ of either sign.
    fn blocks(&mut self, count: usize, blocks: BlockType, floats: &[usize]) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count * blocks.bytes()).map(|_| self.bits() as u8).collect();
        for block in bytes.chunks_exact_mut(blocks.bytes()) {
            for &at in floats {
                let sign = if self.bits().is_multiple_of(4) { -1.0 } else { 1.0 };
                let scale = f16::from_f32(sign * (2.0 * self.number()).exp2() / 64.0);
                block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        bytes
    }
}

/// A matrix of one type, and a row to multiply with it.
struct Case {
    blocks: BlockType,
    floats: &'static [usize],
    x: Vec<f32>,
    bytes: Vec<u8>,
}

impl Case {
    /// Every type, one block wide, and wide enough for many of them; widths in blocks of 32 are odd, too.
    fn all() -> impl Iterator<Item = Self> {
        let mut random = Random(7);
        TYPES.into_iter().flat_map(|row| [1, 2, 3, 9].map(|n| (row, n))).map(
            move |((blocks, floats), n)| {
                let x = random.row(n * blocks.weights());
                Self { blocks, floats, x, bytes: random.blocks(n * ROWS, blocks, floats) }
            },
        )
    }

    fn numbers(&self, bytes: &[u8]) -> Vec<f32> {
        let mut numbers = vec![0.0; ROWS * self.x.len()];
        self.blocks.dequantise(bytes, &mut numbers);
        numbers
    }

    fn found(&self, instructions: Instructions) -> Vec<f32> {
        let x = Activations::of(&self.x, self.blocks).expect("whole blocks");
        assert_eq!(x.blocks(), self.blocks);
        let mut out = vec![f32::NAN; ROWS];
        x.products_with(instructions, &self.bytes, &mut out);
        out
    }

    /// What float32 sums may differ by: the largest weight times all of x, of which each of some dozen additions rounds 2⁻²⁴ off.
    fn allowed_sum(&self) -> f64 {
        let numbers = self.numbers(&self.bytes);
        let largest = numbers.iter().fold(0_f32, |largest, w| largest.max(w.abs()));
        f64::MIN_POSITIVE
            + 1e-6 * f64::from(largest) * self.x.iter().map(|x| f64::from(x.abs())).sum::<f64>()
    }

    /// How far each product is from that with `numbers`, in units of what is allowed: half of 1/16319 of the largest x of the group for
    /// each weight, all of one sign, and the sums.
    fn excess(&self, found: &[f32], numbers: &[f32]) -> Vec<f64> {
        let group = match self.blocks {
            BlockType::Q2K | BlockType::Q3K | BlockType::Q6K => 16,
            _ => 32,
        };
        let largest = |x: &[f32]| x.iter().fold(0_f32, |largest, x| largest.max(x.abs()));
        let steps: Vec<f32> = self.x.chunks_exact(group).map(largest).collect();
        let sums = self.allowed_sum();
        let one = |(found, weights): (&f32, &[f32])| {
            let pairs = || self.x.iter().zip(weights);
            let exact: f64 = pairs().map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            let rounding = weights
                .iter()
                .enumerate()
                .map(|(index, w)| f64::from(w.abs()) * f64::from(steps[index / group]) / 32_638.0);
            (f64::from(*found) - exact).abs() / (rounding.sum::<f64>() + sums)
        };
        found.iter().zip(numbers.chunks_exact(self.x.len())).map(one).collect()
    }

    /// [`Case::excess`] of the row where it is largest.
    fn largest_excess(&self, numbers: &[f32]) -> f64 {
        self.excess(&self.found(Instructions::Plain), numbers).into_iter().fold(0.0, f64::max)
    }
}

fn here() -> impl Iterator<Item = Instructions> {
    Instructions::ALL.into_iter().filter(|instructions| instructions.are_here())
}

#[test]
fn every_set_of_instructions_gives_what_the_plain_ones_give() {
    assert!(Instructions::here().are_here());
    for case in Case::all() {
        let (plain, allowed) = (case.found(Instructions::Plain), case.allowed_sum());
        for instructions in here() {
            for (found, plain) in case.found(instructions).iter().zip(&plain) {
                let distance = (f64::from(*found) - f64::from(*plain)).abs();
                let name = case.blocks.name();
                assert!(distance <= allowed, "{instructions:?} {name}: {found} {plain}");
            }
        }
    }
}

#[test]
fn products_are_those_with_the_numbers_that_blocks_stand_for() {
    for case in Case::all() {
        let numbers = case.numbers(&case.bytes);
        for instructions in here() {
            let excess = case.excess(&case.found(instructions), &numbers);
            assert!(excess.iter().all(|&e| e <= 1.0), "{instructions:?} {}", case.blocks.name());
        }
    }
}

/// The tolerance above is no licence: what a mistake in the layout would give lies outside of it.
#[test]
fn mistakes_are_further_off_than_rounding() {
    for case in Case::all() {
        let (name, numbers) = (case.blocks.name(), case.numbers(&case.bytes));
        let moved = |to: fn(usize) -> usize| -> Vec<f32> {
            (0..numbers.len()).map(|index| numbers[to(index)]).collect()
        };
        // Neighbours for halves of a byte, groups in another order.
        assert!(2.0 < case.largest_excess(&moved(|index| index ^ 1)), "{name}");
        assert!(2.0 < case.largest_excess(&moved(|index| index ^ 16)), "{name}");
        // Without offsets, and with those of another sign.
        let Some(&at) = case.floats.get(1) else { continue };
        for change in [|_: f16| f16::ZERO, |offset: f16| -offset] {
            let mut bytes = case.bytes.clone();
            for block in bytes.chunks_exact_mut(case.blocks.bytes()) {
                let offset = f16::from_le_bytes([block[at], block[at + 1]]);
                block[at..at + 2].copy_from_slice(&change(offset).to_le_bytes());
            }
            assert!(2.0 < case.largest_excess(&case.numbers(&bytes)), "{name}");
        }
    }
}

/// The extremes of both sides: nothing runs over 16 bits.
#[test]
fn the_largest_codes_fit() {
    for (blocks, floats) in TYPES {
        for fill in [0x00, 0x7F, 0x80, 0xFF] {
            let mut bytes = vec![fill; ROWS * blocks.bytes()];
            for block in bytes.chunks_exact_mut(blocks.bytes()) {
                for &at in floats {
                    block[at..at + 2].copy_from_slice(&f16::from_f32(0.125).to_le_bytes());
                }
            }
            for sign in [1.0, -1.0] {
                let x = vec![sign * 3.0; blocks.weights()];
                let case = Case { blocks, floats, x, bytes: bytes.clone() };
                let numbers = case.numbers(&bytes);
                for instructions in here() {
                    let excess = case.excess(&case.found(instructions), &numbers);
                    assert!(excess.iter().all(|&e| e <= 1.0), "{instructions:?} {}", blocks.name());
                }
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_are_seen_and_tiny_ones_are_zero() {
    for (blocks, floats) in TYPES {
        let bytes = Random(5).blocks(ROWS, blocks, floats);
        let with = |index: usize, value: f32| {
            let mut x = vec![0.0; blocks.weights()];
            x[index] = value;
            Case { blocks, floats, x, bytes: bytes.clone() }
        };
        for instructions in here() {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let found = with(blocks.weights() - 1, value).found(instructions);
                assert!(found.iter().all(|y| y.is_nan()), "{instructions:?} {}", blocks.name());
            }
            for value in [0.0, 1e-45, 1e-35] {
                let found = with(3, value).found(instructions);
                assert!(found.iter().all(|y| y.abs() < f32::MIN_POSITIVE), "{}", blocks.name());
            }
        }
    }
}

#[test]
fn only_whole_blocks_of_quantised_weights_are_multiplied() {
    for blocks in [BlockType::F32, BlockType::F16, BlockType::BF16] {
        assert!(Activations::of(&[1.0; 256], blocks).is_none());
    }
    assert!(Activations::of(&[1.0; 48], BlockType::Q8_0).is_none());
    assert!(Activations::of(&[1.0; 128], BlockType::Q4K).is_none());
    let nothing = Activations::of(&[], BlockType::Q4K).unwrap();
    let mut out = [1.0; 2];
    nothing.products(&[], &mut out);
    assert_eq!(out.map(f32::to_bits), [0, 0]);
}

#[test]
#[should_panic(expected = "bytes of the rows")]
fn rows_that_are_cut_short_are_refused() {
    let x = Activations::of(&[1.0; 64], BlockType::Q8_0).unwrap();
    x.products(&[0; 3 * 34], &mut [0.0; 2]);
}
