//! The bytes of one frame: a stretch of native pixels, or those fragments that belong to it (PS3.5 A.4).

use std::ops::Range;

use dicom_dictionary_std::tags;

use super::file::DicomFile;
use super::layout::Layout;
use super::native;
use super::syntax::Codec;
use super::walk::PixelElement;
use crate::Error;

/// Bytes of a frame.
pub(crate) struct FrameBytes {
    pub(crate) bytes: Vec<u8>,
    /// Native pixels of which two share their colour.
    pub(crate) is_422: bool,
}

/// Reads the bytes of a frame.
pub(crate) fn read(
    file: &mut DicomFile,
    layout: &Layout,
    pixels: &PixelElement,
    frame: u32,
) -> Result<FrameBytes, Error> {
    let path = file.header.path.clone();
    let at = crate::error::At(&path);
    match (pixels, file.syntax.codec) {
        (PixelElement::Native { at: range, words }, Codec::Native) => {
            let (wanted, is_422) = place(file, layout, range, frame)?;
            if !(*words && file.syntax.encoding.big_endian && layout.bits.allocated == 8) {
                let bytes = file.source.range(wanted).map_err(|e| at.read(e))?;
                return Ok(FrameBytes { bytes, is_422 });
            }
            // Bytes in swapped pairs: from the pair that the frame begins in to the one that it ends in.
            let odd = (wanted.start - range.start) % 2;
            let length = wanted.end - wanted.start;
            let pairs = wanted.start - odd..(wanted.end + (odd + length) % 2).min(range.end);
            let swapped = native::swapped(&file.source.range(pairs).map_err(|e| at.read(e))?);
            let bytes = swapped.into_iter().skip(odd as usize).take(length as usize).collect();
            Ok(FrameBytes { bytes, is_422 })
        }
        (PixelElement::Fragments(_), Codec::Native) => Err(at.damaged(
            "Pixel Data (7FE0,0010)",
            format!("is compressed, but the transfer syntax is {}", file.syntax.name),
        )),
        (PixelElement::Fragments(fragments), _) => {
            let bytes = encapsulated(file, layout, fragments, frame)?;
            Ok(FrameBytes { bytes, is_422: false })
        }
        _ => Err(at.damaged(
            "Pixel Data (7FE0,0010)",
            format!("is not compressed, but the transfer syntax is {}", file.syntax.name),
        )),
    }
}

/// Where a native frame lies, and whether its colours are shared.
fn place(
    file: &DicomFile,
    layout: &Layout,
    range: &Range<u64>,
    frame: u32,
) -> Result<(Range<u64>, bool), Error> {
    let present = range.end - range.start;
    let full = layout.frame_bytes();
    let frames = u64::from(layout.frames);
    // Some writers name the colour space of the compressed file and store all samples.
    let is_422 = layout.photometric == "YBR_FULL_422" && present < full * frames;
    let each = if is_422 { full / 3 * 2 } else { full };
    if present < each * frames {
        let reason = format!("has {present} bytes, and {frames} frames of {each} bytes need more");
        return Err(file.header.at().damaged("Pixel Data (7FE0,0010)", reason));
    }
    let start = range.start + u64::from(frame) * each;
    Ok((start..start + each, is_422))
}

fn encapsulated(
    file: &mut DicomFile,
    layout: &Layout,
    fragments: &[Range<u64>],
    frame: u32,
) -> Result<Vec<u8>, Error> {
    let path = file.header.path.clone();
    let at = crate::error::At(&path);
    let Some((table, fragments)) = fragments.split_first().filter(|(_, rest)| !rest.is_empty())
    else {
        return Err(at.damaged("Pixel Data (7FE0,0010)", "has no fragment"));
    };
    let parts = if fragments.len() == layout.frames as usize {
        frame as usize..frame as usize + 1
    } else if layout.frames == 1 {
        0..fragments.len()
    } else {
        let starts = match offsets(file, table.clone(), fragments, layout.frames)? {
            Some(starts) => starts,
            None => starts_by_mark(file, fragments).map_err(|e| at.read(e))?,
        };
        if starts.len() != layout.frames as usize {
            let reason = format!(
                "has {} fragments, and nothing says to which of {} frames they belong",
                fragments.len(),
                layout.frames
            );
            return Err(at.damaged("Pixel Data (7FE0,0010)", reason));
        }
        let end = starts.get(frame as usize + 1).copied().unwrap_or(fragments.len());
        starts[frame as usize]..end
    };
    let parts = fragments.get(parts).unwrap_or_default();
    let length: u64 = parts.iter().map(|fragment| fragment.end - fragment.start).sum();
    // No codec makes a picture so much larger; headers and metadata have the room of a megabyte.
    if layout.frame_bytes() * 4 + (1 << 20) < length {
        let reason =
            format!("has {length} compressed bytes for a frame of {} bytes", layout.frame_bytes());
        return Err(at.damaged("Pixel Data (7FE0,0010)", reason));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    for fragment in parts {
        bytes.extend(file.source.range(fragment.clone()).map_err(|e| at.read(e))?);
    }
    Ok(bytes)
}

/// The first fragment of each frame by the basic or the extended offset table, where one of them is whole.
fn offsets(
    file: &mut DicomFile,
    basic: Range<u64>,
    fragments: &[Range<u64>],
    frames: u32,
) -> Result<Option<Vec<usize>>, Error> {
    let path = file.header.path.clone();
    let bytes = file.source.range(basic).map_err(|e| crate::error::At(&path).read(e))?;
    let mut offsets: Vec<u64> = bytes
        .chunks_exact(4)
        .map(|four| u64::from(u32::from_le_bytes([four[0], four[1], four[2], four[3]])))
        .collect();
    if offsets.len() != frames as usize {
        offsets = extended(file);
    }
    if offsets.len() != frames as usize {
        return Ok(None);
    }
    // Offsets count from the item of the first fragment, eight bytes in front of its value.
    let first = fragments[0].start;
    Ok(offsets
        .iter()
        .map(|offset| fragments.iter().position(|fragment| fragment.start - first == *offset))
        .collect())
}

/// Extended Offset Table (7FE0,0001): eight bytes each.
fn extended(file: &DicomFile) -> Vec<u64> {
    let Some(element) = file.header.get(tags::EXTENDED_OFFSET_TABLE) else { return vec![] };
    let bytes = element.to_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
    bytes
        .chunks_exact(8)
        .map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
        .collect()
}

/// Fragments that begin as a compressed picture does: JPEG, JPEG-LS (FF D8) and JPEG 2000 (FF 4F).
fn starts_by_mark(file: &mut DicomFile, fragments: &[Range<u64>]) -> std::io::Result<Vec<usize>> {
    let mut starts = vec![];
    for (i, fragment) in fragments.iter().enumerate() {
        let head = file.source.range(fragment.start..fragment.end.min(fragment.start + 2))?;
        if head == [0xFF, 0xD8] || head == [0xFF, 0x4F] {
            starts.push(i);
        }
    }
    Ok(starts)
}
