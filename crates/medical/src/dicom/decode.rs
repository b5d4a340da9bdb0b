//! From the bytes of a frame to the values of its samples, by transfer syntax. Whatever a decoder does, the caller gets values or an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::file::DicomFile;
use super::frames::{self, FrameBytes};
use super::jpeg::{self, Colour};
use super::layout::Layout;
use super::native;
use super::rle;
use super::syntax::Codec;
use crate::{Error, Limits};

/// Values of a frame, pixel by pixel.
pub(crate) struct Samples {
    pub(crate) layout: Layout,
    pub(crate) values: Vec<i32>,
    /// The colour space of the values, once decoded.
    pub(crate) colours: String,
}

/// What a decoder gives: values, and the colour space if it is not the header's.
type Decoded = Result<(Vec<i32>, Option<&'static str>), Failure>;

/// Why it gives nothing.
enum Failure {
    /// What it said of the stream.
    Stream(String),
    /// The stream is of a kind that is not read.
    NotRead(Error),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Stream(reason)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::NotRead(error)
    }
}

/// Decodes a frame.
pub(crate) fn frame(file: &mut DicomFile, index: u32, limits: &Limits) -> Result<Samples, Error> {
    let (layout, pixels) = file.pixels(limits)?;
    if layout.frames <= index {
        let reason = format!("is {index}, and the file has {} frames, from 0", layout.frames);
        return Err(file.header.at().option("frame", reason));
    }
    let bytes = frames::read(file, &layout, &pixels, index)?;
    let failed = |reason| Error::Pixels {
        path: file.header.path.clone(),
        frame: index,
        syntax: file.syntax.name.into(),
        reason,
    };
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(file, &layout, &bytes)));
    let decoded = decoded.map_err(|_| Error::DecoderPanic {
        path: file.header.path.clone(),
        what: file.syntax.name.into(),
    })?;
    let (values, colours) = decoded.map_err(|failure| match failure {
        Failure::Stream(reason) => failed(reason),
        Failure::NotRead(error) => error,
    })?;
    if values.len() != layout.len() {
        return Err(failed(format!(
            "{} samples came of it and not {}",
            values.len(),
            layout.len()
        )));
    }
    let colours = colours.map_or_else(|| layout.photometric.clone(), Into::into);
    Ok(Samples { layout, values, colours })
}

fn decode(file: &DicomFile, layout: &Layout, frame: &FrameBytes) -> Decoded {
    match file.syntax.codec {
        Codec::Native => Ok((native(file, layout, frame), None)),
        Codec::Rle => {
            let bytes = rle::decode(&frame.bytes, layout)?;
            Ok((native::values(&bytes, layout, false), None))
        }
        Codec::Jpeg => jpeg(file, layout, &frame.bytes),
        Codec::JpegLs => jpeg_ls(file, layout, &frame.bytes),
        Codec::Jpeg2000 => jpeg2000(file, layout, &frame.bytes),
        Codec::Other => Err(not_read(file, "").into()),
    }
}

fn native(file: &DicomFile, layout: &Layout, frame: &FrameBytes) -> Vec<i32> {
    let values = native::values(&frame.bytes, layout, file.syntax.encoding.big_endian);
    if frame.is_422 {
        native::from_422(&values)
    } else if layout.planar && layout.samples == 3 {
        native::interleaved(&values, 3)
    } else {
        values
    }
}

fn jpeg(file: &DicomFile, layout: &Layout, bytes: &[u8]) -> Decoded {
    let frame = jpeg::frame(bytes)?;
    let is_lossless = frame.process == 0xC3;
    if !is_lossless && frame.precision != 8 {
        return Err(not_read(file, &format!(" with {} bits", frame.precision)).into());
    }
    if !matches!(frame.process, 0xC0..=0xC3) {
        return Err(not_read(file, " with arithmetic coding or in a hierarchy").into());
    }
    if is_lossless && 1 < frame.components.len() && 8 < frame.precision {
        return Err(not_read(file, " of colours with more than 8 bits").into());
    }
    Ok((jpeg::decode(bytes, layout, &frame)?, colours(layout, frame.colour)))
}

/// The colour space of a stream: what it says itself is what its encoder knew; else the header's, with all samples there.
fn colours(layout: &Layout, said: Colour) -> Option<&'static str> {
    match (layout.samples, said) {
        (1, _) => None,
        (_, Colour::Rgb) => Some("RGB"),
        (_, Colour::Ybr) => Some("YBR_FULL"),
        (_, Colour::Unsaid) => (layout.photometric != "RGB").then_some("YBR_FULL"),
    }
}

#[cfg(feature = "jpeg2000")]
fn jpeg2000(_: &DicomFile, layout: &Layout, bytes: &[u8]) -> Decoded {
    // The stream's own transform is undone by the decoder; YBR_FULL is none of the stream's.
    let colours = layout.photometric.ends_with("CT").then_some("RGB");
    Ok((super::jpeg2000::decode(bytes, layout)?, colours))
}

#[cfg(not(feature = "jpeg2000"))]
fn jpeg2000(file: &DicomFile, _: &Layout, _: &[u8]) -> Decoded {
    Err(without(file, "jpeg2000").into())
}

#[cfg(feature = "jpeg-ls")]
fn jpeg_ls(_: &DicomFile, layout: &Layout, bytes: &[u8]) -> Decoded {
    let frame = jpeg::frame(bytes)?;
    Ok((super::jpeg_ls::decode(bytes, layout, &frame)?, None))
}

#[cfg(not(feature = "jpeg-ls"))]
fn jpeg_ls(file: &DicomFile, _: &Layout, _: &[u8]) -> Decoded {
    Err(without(file, "jpeg-ls").into())
}

fn not_read(file: &DicomFile, how: &str) -> Error {
    file.header.at().unsupported(
        format!("the transfer syntax {}{how} ({})", file.syntax.name, file.syntax.uid),
        "convert the file to Explicit VR Little Endian, with dcmtk's dcmdjpeg or pydicom's decompress()",
    )
}

#[cfg(not(all(feature = "jpeg2000", feature = "jpeg-ls")))]
fn without(file: &DicomFile, feature: &str) -> Error {
    file.header.at().unsupported(
        format!("the transfer syntax {} ({})", file.syntax.name, file.syntax.uid),
        format!(
            "build with the feature `{feature}`, or convert the file to Explicit VR Little Endian, with dcmtk's dcmdjpeg or pydicom's decompress()"
        ),
    )
}
