//! Products of a row of numbers with rows of quantised weights, read as they are stored.
//!
//! Expanding a matrix to multiply one row with it writes and reads eight times the bytes that the file has. Here the row is rounded to
//! whole numbers once, with a scale for as many of them as share a scale in the weights, and each block is multiplied in integers where it
//! lies: a weight is `scale·code + offset`, so a group of them gives `scale·Σ code·x + offset·Σ x`. Both sums are exact; what is rounded is
//! x, and the float32 sums over groups.
//!
//! Processors multiply bytes. One byte for a number of x would change a product by half a percent of its size, three times what rounding
//! it to bfloat16 does. So a number of x has two bytes, of 8 and of 7 bits: the codes are multiplied with both, which costs two
//! instructions more where memory is what is waited for, and a product is as good as one in float32 for any model's purpose.

mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::BlockType;

/// A whole number is `128·high + low`.
const HIGH: i32 = 128;
/// The largest: 127 and 63. In −128 no byte ends up, so that products of pairs fit into 16 bits.
const LARGEST: f32 = 16_319.0;

/// Instructions of a processor that products are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instructions {
    /// What every processor has: the same numbers everywhere, and what the others are held against.
    Plain,
    /// AVX2, FMA and F16C of x86-64.
    Avx2,
    /// These, and products of four pairs of bytes to an instruction (AVX-VNNI).
    AvxVnni,
    /// The same as a part of AVX-512 (VNNI and VL), with more registers.
    Avx512Vnni,
}

impl Instructions {
    /// All that there are, slowest first.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni];

    /// The fastest that this processor has.
    pub fn here() -> Self {
        Self::ALL.into_iter().rfind(|instructions| instructions.are_here()).unwrap_or(Self::Plain)
    }

    /// Whether this processor has them.
    pub fn are_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let base = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            match self {
                Self::Plain => true,
                Self::Avx2 => base,
                Self::AvxVnni => base && is_x86_feature_detected!("avxvnni"),
                Self::Avx512Vnni => {
                    base && is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512vl")
                        && is_x86_feature_detected!("avx512vnni")
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Plain
        }
    }
}

/// A row of numbers, rounded to 15 bits, that rows of weights of one type are multiplied with.
///
/// ```
/// use quantised_weights::{Activations, BlockType};
///
/// // Two rows of one block of Q8_0: a scale in float16 (here 0.5), then 32 signed bytes.
/// let mut weights = vec![0x00, 0x38];
/// weights.extend([4_u8; 32]);
/// weights.extend([0x00, 0x38]);
/// weights.extend([254_u8; 32]); // −2
/// let x = Activations::of(&[1.0; 32], BlockType::Q8_0).expect("one block");
/// let mut products = [0.0; 2];
/// x.products(&weights, &mut products);
/// assert!((products[0] - 64.0).abs() < 1e-4 && (products[1] + 32.0).abs() < 1e-4);
/// ```
#[derive(Clone, Debug)]
pub struct Activations {
    blocks: BlockType,
    /// Of each 32 numbers the high bytes, then the low ones.
    bytes: Vec<i8>,
    /// What one of them stands for, by group.
    scales: Vec<f32>,
    /// What all numbers of a group stand for together.
    sums: Vec<f32>,
}

