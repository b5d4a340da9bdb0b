//! Colours to 8-bit RGB: palettes (PS3.3 C.7.9), YBR and RGB (C.7.6.3.1.2).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use image::RgbImage;

use super::decode::Samples;
use super::header::{Header, words_of};
use super::lut::entries_of;
use super::walk::name;
use crate::Error;

/// Whether a frame has colours of its own.
pub(crate) fn is_colour(photometric: &str) -> bool {
    !photometric.starts_with("MONOCHROME")
}

/// The picture of a frame that has colours.
pub(crate) fn rgb(samples: &Samples, header: &Header) -> Result<RgbImage, Error> {
    let bytes = match samples.colours.as_str() {
        "PALETTE COLOR" => palette(samples, header)?,
        "RGB" => eight_bits(samples).collect(),
        _ => {
            let values: Vec<u8> = eight_bits(samples).collect();
            values.chunks_exact(3).flat_map(|ybr| rgb_of([ybr[0], ybr[1], ybr[2]])).collect()
        }
    };
    let layout = &samples.layout;
    RgbImage::from_raw(layout.columns, layout.rows, bytes)
        .ok_or_else(|| header.at().damaged("Pixel Data (7FE0,0010)", "has too few samples"))
}

/// The high 8 bits of each sample.
fn eight_bits(samples: &Samples) -> impl Iterator<Item = u8> {
    let bits = u32::from(samples.layout.bits.stored);
    samples.values.iter().map(move |&value| {
        if bits < 8 {
            (value.cast_unsigned() * 255 / ((1 << bits) - 1)) as u8
        } else {
            (value >> (bits - 8)) as u8
        }
    })
}

/// YBR of full range to RGB, by the inverse of the equations of C.7.6.3.1.2, halves rounded up.
fn rgb_of([y, b, r]: [u8; 3]) -> [u8; 3] {
    let (y, b, r) = (f64::from(y), f64::from(b) - 128.0, f64::from(r) - 128.0);
    [y + 1.402 * r, y - 0.344_136 * b - 0.714_136 * r, y + 1.772 * b]
        .map(|value| (value + 0.5).floor().clamp(0.0, 255.0) as u8)
}

fn palette(samples: &Samples, header: &Header) -> Result<Vec<u8>, Error> {
    let tables = [
        (
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ),
        (
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ),
        (
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ),
    ];
    if header.get(tables[0].1).is_none()
        && header.get(tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA).is_some()
    {
        return Err(header
            .at()
            .unsupported("a segmented palette", "convert the file to RGB with dcmtk or pydicom"));
    }
    let [red, green, blue] = tables.map(|(descriptor, data)| Palette::of(header, descriptor, data));
    let tables = [red?, green?, blue?];
    Ok(samples.values.iter().flat_map(|&value| [0, 1, 2].map(|i| tables[i].byte(value))).collect())
}

struct Palette {
    first: i32,
    bytes: Vec<u8>,
}

impl Palette {
    fn of(header: &Header, descriptor: Tag, data: Tag) -> Result<Self, Error> {
        let wrong = |tag, reason: &str| header.at().field(name(tag), reason);
        let described = header.get(descriptor).and_then(words_of);
        let Some(&[entries, first, bits]) = described.as_deref() else {
            return Err(wrong(descriptor, "is not three numbers"));
        };
        let entries = if entries == 0 { 1 << 16 } else { usize::from(entries) };
        let words = header.get(data).and_then(words_of).unwrap_or_default();
        let values = entries_of(words, entries)
            .ok_or_else(|| wrong(data, "has fewer entries than its descriptor says"))?;
        // Some writers say 16 bits and fill 8.
        let wide = bits == 16 && values.iter().any(|&value| 255 < value);
        let byte = |value: u16| if wide { (value >> 8) as u8 } else { value.min(255) as u8 };
        Ok(Self {
            first: first.cast_signed().into(),
            bytes: values.into_iter().map(byte).collect(),
        })
    }

    fn byte(&self, value: i32) -> u8 {
        let place = (value - self.first).clamp(0, self.bytes.len() as i32 - 1);
        self.bytes[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ybr_becomes_rgb() {
        assert_eq!(rgb_of([76, 85, 255]), [254, 0, 0]);
        assert_eq!(rgb_of([128, 128, 128]), [128; 3]);
        assert_eq!(rgb_of([255, 128, 128]), [255; 3]);
    }
}
