//! RLE Lossless (PS3.5 Annex G): a segment of packed bits for each byte of a sample, the high byte first.
//!
//! Written here because dicom-rs 0.10.1 panics where a segment is shorter than the picture.

use super::layout::Layout;

/// Bytes of all samples, little endian, pixel by pixel.
pub(crate) fn decode(bytes: &[u8], layout: &Layout) -> Result<Vec<u8>, String> {
    let per_sample = layout.bytes_per_sample();
    let wanted = per_sample * usize::from(layout.samples);
    let segments = segments(bytes)?;
    if segments.len() != wanted {
        return Err(format!("it has {} segments and not {wanted}", segments.len()));
    }
    let pixels = layout.pixels();
    // A pair of bytes unpacks to 128 at most: less cannot fill the picture, so nothing of its size is made.
    if let Some(i) = segments.iter().position(|segment| segment.len() * 64 < pixels) {
        return Err(format!("segment {i} ends before the picture is full"));
    }
    let mut samples = vec![0; pixels * wanted];
    for (i, segment) in segments.iter().enumerate() {
        let place = i / per_sample * per_sample + (per_sample - 1 - i % per_sample);
        let plane = unpack(segment, pixels)
            .ok_or_else(|| format!("segment {i} ends before the picture is full"))?;
        for (pixel, byte) in plane.into_iter().enumerate() {
            samples[pixel * wanted + place] = byte;
        }
    }
    Ok(samples)
}

fn segments(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let number = |i: usize| {
        let four = bytes.get(i * 4..i * 4 + 4)?;
        Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
    };
    let count = number(0)
        .filter(|count| (1..=15).contains(count))
        .ok_or("its header has no number of segments")?;
    (1..=count)
        .map(|i| {
            let start = number(i).ok_or("its header is cut short")?;
            let end = if i < count {
                number(i + 1).ok_or("its header is cut short")?
            } else {
                bytes.len()
            };
            bytes
                .get(start..end)
                .filter(|_| 64 <= start)
                .ok_or_else(|| format!("segment {} lies outside of it", i - 1))
        })
        .collect()
}

/// `length` bytes; `None` if there are not so many.
fn unpack(mut packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let (&control, rest) = packed.split_first()?;
        packed = match control.cast_signed() {
            -128 => rest,
            run @ ..0 => {
                let (&byte, rest) = rest.split_first()?;
                bytes.resize(bytes.len() + 1 + usize::from(run.unsigned_abs()), byte);
                rest
            }
            literal => {
                let (literals, rest) =
                    rest.split_at_checked(literal.cast_unsigned() as usize + 1)?;
                bytes.extend_from_slice(literals);
                rest
            }
        };
    }
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_unpacked_as_the_standard_has_it() {
        assert_eq!(unpack(&[2, 7, 8, 9, 0xFE, 5], 6).unwrap(), [7, 8, 9, 5, 5, 5]);
        assert_eq!(unpack(&[0x80, 0, 1], 1).unwrap(), [1]);
        assert!(unpack(&[2, 7, 8], 3).is_none());
        assert!(unpack(&[0xFE], 3).is_none());
        assert!(unpack(&[], 1).is_none());
    }
}
