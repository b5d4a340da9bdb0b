//! The beginning of a DICOM file (PS3.10 Section 7): preamble, file meta information, and which transfer syntax follows.

use std::path::Path;

use super::source::Source;
use super::syntax::{Encoding, Syntax};
use crate::Error;
use crate::error::At;

/// How the data set is written, and where it begins.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) syntax: Syntax,
    pub(crate) data_set: u64,
}

/// Bytes in front of the mark `DICM`.
pub(crate) const PREAMBLE: usize = 128;

/// Reads the beginning. A file without preamble or meta information is read if its first element looks like one.
pub(crate) fn read(source: &mut Source, path: &Path) -> Result<Beginning, Error> {
    let at = At(path);
    if source.len() < 8 {
        return Err(at.not_medical(format!("it has {} bytes", source.len())));
    }
    let head = source.range(0..source.len().min(132)).map_err(|e| at.read(e))?;
    let start = meta_start(&head).unwrap_or(0);
    if !starts_with_meta(source, start).map_err(|e| at.read(e))? {
        return guess(source, path, start);
    }
    let (uid, data_set) = meta(source, start)
        .map_err(|_| at.damaged("the file meta information", "ends in the middle of an element"))?;
    match uid {
        Some(uid) => {
            let mut syntax = Syntax::of_uid(&uid);
            if !syntax.deflated && !syntax.encoding.big_endian {
                syntax.encoding.explicit = is_explicit(source, data_set)
                    .map_err(|e| at.read(e))?
                    .unwrap_or(syntax.encoding.explicit);
            }
            Ok(Beginning { syntax, data_set })
        }
        None => guess(source, path, data_set).map_err(|_| {
            at.field(
                "Transfer Syntax UID (0002,0010)",
                "is missing, and the data set does not show it",
            )
        }),
    }
}

/// Whether the first element says its type. Some writers name the one syntax and write the other.
fn is_explicit(source: &mut Source, data_set: u64) -> std::io::Result<Option<bool>> {
    if source.len() < data_set + 8 {
        return Ok(None);
    }
    source.go(data_set)?;
    let bytes: [u8; 8] = source.take()?;
    Ok(Some(is_vr([bytes[4], bytes[5]])))
}

/// Whether these first bytes are those of a DICOM file.
pub(crate) fn looks_like_dicom(head: &[u8]) -> bool {
    if meta_start(head).is_some() {
        return true;
    }
    head.get(..8).and_then(|bytes| bytes.try_into().ok()).is_some_and(|bytes: [u8; 8]| {
        bytes[..2] == [2, 0] && bytes[3] == 0 && is_vr([bytes[4], bytes[5]])
            || encoding_of(bytes).is_some()
    })
}

fn meta_start(head: &[u8]) -> Option<u64> {
    (head.get(PREAMBLE..PREAMBLE + 4)? == b"DICM").then_some(PREAMBLE as u64 + 4)
}

fn starts_with_meta(source: &mut Source, start: u64) -> std::io::Result<bool> {
    if source.len() < start + 8 {
        return Ok(false);
    }
    source.go(start)?;
    let bytes: [u8; 8] = source.take()?;
    Ok(bytes[..2] == [2, 0] && bytes[3] == 0 && is_vr([bytes[4], bytes[5]]))
}

/// The transfer syntax's UID, and where group 2 ends: at the first element of another group, whatever its stated length is.
fn meta(source: &mut Source, start: u64) -> std::io::Result<(Option<String>, u64)> {
    source.go(start)?;
    let mut uid = None;
    loop {
        let begin = source.at();
        if begin == source.len() {
            return Ok((uid, begin));
        }
        let [g0, g1, e0, e1] = source.take()?;
        if [g0, g1] != [2, 0] {
            return Ok((uid, begin));
        }
        let vr: [u8; 2] = source.take()?;
        let length = if has_long_length(vr) {
            let _: [u8; 2] = source.take()?;
            u64::from(u32::from_le_bytes(source.take()?))
        } else {
            u64::from(u16::from_le_bytes(source.take()?))
        };
        let end = source.at() + length;
        if source.len() < end {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if [e0, e1] == [0x10, 0] && length <= 64 {
            let value = source.range(source.at()..end)?;
            let text: String = value.iter().map(|&byte| char::from(byte)).collect();
            let text = text.trim_end_matches(['\0', ' ']);
            uid = (!text.is_empty()).then(|| text.into());
        }
        source.go(end)?;
    }
}

/// Without meta information: implicit or explicit, by what stands where the type of the first element would be.
fn guess(source: &mut Source, path: &Path, start: u64) -> Result<Beginning, Error> {
    let at = At(path);
    if source.len() < start + 8 {
        return Err(at.damaged("the data set", "is missing: the file ends after its beginning"));
    }
    source.go(start).map_err(|e| at.read(e))?;
    let bytes: [u8; 8] = source.take().map_err(|e| at.read(e))?;
    let encoding = encoding_of(bytes).ok_or_else(|| {
        at.not_medical(
            "it has neither the mark DICM at byte 128 nor an element of DICOM at its beginning",
        )
    })?;
    Ok(Beginning { syntax: Syntax::of_encoding(encoding), data_set: start })
}

/// A data set begins with group 8 or another small even one, and its first value is short.
fn encoding_of(bytes: [u8; 8]) -> Option<Encoding> {
    let explicit = is_vr([bytes[4], bytes[5]]);
    match bytes {
        [0x08 | 0x04 | 0x10 | 0x18 | 0x20 | 0x28, 0, _, 0 | 0x10 | 0x11, ..] if explicit => {
            Some(Encoding::EXPLICIT)
        }
        [0x08 | 0x04 | 0x10, 0, _, 0, .., length, 0] if length < 4 => Some(Encoding::IMPLICIT),
        [0, 0x08 | 0x04 | 0x10, 0, _, ..] if explicit => Some(Encoding::BIG_ENDIAN),
        _ => None,
    }
}

/// Whether two bytes are a value representation of PS3.5 Table 6.2-1.
pub(crate) fn is_vr(vr: [u8; 2]) -> bool {
    const SHORT: &[&[u8; 2]] = &[
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN",
        b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
    ];
    has_long_length(vr) || SHORT.contains(&&vr)
}

/// Whether its length has four bytes behind two that are reserved (PS3.5 7.1.2).
pub(crate) fn has_long_length(vr: [u8; 2]) -> bool {
    const LONG: &[&[u8; 2]] = &[
        b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV",
    ];
    LONG.contains(&&vr)
}
