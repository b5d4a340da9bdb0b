//! A walk over the elements of a data set, without recursion and without values: it holds depth, number and lengths to their limits before
//! a parser sees the bytes, and finds the pixels.

use std::io;
use std::ops::Range;
use std::path::Path;

use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use super::part10::{has_long_length, is_vr};
use super::source::Source;
use super::syntax::Encoding;
use crate::error::{At, Bound};
use crate::{Error, Limits};

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    /// All in front of the pixels.
    pub(crate) header: Range<u64>,
    pub(crate) pixels: Option<PixelElement>,
}

/// Where pixels are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PixelElement {
    /// As they are; `words` where the element has the type OW.
    Native { at: Range<u64>, words: bool },
    /// In fragments (PS3.5 A.4), the first of which is a table of offsets and may be empty.
    Fragments(Vec<Range<u64>>),
    /// As floating point numbers.
    Float,
}

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// What is open around an element.
struct Open {
    is_item: bool,
    /// `None` where a delimiter ends it.
    end: Option<u64>,
    explicit: bool,
}

struct Element {
    tag: Tag,
    vr: [u8; 2],
    length: u32,
}

pub(crate) struct Walk<'a> {
    source: &'a mut Source,
    encoding: Encoding,
    at: At<'a>,
    limits: &'a Limits,
    open: Vec<Open>,
    elements: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        source: &'a mut Source,
        encoding: Encoding,
        path: &'a Path,
        limits: &'a Limits,
    ) -> Self {
        Self { source, encoding, at: At(path), limits, open: vec![], elements: 0 }
    }

    /// Walks from the beginning of the data set to its pixels, or to its end.
    pub(crate) fn run(mut self, data_set: u64) -> Result<Outline, Error> {
        self.source.go(data_set).map_err(|e| self.at.read(e))?;
        loop {
            self.close();
            let begin = self.source.at();
            let header = data_set..begin;
            if self.open.is_empty() && begin == self.source.len() {
                return self.outline(header, None);
            }
            let element = self.element(begin)?;
            self.elements += 1;
            self.at.limit(&Bound::elements(self.limits), self.elements)?;
            if self.open.is_empty() && is_pixels(element.tag) {
                let pixels = self.pixels(&element)?;
                return self.outline(header, Some(pixels));
            }
            self.step(&element)?;
            self.at.limit(&Bound::depth(self.limits), self.open.len() as u64 / 2)?;
        }
    }

    fn outline(&self, header: Range<u64>, pixels: Option<PixelElement>) -> Result<Outline, Error> {
        self.at.limit(&Bound::header_bytes(self.limits), header.end - header.start)?;
        Ok(Outline { header, pixels })
    }

    /// Where the innermost thing of known length ends.
    fn end(&self) -> u64 {
        self.open.iter().rev().find_map(|open| open.end).unwrap_or(self.source.len())
    }

    fn close(&mut self) {
        while self.open.last().is_some_and(|open| open.end == Some(self.source.at())) {
            self.open.pop();
        }
    }

    fn is_explicit(&self) -> bool {
        self.open.last().map_or(self.encoding.explicit, |open| open.explicit)
    }

    /// Tag, type and length; the source stands behind them.
    fn element(&mut self, begin: u64) -> Result<Element, Error> {
        if self.end() < begin + 8 {
            let place = if self.open.is_empty() { "the data set" } else { "a sequence" };
            return Err(self.at.damaged(place, format!("ends within an element at byte {begin}")));
        }
        let found = self.element_here().map_err(|e| self.at.read(e))?;
        let Element { tag, vr, .. } = found;
        if vr != *b"--" && !is_vr(vr) {
            let reason = format!("has no value representation of DICOM (byte {begin})");
            return Err(self.at.damaged(name(tag), reason));
        }
        Ok(found)
    }

    fn element_here(&mut self) -> io::Result<Element> {
        let tag = Tag(self.u16()?, self.u16()?);
        if tag.0 == 0xFFFE || !self.is_explicit() {
            return Ok(Element { tag, vr: *b"--", length: self.u32()? });
        }
        let vr = self.source.take()?;
        if !has_long_length(vr) {
            return Ok(Element { tag, vr, length: self.u16()?.into() });
        }
        let _reserved: [u8; 2] = self.source.take()?;
        Ok(Element { tag, vr, length: self.u32()? })
    }

    fn u16(&mut self) -> io::Result<u16> {
        let bytes = self.source.take()?;
        Ok(if self.encoding.big_endian { u16::from_be_bytes } else { u16::from_le_bytes }(bytes))
    }

    fn u32(&mut self) -> io::Result<u32> {
        let bytes = self.source.take()?;
        Ok(if self.encoding.big_endian { u32::from_be_bytes } else { u32::from_le_bytes }(bytes))
    }

    /// Into a sequence or item, out of one, or over a value.
    fn step(&mut self, element: &Element) -> Result<(), Error> {
        let in_item = self.open.last().is_none_or(|open| open.is_item);
        match element.tag {
            ITEM if !in_item => self.enter(element, true),
            ITEM_END | SEQUENCE_END => self.leave(element.tag),
            tag if !in_item || tag == ITEM => Err(self.at.damaged(
                name(tag),
                format!("stands where none can be (byte {})", self.source.at()),
            )),
            _ if is_sequence(element) => self.enter(element, false),
            // Pixels of an icon, compressed.
            tag if is_pixels(tag) => self.pixels(element).map(drop),
            _ => {
                let end = self.value_end(element)?;
                self.source.go(end).map_err(|e| self.at.read(e))
            }
        }
    }

    fn enter(&mut self, element: &Element, is_item: bool) -> Result<(), Error> {
        let end = match element.length {
            UNDEFINED => None,
            _ => Some(self.value_end(element)?),
        };
        // An element of unknown type and undefined length holds implicit elements (PS3.5 6.2.2).
        let explicit = self.is_explicit() && element.vr != *b"UN";
        self.open.push(Open { is_item, end, explicit });
        Ok(())
    }

    fn leave(&mut self, tag: Tag) -> Result<(), Error> {
        let expected = self
            .open
            .last()
            .is_some_and(|open| open.end.is_none() && open.is_item == (tag == ITEM_END));
        if !expected {
            return Err(self.at.damaged(name(tag), "ends what was not begun"));
        }
        self.open.pop();
        Ok(())
    }

    fn value_end(&self, element: &Element) -> Result<u64, Error> {
        let left = self.end().saturating_sub(self.source.at());
        if element.length == UNDEFINED {
            let reason = "has no length, and only sequences and compressed pixels may have none";
            return Err(self.at.damaged(name(element.tag), reason));
        }
        if left < u64::from(element.length) {
            let reason = format!("says that it has {} bytes, and {left} are left", element.length);
            return Err(self.at.damaged(name(element.tag), reason));
        }
        Ok(self.source.at() + u64::from(element.length))
    }

    fn pixels(&mut self, element: &Element) -> Result<PixelElement, Error> {
        if element.tag.1 != 0x0010 {
            return Ok(PixelElement::Float);
        }
        if element.length != UNDEFINED {
            let end = self.value_end(element)?;
            let words = element.vr != *b"OB";
            let begin = self.source.at();
            self.source.go(end).map_err(|e| self.at.read(e))?;
            return Ok(PixelElement::Native { at: begin..end, words });
        }
        let mut fragments = vec![];
        loop {
            let begin = self.source.at();
            if self.source.len() < begin + 8 {
                return Err(self
                    .at
                    .damaged("the pixel data", "never ends: its last fragment has no end mark"));
            }
            let item = self.element_here().map_err(|e| self.at.read(e))?;
            match item.tag {
                SEQUENCE_END => return Ok(PixelElement::Fragments(fragments)),
                ITEM => {
                    let end = self.value_end(&item)?;
                    fragments.push(self.source.at()..end);
                    self.source.go(end).map_err(|e| self.at.read(e))?;
                }
                tag => {
                    return Err(self.at.damaged(
                        name(tag),
                        format!("stands between fragments of pixels (byte {begin})"),
                    ));
                }
            }
            self.at.limit(&Bound::elements(self.limits), self.elements + fragments.len() as u64)?;
        }
    }
}

/// Float Pixel Data, Double Float Pixel Data and Pixel Data.
fn is_pixels(tag: Tag) -> bool {
    matches!(tag, Tag(0x7FE0, 0x0008 | 0x0009 | 0x0010))
}

fn is_sequence(element: &Element) -> bool {
    match &element.vr {
        b"SQ" => true,
        b"UN" => element.length == UNDEFINED,
        b"--" => element.length == UNDEFINED || is_known_sequence(element.tag),
        _ => false,
    }
}

fn is_known_sequence(tag: Tag) -> bool {
    StandardDataDictionary.by_tag(tag).is_some_and(|entry| entry.vr().exact() == Some(VR::SQ))
}

/// What an element is called in messages.
pub(crate) fn name(tag: Tag) -> String {
    let numbers = format!("({:04X},{:04X})", tag.0, tag.1);
    match StandardDataDictionary.by_tag(tag) {
        Some(entry) if tag.0.is_multiple_of(2) => format!("{} {numbers}", entry.alias()),
        _ => format!("the element {numbers}"),
    }
}
