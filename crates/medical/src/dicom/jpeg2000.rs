//! JPEG 2000 by `OpenJPEG`. The size that the stream says is held against the header before it is decoded.

use jpeg2k::{DecodeParameters, Image};

use super::layout::{Layout, sign};

/// Values of all samples, pixel by pixel; colour transforms of the stream are undone.
pub(crate) fn decode(bytes: &[u8], layout: &Layout) -> Result<Vec<i32>, String> {
    check(bytes, layout)?;
    let image = Image::from_bytes_with(bytes, DecodeParameters::new().strict(true))
        .map_err(|error| error.to_string())?;
    let components = image.components();
    let samples = usize::from(layout.samples);
    if components.len() < samples {
        return Err(format!("it has {} components and not {samples}", components.len()));
    }
    let mut values = vec![0; layout.len()];
    for (i, component) in components.iter().take(samples).enumerate() {
        let data = component.data();
        if data.len() != layout.pixels() {
            return Err("its components differ in size".into());
        }
        let bits = component.precision().clamp(1, 32);
        for (pixel, &sample) in data.iter().enumerate() {
            // The header's sign holds where the stream's differs, as in pydicom 3.
            values[pixel * samples + i] = sign(sample.cast_unsigned(), bits, layout.bits.signed);
        }
    }
    Ok(values)
}

/// The size in the marker SIZ (ISO/IEC 15444-1 A.5.1), which is the first after the start of the code stream.
fn check(bytes: &[u8], layout: &Layout) -> Result<(), String> {
    let start = bytes
        .windows(4)
        .position(|four| four == [0xFF, 0x4F, 0xFF, 0x51])
        .ok_or("it holds no code stream of JPEG 2000")?;
    let number = |at: usize| {
        let four = bytes.get(start + at..start + at + 4)?;
        Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    };
    let size = || Some((number(8)?, number(12)?, number(16)?, number(20)?));
    let (width, height, left, top) = size().ok_or("its header is cut short")?;
    let components =
        bytes.get(start + 40..start + 42).map(|two| u16::from_be_bytes([two[0], two[1]]));
    // The decoder makes room for all that are named. A fourth would be opacity.
    if !components.is_some_and(|count| (layout.samples..=4).contains(&count)) {
        return Err(format!("it names {} components", components.unwrap_or(0)));
    }
    let found = (width.wrapping_sub(left), height.wrapping_sub(top));
    if found == (layout.columns, layout.rows) {
        return Ok(());
    }
    Err(format!(
        "it is {} × {} and the header says {} × {}",
        found.0, found.1, layout.columns, layout.rows
    ))
}
