//! Products in vector registers of 256 bits, 32 codes to a register.
//!
//! Reading a type's blocks takes AVX2 and is written once; the loops over blocks are compiled for each set of instructions, because what
//! they differ in, the sum of products of bytes, stands in the middle of them. That sum takes bytes without a sign on one side: codes as
//! they are stored, before anything is taken off. What is taken off comes back in the offset of the group.

use super::{Activations, HIGH};
use crate::BlockType;
use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_add_ps, _mm_add_ss, _mm_cvtsi32_si128, _mm_cvtsi64x_si128,
    _mm_cvtss_f32, _mm_movehl_ps, _mm_set_ss, _mm_set1_epi16, _mm_shuffle_ps, _mm_srli_epi16,
    _mm256_abs_epi8, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256, _mm256_castps256_ps128,
    _mm256_cmpeq_epi8, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtph_ps,
    _mm256_dpbusd_avx_epi32, _mm256_dpbusd_epi32, _mm256_extractf128_ps, _mm256_fmadd_ps,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_or_si256,
    _mm256_permutevar8x32_ps, _mm256_set_m128i, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_sign_epi8, _mm256_slli_epi16, _mm256_slli_epi32, _mm256_srl_epi16,
    _mm256_xor_ps, _mm256_zextps128_ps256,
};

/// A block of 32 weights, with the numbers that its codes are multiplied with.
struct Small {
    codes: __m256i,
    /// High and low bytes.
    x: [__m256i; 2],
    /// In every lane.
    scale: __m256,
    /// In every lane; `None` where it is zero.
    offset: Option<__m256>,
}

/// A block of 256 weights: `GROUPS` is 1 where 32 of them share a scale, 2 where 16 do.
struct Large<const GROUPS: usize> {
    /// 32 weights each.
    codes: [__m256i; 8],
    /// One lane for each group.
    scales: [__m256; GROUPS],
    offsets: [__m256; GROUPS],
}

