//! How pixels lie in a frame (PS3.3 C.7.6.3), checked against the limits before a byte of them is read.

use dicom_dictionary_std::tags;

use super::header::Header;
use super::walk::name;
use crate::error::Bound;
use crate::{Bits, Error, Limits};

/// Description of the pixels of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    /// Samples of a pixel, 1 or 3.
    pub(crate) samples: u16,
    /// Whether planes of a colour follow each other, and not pixels.
    pub(crate) planar: bool,
    pub(crate) bits: Bits,
    /// The highest bit of a sample.
    pub(crate) high_bit: u16,
    pub(crate) photometric: String,
    pub(crate) frames: u32,
}

impl Layout {
    pub(crate) fn of(header: &Header, limits: &Limits) -> Result<Self, Error> {
        let at = header.at();
        let positive = |tag| match header.required(tag)? {
            0 => Err(at.field(name(tag), "is 0")),
            value => Ok(u32::from(value)),
        };
        let (rows, columns) = (positive(tags::ROWS)?, positive(tags::COLUMNS)?);
        at.limit(&Bound::pixels(limits), u64::from(rows) * u64::from(columns))?;
        let samples = header.integer(tags::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if samples != 1 && samples != 3 {
            return Err(at.unsupported(
                format!("a picture with {samples} samples per pixel"),
                "only 1 and 3 are",
            ));
        }
        let photometric = header.code(tags::PHOTOMETRIC_INTERPRETATION).ok_or_else(|| {
            at.field(name(tags::PHOTOMETRIC_INTERPRETATION), "is missing or no code")
        })?;
        let (bits, high_bit) = bits(header)?;
        let layout = Self {
            rows,
            columns,
            samples: samples as u16,
            planar: header.integer(tags::PLANAR_CONFIGURATION)?.unwrap_or(0) == 1,
            bits,
            high_bit,
            photometric,
            frames: frames(header, limits)?,
        };
        layout.check_colour(header)?;
        at.limit(&Bound::decoded_bytes(limits), layout.frame_bytes())?;
        Ok(layout)
    }

    fn check_colour(&self, header: &Header) -> Result<(), Error> {
        let expected = match self.photometric.as_str() {
            "MONOCHROME1" | "MONOCHROME2" | "PALETTE COLOR" => 1,
            "RGB" | "YBR_FULL" | "YBR_FULL_422" | "YBR_RCT" | "YBR_ICT" => 3,
            other => {
                return Err(header.at().unsupported(
                    format!("the colour space {other}"),
                    "convert it to RGB or MONOCHROME2 with dcmtk or pydicom",
                ));
            }
        };
        if expected == self.samples {
            return Ok(());
        }
        let reason = format!("is {}, but a pixel has {} samples", self.photometric, self.samples);
        Err(header.at().field(name(tags::PHOTOMETRIC_INTERPRETATION), reason))
    }

    pub(crate) fn pixels(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    /// Samples of a frame.
    pub(crate) fn len(&self) -> usize {
        self.pixels() * usize::from(self.samples)
    }

    pub(crate) fn bytes_per_sample(&self) -> usize {
        usize::from(self.bits.allocated / 8)
    }

    /// Bytes of a frame whose samples are all there.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.len() as u64 * self.bytes_per_sample() as u64
    }

    /// The value of a sample from its allocated bits: what lies above the high bit is no part of it (PS3.5 8.1.1).
    pub(crate) fn value(&self, raw: u32) -> i32 {
        let stored = u32::from(self.bits.stored);
        let shifted = raw >> (u32::from(self.high_bit) + 1 - stored);
        sign(shifted, stored, self.bits.signed)
    }
}

/// The lowest `bits` of a number, as one with a sign or without.
pub(crate) fn sign(raw: u32, bits: u32, signed: bool) -> i32 {
    let unused = 32 - bits;
    if signed {
        (raw << unused).cast_signed() >> unused
    } else {
        (raw << unused >> unused).cast_signed()
    }
}

fn bits(header: &Header) -> Result<(Bits, u16), Error> {
    let at = header.at();
    let allocated = header.required(tags::BITS_ALLOCATED)?;
    if allocated != 8 && allocated != 16 {
        let what = format!("a picture with {allocated} bits allocated for a sample");
        return Err(at.unsupported(
            what,
            "only 8 and 16 are: segmentations, dose maps and maps of numbers are no pictures",
        ));
    }
    let stored = match header.integer(tags::BITS_STORED)? {
        None => allocated,
        Some(bits) if (1..=i64::from(allocated)).contains(&bits) => bits as u16,
        Some(bits) => {
            return Err(at.field(
                name(tags::BITS_STORED),
                format!("is {bits}, of {allocated} bits allocated"),
            ));
        }
    };
    let high = match header.integer(tags::HIGH_BIT)? {
        None => stored - 1,
        Some(bit) if (i64::from(stored) - 1..i64::from(allocated)).contains(&bit) => bit as u16,
        Some(bit) => {
            return Err(at.field(
                name(tags::HIGH_BIT),
                format!("is {bit}, with {stored} bits stored of {allocated}"),
            ));
        }
    };
    let signed = header.integer(tags::PIXEL_REPRESENTATION)?.unwrap_or(0) == 1;
    Ok((Bits { allocated, stored, signed }, high))
}

fn frames(header: &Header, limits: &Limits) -> Result<u32, Error> {
    let frames = header.integer(tags::NUMBER_OF_FRAMES)?.unwrap_or(1);
    if frames < 1 {
        return Err(header.at().field(name(tags::NUMBER_OF_FRAMES), format!("is {frames}")));
    }
    header.at().limit(&Bound::frames(limits), frames.cast_unsigned())?;
    Ok(frames as u32)
}
