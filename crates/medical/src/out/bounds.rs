//! Lengths of a header, looked at before a parser believes them: a value may claim gigabytes, and sequences may be nested until a
//! stack is full.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use dicom_core::{
    Tag, VR,
    dictionary::{DataDictionary, DataDictionaryEntry},
};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};

/// The most bytes before the pixels. Headers of the largest enhanced series have some megabytes.
pub(super) const MOST_BYTES: u64 = 64 << 20;

/// The most sequences within each other. Objects of DICOM have about ten.
const MOST_DEPTH: usize = 32;

const ITEM: Tag = Tag(0xfffe, 0xe000);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);
const UNDEFINED: u32 = u32::MAX;

/// A sequence that is not yet at its end.
struct Open {
    /// Where it ends; without, at a mark.
    end: Option<u64>,
    implicit: bool,
}

/// Walks over the headers of elements (PS3.5 section 7.1), and over values without reading them.
struct Walk {
    file: BufReader<File>,
    length: u64,
    big_endian: bool,
    implicit: bool,
    open: Vec<Open>,
}

struct Element {
    tag: Tag,
    vr: [u8; 2],
    length: u32,
}

/// Looks at all lengths up to the pixels. What is wrong with them, if anything is.
pub(super) fn check(file: File) -> Result<(), String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let file = BufReader::new(file);
    let mut walk = Walk { file, length, big_endian: false, implicit: false, open: Vec::new() };
    walk.run().map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends within an element".to_owned(),
        _ => error.to_string(),
    })
}

impl Walk {
    fn run(&mut self) -> io::Result<()> {
        self.meta()?;
        loop {
            let at = self.file.stream_position()?;
            while self.open.last().is_some_and(|open| open.end.is_some_and(|end| end <= at)) {
                self.open.pop();
            }
            if at >= self.length && self.open.is_empty() {
                return Ok(());
            }
            if at > MOST_BYTES {
                return refuse(format!("{MOST_BYTES} bytes have no pixels after them"));
            }
            let element = self.element()?;
            if self.open.is_empty() && element.tag >= tags::FLOAT_PIXEL_DATA {
                return Ok(());
            }
            self.step(&element)?;
        }
    }

    /// The file's meta information (PS3.10 section 7.1), which says how the rest is encoded.
    fn meta(&mut self) -> io::Result<()> {
        let mut head = [0; 132];
        self.file.read_exact(&mut head)?;
        if &head[128..] != b"DICM" {
            return refuse("it lacks the mark DICM at byte 128".to_owned());
        }
        let mut syntax = String::new();
        loop {
            let group = self.short()?;
            self.file.seek_relative(-2)?;
            if group != 2 {
                break;
            }
            let element = self.element()?;
            let end = self.end_of(&element)?;
            if element.tag == tags::TRANSFER_SYNTAX_UID {
                let mut value = vec![0; element.length.min(64) as usize];
                self.file.read_exact(&mut value)?;
                syntax = String::from_utf8_lossy(&value).into_owned();
            }
            self.file.seek(SeekFrom::Start(end))?;
        }
        let syntax = syntax.trim_end_matches(['\0', ' ']);
        self.implicit = syntax == uids::IMPLICIT_VR_LITTLE_ENDIAN;
        // Retired, and still found.
        self.big_endian = syntax == "1.2.840.10008.1.2.2";
        if syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            return refuse("it is deflated: write it anew without compression".to_owned());
        }
        Ok(())
    }

    fn element(&mut self) -> io::Result<Element> {
        let implicit = self.open.last().map_or(self.implicit, |open| open.implicit);
        let tag = Tag(self.short()?, self.short()?);
        if tag.0 == 0xfffe || implicit {
            return Ok(Element { tag, vr: *b"--", length: self.long()? });
        }
        let mut vr = [0; 2];
        self.file.read_exact(&mut vr)?;
        let known = std::str::from_utf8(&vr).ok().and_then(|vr| vr.parse::<VR>().ok());
        let length = match known {
            None => return refuse(format!("{tag} has no value representation of DICOM")),
            Some(vr) if is_long(vr) => {
                self.short()?;
                self.long()?
            }
            Some(_) => self.short()?.into(),
        };
        Ok(Element { tag, vr, length })
    }

    /// Into a sequence, out of one, or over a value.
    fn step(&mut self, element: &Element) -> io::Result<()> {
        if element.tag == SEQUENCE_END {
            self.open.pop();
            return Ok(());
        }
        if element.tag.0 == 0xfffe {
            // What is in an item stands behind its header.
            return Ok(());
        }
        let undefined = element.length == UNDEFINED;
        if is_sequence(element) {
            return self.enter(element);
        }
        if undefined {
            return self.fragments();
        }
        let end = self.end_of(element)?;
        self.file.seek(SeekFrom::Start(end))?;
        Ok(())
    }

    fn enter(&mut self, element: &Element) -> io::Result<()> {
        let end = match element.length {
            UNDEFINED => None,
            _ => Some(self.end_of(element)?),
        };
        let implicit = self.open.last().map_or(self.implicit, |open| open.implicit);
        // A sequence of unknown representation is implicit inside (PS3.5 section 6.2.2).
        self.open.push(Open { end, implicit: implicit || element.vr == *b"UN" });
        if self.open.len() > MOST_DEPTH {
            return refuse(format!("more than {MOST_DEPTH} sequences lie within each other"));
        }
        Ok(())
    }

    /// Over the fragments of an icon's pixels (PS3.5 section A.4).
    fn fragments(&mut self) -> io::Result<()> {
        loop {
            let item = Element {
                tag: Tag(self.short()?, self.short()?),
                vr: *b"--",
                length: self.long()?,
            };
            match item.tag {
                SEQUENCE_END => return Ok(()),
                ITEM => {
                    let end = self.end_of(&item)?;
                    self.file.seek(SeekFrom::Start(end))?;
                }
                tag => return refuse(format!("{tag} stands between fragments of pixels")),
            }
        }
    }

    /// Where a value ends, within the file.
    fn end_of(&mut self, element: &Element) -> io::Result<u64> {
        let at = self.file.stream_position()?;
        let left = self.length.saturating_sub(at);
        if u64::from(element.length) > left {
            let Element { tag, length, .. } = element;
            return refuse(format!("{tag} claims {length} bytes, and {left} are left"));
        }
        Ok(at + u64::from(element.length))
    }

    fn short(&mut self) -> io::Result<u16> {
        let mut bytes = [0; 2];
        self.file.read_exact(&mut bytes)?;
        Ok(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes)?;
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

fn is_sequence(element: &Element) -> bool {
    let undefined = element.length == UNDEFINED;
    match &element.vr {
        b"SQ" => true,
        b"UN" => undefined,
        b"--" => {
            let known = StandardDataDictionary.by_tag(element.tag);
            undefined || known.is_some_and(|entry| entry.vr().relaxed() == VR::SQ)
        }
        _ => false,
    }
}

/// Whether the length of a value has 32 bits (PS3.5 table 7.1-1).
fn is_long(vr: VR) -> bool {
    matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

fn refuse<T>(what: String) -> io::Result<T> {
    Err(io::Error::other(what))
}