/// The loops over rows and blocks, for one set of instructions. `$dot(sums, codes, x)` adds to each of eight sums the products of four
/// codes without and four numbers with a sign.
macro_rules! instructions {
    ($name:ident, $features:literal, $dot:path) => {
        pub(super) mod $name {
            use super::*;

            /// [`Activations::products`]: `weights` are whole rows for `x`.
            #[target_feature(enable = $features)]
            pub(in super::super) fn products(x: &Activations, weights: &[u8], out: &mut [f32]) {
                match x.blocks {
                    BlockType::Q4_0 => small(x, weights, out, |block, x| q4_0(block, x)),
                    BlockType::Q4_1 => small(x, weights, out, |block, x| q4_1(block, x)),
                    BlockType::Q5_0 => small(x, weights, out, |block, x| q5_0(block, x)),
                    BlockType::Q5_1 => small(x, weights, out, |block, x| q5_1(block, x)),
                    BlockType::Q8_0 => small(x, weights, out, |block, x| q8_0(block, x)),
                    BlockType::Q2K => large(x, weights, out, |block| q2_k(block)),
                    BlockType::Q3K => large(x, weights, out, |block| q3_k(block)),
                    BlockType::Q4K => large(x, weights, out, |block| q4_k(block)),
                    BlockType::Q5K => large(x, weights, out, |block| q5_k(block)),
                    BlockType::Q6K => large(x, weights, out, |block| q6_k(block)),
                    BlockType::F32 | BlockType::F16 | BlockType::BF16 => {
                        unreachable!("activations are made for quantised types")
                    }
                }
            }

            /// `Σ codes·x`, in eight sums.
            #[target_feature(enable = $features)]
            #[inline]
            fn dot(codes: __m256i, [high, low]: [__m256i; 2]) -> __m256i {
                let sums = $dot(_mm256_setzero_si256(), codes, high);
                $dot(_mm256_slli_epi32::<{ HIGH.ilog2().cast_signed() }>(sums), codes, low)
            }

            #[target_feature(enable = $features)]
            fn small<const BYTES: usize>(
                x: &Activations,
                weights: &[u8],
                out: &mut [f32],
                read: impl Fn(&[u8; BYTES], [__m256i; 2]) -> Small,
            ) {
                let (bytes, _) = x.bytes.as_chunks::<64>();
                for (out, row) in out.iter_mut().zip(weights.chunks_exact(BYTES * bytes.len())) {
                    let (mut sums, mut offsets) = (_mm256_setzero_ps(), _mm256_setzero_ps());
                    let numbers = bytes.iter().zip(x.scales.iter().zip(&x.sums));
                    let blocks = row.as_chunks::<BYTES>().0.iter().zip(numbers);
                    for (block, (x, (&scale, &sum))) in blocks {
                        let block = read(block, bytemuck::cast(*x));
                        let dot = dot(block.codes, block.x);
                        let scale = _mm256_mul_ps(block.scale, _mm256_set1_ps(scale));
                        sums = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dot), sums);
                        if let Some(offset) = block.offset {
                            // The first lane alone.
                            let sum = _mm256_zextps128_ps256(_mm_set_ss(sum));
                            offsets = _mm256_fmadd_ps(offset, sum, offsets);
                        }
                    }
                    *out = total(_mm256_add_ps(sums, offsets));
                }
            }

            #[target_feature(enable = $features)]
            fn large<const BYTES: usize, const GROUPS: usize>(
                x: &Activations,
                weights: &[u8],
                out: &mut [f32],
                read: impl Fn(&[u8; BYTES]) -> Large<GROUPS>,
            ) {
                let (bytes, _) = x.bytes.as_chunks::<64>();
                let (bytes, _) = bytes.as_chunks::<8>();
                let [scales, sums] = [&x.scales, &x.sums]
                    .map(|numbers| numbers.as_chunks::<8>().0.as_chunks::<GROUPS>().0);
                for (out, row) in out.iter_mut().zip(weights.chunks_exact(BYTES * bytes.len())) {
                    // Several sums: the next addition need not wait for the one before.
                    let mut products = [_mm256_setzero_ps(); 2];
                    let mut offsets = _mm256_setzero_ps();
                    let numbers = bytes.iter().zip(scales.iter().zip(sums));
                    let blocks = row.as_chunks::<BYTES>().0.iter().zip(numbers);
                    for (block, (x, (x_scales, x_sums))) in blocks {
                        let block = read(block);
                        let mut scales = block.scales;
                        for group in 0..GROUPS {
                            let x_scales = bytemuck::cast(x_scales[group]);
                            scales[group] = _mm256_mul_ps(scales[group], x_scales);
                            let x_sums = bytemuck::cast(x_sums[group]);
                            offsets = _mm256_fmadd_ps(block.offsets[group], x_sums, offsets);
                        }
                        for part in 0..8 {
                            let dot = dot(block.codes[part], bytemuck::cast(x[part]));
                            let scales = spread(scales, part);
                            let products = &mut products[part % 2];
                            *products = _mm256_fmadd_ps(scales, _mm256_cvtepi32_ps(dot), *products);
                        }
                    }
                    let [even, odd] = products;
                    *out = total(_mm256_add_ps(_mm256_add_ps(even, odd), offsets));
                }
            }
        }
    };
}

instructions!(avx2, "avx2,fma,f16c", dot_avx2);
instructions!(avx_vnni, "avx2,fma,f16c,avxvnni", _mm256_dpbusd_avx_epi32);
instructions!(avx512_vnni, "avx2,fma,f16c,avx512f,avx512vl,avx512vnni", _mm256_dpbusd_epi32);

