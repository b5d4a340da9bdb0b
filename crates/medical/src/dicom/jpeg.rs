//! JPEG: baseline and lossless. What the stream says of itself is held against the header before it is decoded.

use std::io::Cursor;

use jpeg_decoder::{ColorTransform, Decoder};

use super::layout::{Layout, sign};

/// What a stream of the JPEG family says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Start-of-frame marker: C0 baseline, C1 extended, C2 progressive, C3 lossless, F7 JPEG-LS.
    pub(crate) process: u8,
    pub(crate) precision: u8,
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) components: Vec<u8>,
    pub(crate) colour: Colour,
}

/// The colour space that a stream says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Unsaid,
    Rgb,
    Ybr,
}

/// A progressive stream has ten scans or so. Each may be a few bytes and still takes time for the whole picture.
const MOST_SCANS: usize = 200;

/// Reads markers up to the frame's.
pub(crate) fn frame(bytes: &[u8]) -> Result<Frame, String> {
    let short = || String::from("it ends before its frame header");
    if bytes.get(..2) != Some(&[0xFF, 0xD8]) {
        return Err("it does not begin as JPEG does".into());
    }
    let mut colour = Colour::Unsaid;
    let mut at = 2;
    loop {
        let marker = *bytes.get(at + 1).ok_or_else(short)?;
        if bytes[at] != 0xFF {
            return Err("a marker is missing in front of its frame header".into());
        }
        if marker == 0xFF {
            at += 1;
            continue;
        }
        let length = usize::from(u16::from_be_bytes(pair(bytes, at + 2).ok_or_else(short)?));
        let segment = bytes.get(at + 4..at + 2 + length).ok_or_else(short)?;
        match marker {
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => {
                return of_segment(marker, segment, colour).ok_or_else(short);
            }
            0xE0 if segment.starts_with(b"JFIF") => colour = Colour::Ybr,
            0xEE if segment.starts_with(b"Adobe") => match segment.get(11) {
                Some(0) => colour = Colour::Rgb,
                Some(1) => colour = Colour::Ybr,
                _ => {}
            },
            _ => {}
        }
        at += 2 + length;
    }
}

fn pair(bytes: &[u8], at: usize) -> Option<[u8; 2]> {
    bytes.get(at..at + 2)?.try_into().ok()
}

fn of_segment(process: u8, segment: &[u8], colour: Colour) -> Option<Frame> {
    let count = usize::from(*segment.get(5)?);
    let components: Vec<u8> =
        segment.get(6..6 + count * 3)?.chunks_exact(3).map(|c| c[0]).collect();
    let letters = components == *b"RGB" || components == *b"rgb";
    Some(Frame {
        process,
        precision: segment[0],
        rows: u16::from_be_bytes(pair(segment, 1)?).into(),
        columns: u16::from_be_bytes(pair(segment, 3)?).into(),
        components,
        colour: if letters { Colour::Rgb } else { colour },
    })
}

impl Frame {
    /// Whether size and samples are those of the header.
    pub(crate) fn check(&self, layout: &Layout) -> Result<(), String> {
        let found = (self.columns, self.rows, self.components.len());
        let expected = (layout.columns, layout.rows, usize::from(layout.samples));
        if found == expected {
            return Ok(());
        }
        Err(format!(
            "it is {} × {} with {} samples and the header says {} × {} with {}",
            found.0, found.1, found.2, expected.0, expected.1, expected.2
        ))
    }
}

/// Values of all samples, pixel by pixel, in the colour space of the stream.
pub(crate) fn decode(bytes: &[u8], layout: &Layout, frame: &Frame) -> Result<Vec<i32>, String> {
    frame.check(layout)?;
    if !bytes.windows(2).any(|pair| pair == [0xFF, 0xD9]) {
        return Err("its end is missing".into());
    }
    if MOST_SCANS < bytes.windows(2).filter(|pair| *pair == [0xFF, 0xDA]).count() {
        return Err(format!("it has more than {MOST_SCANS} scans"));
    }
    let mut decoder = Decoder::new(Cursor::new(bytes));
    if layout.samples == 3 {
        // This leaves them alone. `None` would be its name, but with that version 0.3.2 writes planes, and panics.
        decoder.set_color_transform(ColorTransform::RGB);
    }
    // The planes as they are decoded: 16 bits each at most, with blocks at the edges.
    decoder.set_max_decoding_buffer_size(layout.len() * 4 + (1 << 20));
    let decoded = decoder.decode().map_err(|error| error.to_string())?;
    let bits = u32::from(frame.precision);
    let value = |raw: u32| sign(raw, bits, layout.bits.signed);
    let values: Vec<i32> = if bits <= 8 {
        decoded.iter().map(|&b| value(b.into())).collect()
    } else {
        let words = decoded.chunks_exact(2).map(|b| u16::from_ne_bytes([b[0], b[1]]));
        words.map(|word| value(word.into())).collect()
    };
    Ok(values)
}