impl Activations {
    /// `row`, prepared for weights of that type. A group of 16 or 32 numbers, those that share a scale in the weights, is rounded to
    /// whole multiples of 1/16319 of its largest.
    ///
    /// A group with a number that is not finite makes every product NaN; one whose numbers are all smaller than 10⁻³⁴ counts as zero.
    ///
    /// `None` where the type is not quantised (`F32`, `F16`, `BF16`), or where `row` does not fill whole blocks.
    pub fn of(row: &[f32], blocks: BlockType) -> Option<Self> {
        let group = group(blocks)?;
        blocks.row_bytes(row.len())?;
        let mut wholes = vec![0_i32; row.len()];
        let groups = row.len() / group;
        let (mut scales, mut sums) = (Vec::with_capacity(groups), Vec::with_capacity(groups));
        for (numbers, wholes) in row.chunks_exact(group).zip(wholes.chunks_exact_mut(group)) {
            // Without the sign, the bits of floats are in the order of the numbers: infinity and NaN come last.
            let largest =
                numbers.iter().fold(0, |largest, x| largest.max(x.abs().to_bits() as i32));
            let largest = f32::from_bits(largest.cast_unsigned());
            let scale = if largest.is_finite() { largest / LARGEST } else { f32::NAN };
            // The reciprocal of a number below the normal ones may be infinite.
            let (scale, per_scale) =
                if scale < f32::MIN_POSITIVE { (0.0, 0.0) } else { (scale, 1.0 / scale) };
            if largest.is_finite() {
                for (whole, x) in wholes.iter_mut().zip(numbers) {
                    *whole = rounded(x * per_scale);
                }
            }
            scales.push(scale);
            sums.push(scale * wholes.iter().sum::<i32>() as f32);
        }
        let mut bytes = vec![0_i8; 2 * row.len()];
        for (bytes, wholes) in bytes.chunks_exact_mut(64).zip(wholes.chunks_exact(32)) {
            let (high, low) = bytes.split_at_mut(32);
            for ((high, low), whole) in high.iter_mut().zip(low).zip(wholes) {
                *high = ((whole + HIGH / 2) >> HIGH.ilog2()) as i8;
                *low = (whole - HIGH * i32::from(*high)) as i8;
            }
        }
        Some(Self { blocks, bytes, scales, sums })
    }

    /// The type of the weights that it is prepared for.
    pub fn blocks(&self) -> BlockType {
        self.blocks
    }

    /// `out[i] = x · weights[i]`: `weights` holds as many rows, one behind the other, as `out` has numbers. Sums are float32. Made on the
    /// caller's thread, with the fastest instructions of the processor ([`Instructions::here`]); threads may share the rows.
    ///
    /// # Panics
    /// If `weights` does not have as many bytes as these rows.
    pub fn products(&self, weights: &[u8], out: &mut [f32]) {
        self.products_with(Instructions::here(), weights, out);
    }

    /// [`Activations::products`] with instructions of the caller's choice. They differ in the order of float32 sums alone.
    ///
    /// # Panics
    /// Also where the processor does not have the instructions.
    pub fn products_with(&self, instructions: Instructions, weights: &[u8], out: &mut [f32]) {
        let row = self.bytes.len() / 2 / self.blocks.weights() * self.blocks.bytes();
        assert_eq!(Some(weights.len()), row.checked_mul(out.len()), "bytes of the rows");
        assert!(instructions.are_here(), "{instructions:?}: the processor does not have them");
        if row == 0 {
            return out.fill(0.0);
        }
        #[cfg(target_arch = "x86_64")]
        {
            let work: Option<Products> = match instructions {
                Instructions::Plain => None,
                Instructions::Avx2 => Some(x86::avx2::products),
                Instructions::AvxVnni => Some(x86::avx_vnni::products),
                Instructions::Avx512Vnni => Some(x86::avx512_vnni::products),
            };
            if let Some(work) = work {
                // SAFETY: the functions ask for nothing but their instructions, which the processor has.
                #[expect(
                    unsafe_code,
                    reason = "the compiler cannot know which processor it will be"
                )]
                return unsafe { work(self, weights, out) };
            }
        }
        for (out, weights) in out.iter_mut().zip(weights.chunks_exact(row)) {
            *out = plain::product(self, weights);
        }
    }
}

/// [`Activations::products`], compiled for some processors.
#[cfg(target_arch = "x86_64")]
type Products = unsafe fn(&Activations, &[u8], &mut [f32]);

/// The nearest whole number, of two equally near ones the even one, of a number whose size is below 2²¹; anything for others.
fn rounded(x: f32) -> i32 {
    /// Between 2²³ and 2²⁴ float32 has whole numbers alone, so that adding rounds, and they follow each other as their bits do.
    const WHOLE: f32 = 12_582_912.0;
    (x + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits()).cast_signed()
}

/// Weights that share a scale; `None` where none do.
fn group(blocks: BlockType) -> Option<usize> {
    match blocks {
        BlockType::F32 | BlockType::F16 | BlockType::BF16 => None,
        BlockType::Q2K | BlockType::Q3K | BlockType::Q6K => Some(16),
        _ => Some(32),
    }
}