/// Pairs of products have to fit into 16 bits: a code and a number are at most 128 and 127.
#[target_feature(enable = "avx2")]
#[inline]
fn dot_avx2(sums: __m256i, codes: __m256i, x: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(codes, x);
    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// All eight lanes added up.
#[target_feature(enable = "avx2")]
#[inline]
fn total(eight: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

/// The scales of the 32 weights of a part: the same in every lane, or one for each half.
#[target_feature(enable = "avx2")]
#[inline]
fn spread<const GROUPS: usize>(scales: [__m256; GROUPS], part: usize) -> __m256 {
    let first = (GROUPS * part % 8) as i32;
    let second = first + GROUPS as i32 - 1;
    let lanes = [first, first, first, first, second, second, second, second];
    _mm256_permutevar8x32_ps(scales[GROUPS * part / 8], bytemuck::cast(lanes))
}

#[target_feature(enable = "avx2")]
#[inline]
fn bytes_16(block: &[u8], start: usize) -> __m128i {
    bytemuck::pod_read_unaligned(&block[start..][..16])
}

#[target_feature(enable = "avx2")]
#[inline]
fn bytes_32(block: &[u8], start: usize) -> __m256i {
    bytemuck::pod_read_unaligned(&block[start..][..32])
}

fn word(block: &[u8], start: usize) -> u32 {
    u32::from_le_bytes([block[start], block[start + 1], block[start + 2], block[start + 3]])
}

/// The float16 there, in every lane.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn float16(block: &[u8], start: usize) -> __m256 {
    let bits = i16::from_le_bytes([block[start], block[start + 1]]);
    _mm256_cvtph_ps(_mm_set1_epi16(bits))
}

/// Eight bytes as numbers.
#[target_feature(enable = "avx2")]
#[inline]
fn eight(low: u32, high: u32) -> __m256 {
    let bytes = _mm_cvtsi64x_si128((u64::from(high) << 32 | u64::from(low)).cast_signed());
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
}

#[target_feature(enable = "avx2")]
#[inline]
fn negative(numbers: __m256) -> __m256 {
    _mm256_xor_ps(numbers, _mm256_set1_ps(-0.0))
}

#[target_feature(enable = "avx2")]
#[inline]
fn both([first, second]: [__m256; 2], factor: __m256) -> [__m256; 2] {
    [_mm256_mul_ps(first, factor), _mm256_mul_ps(second, factor)]
}

#[target_feature(enable = "avx2")]
#[inline]
fn times(number: __m256, factor: f32) -> __m256 {
    _mm256_mul_ps(number, _mm256_set1_ps(factor))
}

/// Some bits of each byte: those of `mask` after it has been shifted. Bits that come over from the next byte must not be in the mask.
#[target_feature(enable = "avx2")]
#[inline]
fn bits(bytes: __m256i, right: usize, mask: i8) -> __m256i {
    // A count that is known when this is compiled becomes a part of the instruction.
    let shifted = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(right as i32));
    _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
}

/// `set` in each byte whose bit number `bit` is set, else 0.
#[target_feature(enable = "avx2")]
#[inline]
fn where_set(bytes: __m256i, bit: usize, set: i8) -> __m256i {
    let bit = _mm256_set1_epi8((1_u8 << bit).cast_signed());
    let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    _mm256_and_si256(is_set, _mm256_set1_epi8(set))
}

/// Low halves of 16 bytes, then high ones.
#[target_feature(enable = "avx2")]
#[inline]
fn nibbles(block: &[u8], start: usize) -> __m256i {
    let bytes = bytes_16(block, start);
    bits(_mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes), 0, 15)
}

