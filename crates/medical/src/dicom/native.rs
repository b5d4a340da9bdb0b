//! Samples of native pixels, and of decoders that give bytes.

use super::layout::Layout;

/// Values of all samples in the order of the bytes, with what is no part of a sample taken off.
pub(crate) fn values(bytes: &[u8], layout: &Layout, big_endian: bool) -> Vec<i32> {
    let value = |raw: u32| layout.value(raw);
    if layout.bits.allocated == 8 {
        return bytes.iter().map(|&byte| value(byte.into())).collect();
    }
    let word = if big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
    pairs(bytes).map(|pair| value(word(pair).into())).collect()
}

/// Bytes of samples that were written as words in big endian: their pairs are swapped (PS3.5 8.1.2 and Annex D).
pub(crate) fn swapped(bytes: &[u8]) -> Vec<u8> {
    let odd = bytes.len() % 2;
    pairs(bytes)
        .flat_map(|[a, b]| [b, a])
        .chain(bytes[bytes.len() - odd..].iter().copied())
        .collect()
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = [u8; 2]> {
    bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]])
}

/// Pixel by pixel from plane by plane.
pub(crate) fn interleaved(planes: &[i32], samples: usize) -> Vec<i32> {
    let pixels = planes.len() / samples;
    (0..planes.len()).map(|i| planes[i % samples * pixels + i / samples]).collect()
}

/// Three samples for each pixel from `Y Y B R` for each two (PS3.3 C.7.6.3.1.2, `YBR_FULL_422`).
pub(crate) fn from_422(pairs: &[i32]) -> Vec<i32> {
    pairs
        .chunks_exact(4)
        .flat_map(|four| [four[0], four[2], four[3], four[1], four[2], four[3]])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bits;

    fn layout(allocated: u16, stored: u16, high_bit: u16, signed: bool) -> Layout {
        Layout {
            rows: 1,
            columns: 2,
            samples: 1,
            planar: false,
            bits: Bits { allocated, stored, signed },
            high_bit,
            photometric: "MONOCHROME2".into(),
            frames: 1,
        }
    }

    #[test]
    fn garbage_above_the_stored_bits_is_no_part_of_a_value() {
        let bytes = [0xFF, 0xFF, 0x00, 0xA8];
        let of = |layout: &Layout| values(&bytes, layout, false);
        assert_eq!(of(&layout(16, 12, 11, false)), [4095, 0x800]);
        assert_eq!(of(&layout(16, 12, 11, true)), [-1, -2048]);
        assert_eq!(of(&layout(16, 12, 15, false)), [4095, 0xA80], "the high twelve bits");
        assert_eq!(of(&layout(16, 16, 15, true)), [-1, 0xA800 - 65_536]);
        assert_eq!(values(&bytes, &layout(16, 16, 15, false), true), [0xFFFF, 0x00A8]);
        assert_eq!(swapped(&[1, 2, 3]), [2, 1, 3]);
    }

    #[test]
    fn planes_and_shared_colours_become_pixels() {
        assert_eq!(interleaved(&[1, 2, 3, 4, 5, 6], 3), [1, 3, 5, 2, 4, 6]);
        assert_eq!(from_422(&[10, 20, 1, 2]), [10, 1, 2, 20, 1, 2]);
    }
}
