//! JPEG-LS by `CharLS`.

use charls::CharLS;

use super::jpeg::Frame;
use super::layout::{Layout, sign};

/// Values of all samples, pixel by pixel.
pub(crate) fn decode(bytes: &[u8], layout: &Layout, frame: &Frame) -> Result<Vec<i32>, String> {
    frame.check(layout)?;
    let decoded = CharLS::default().decode(bytes).map_err(|error| error.to_string())?;
    let bits = u32::from(frame.precision).clamp(1, 16);
    let value = |raw: u32| sign(raw, bits, layout.bits.signed);
    let values: Vec<i32> = if bits <= 8 {
        decoded.iter().map(|&b| value(b.into())).collect()
    } else {
        decoded.chunks_exact(2).map(|b| value(u16::from_ne_bytes([b[0], b[1]]).into())).collect()
    };
    Ok(values)
}