/// The fifth bits of 32 codes, with the four others behind them.
#[target_feature(enable = "avx2")]
#[inline]
fn five_bits(block: &[u8], start: usize) -> __m256i {
    // Each byte sees the byte of the mask that its bit is in.
    let mask = _mm256_set1_epi32(word(block, start).cast_signed());
    let bytes: [i8; 32] = std::array::from_fn(|index| (index / 8) as i8);
    let mask = _mm256_shuffle_epi8(mask, bytemuck::cast(bytes));
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(mask, bit), bit);
    let fifth = _mm256_and_si256(is_set, _mm256_set1_epi8(16));
    _mm256_or_si256(nibbles(block, start + 4), fifth)
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q4_0(block: &[u8; 18], x: [__m256i; 2]) -> Small {
    let scale = float16(block, 0);
    Small { codes: nibbles(block, 2), x, scale, offset: Some(times(scale, -8.0)) }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q4_1(block: &[u8; 20], x: [__m256i; 2]) -> Small {
    let offset = Some(float16(block, 2));
    Small { codes: nibbles(block, 4), x, scale: float16(block, 0), offset }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q5_0(block: &[u8; 22], x: [__m256i; 2]) -> Small {
    let scale = float16(block, 0);
    Small { codes: five_bits(block, 2), x, scale, offset: Some(times(scale, -16.0)) }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q5_1(block: &[u8; 24], x: [__m256i; 2]) -> Small {
    let offset = Some(float16(block, 2));
    Small { codes: five_bits(block, 4), x, scale: float16(block, 0), offset }
}

/// Codes have a sign here; it goes over to x. The size of −128 is 128 without a sign.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q8_0(block: &[u8; 34], x: [__m256i; 2]) -> Small {
    let codes = bytes_32(block, 2);
    let [high, low] = x;
    let x = [_mm256_sign_epi8(high, codes), _mm256_sign_epi8(low, codes)];
    Small { codes: _mm256_abs_epi8(codes), x, scale: float16(block, 0), offset: None }
}

/// What `code` gives for each of the eight parts. A loop and a macro, because closures that are handed to functions of the standard library
/// are not compiled into them here.
macro_rules! parts {
    (|$part:ident| $code:expr) => {{
        let mut codes = [_mm256_setzero_si256(); 8];
        for ($part, codes) in codes.iter_mut().enumerate() {
            *codes = $code;
        }
        codes
    }};
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q2_k(block: &[u8; 84]) -> Large<2> {
    // Four bytes to a word; the low halves are scales.
    let halves = 0x0F0F_0F0F;
    let [a, b, c, d] = [word(block, 0), word(block, 4), word(block, 8), word(block, 12)];
    let low = [eight(a & halves, b & halves), eight(c & halves, d & halves)];
    let high = [eight(a >> 4 & halves, b >> 4 & halves), eight(c >> 4 & halves, d >> 4 & halves)];
    Large {
        codes: parts!(|part| bits(bytes_32(block, 16 + part / 4 * 32), part % 4 * 2, 3)),
        scales: both(low, float16(block, 80)),
        offsets: both(high, negative(float16(block, 82))),
    }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q3_k(block: &[u8; 110]) -> Large<2> {
    let third = bytes_32(block, 0);
    // Four low bits of scales 0 to 3 and 8 to 11, of 4 to 7 and 12 to 15, two high ones of all.
    let (a, b, high) = (word(block, 96), word(block, 100), word(block, 104));
    let (four, two) = (0x0F0F_0F0F, 0x0303_0303);
    let first = eight(a & four | (high & two) << 4, b & four | (high >> 2 & two) << 4);
    let second =
        eight(a >> 4 & four | (high >> 4 & two) << 4, b >> 4 & four | (high >> 6 & two) << 4);
    let zero = _mm256_set1_ps(-32.0);
    let scales =
        both([_mm256_add_ps(first, zero), _mm256_add_ps(second, zero)], float16(block, 108));
    Large {
        codes: parts!(|part| {
            let low = bits(bytes_32(block, 32 + part / 4 * 32), part % 4 * 2, 3);
            _mm256_or_si256(low, where_set(third, part, 4))
        }),
        scales,
        offsets: both(scales, _mm256_set1_ps(-4.0)),
    }
}

/// Scales and offsets of 32 weights, of six bits each, in 12 bytes.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn six_bits(block: &[u8]) -> (__m256, __m256) {
    let (a, b, c) = (word(block, 4), word(block, 8), word(block, 12));
    let (six, four, two) = (0x3F3F_3F3F, 0x0F0F_0F0F, 0x3030_3030);
    let scales = eight(a & six, c & four | a >> 2 & two);
    let offsets = eight(b & six, c >> 4 & four | b >> 2 & two);
    let (scale, offset) = (float16(block, 0), negative(float16(block, 2)));
    (_mm256_mul_ps(scale, scales), _mm256_mul_ps(offset, offsets))
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q4_k(block: &[u8; 144]) -> Large<1> {
    let (scales, offsets) = six_bits(block);
    let codes = parts!(|part| bits(bytes_32(block, 16 + part / 2 * 32), part % 2 * 4, 15));
    Large { codes, scales: [scales], offsets: [offsets] }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q5_k(block: &[u8; 176]) -> Large<1> {
    let (scales, offsets) = six_bits(block);
    let fifth = bytes_32(block, 16);
    let codes = parts!(|part| {
        let four = bits(bytes_32(block, 48 + part / 2 * 32), part % 2 * 4, 15);
        _mm256_or_si256(four, where_set(fifth, part, 16))
    });
    Large { codes, scales: [scales], offsets: [offsets] }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn q6_k(block: &[u8; 210]) -> Large<2> {
    let first = eight(word(block, 192), word(block, 196));
    let second = eight(word(block, 200), word(block, 204));
    let scales = both([first, second], float16(block, 208));
    let codes = parts!(|part| {
        let (half, quarter) = (part / 4, part % 4);
        let low = bits(bytes_32(block, 64 * half + quarter % 2 * 32), quarter / 2 * 4, 15);
        let high = bits(bytes_32(block, 128 + 32 * half), 2 * quarter, 3);
        _mm256_or_si256(low, _mm256_slli_epi16::<4>(high))
    });
    Large { codes, scales, offsets: both(scales, _mm256_set1_ps(-32.0)) }
}
