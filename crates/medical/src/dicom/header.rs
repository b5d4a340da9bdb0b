//! Values of a data set, with the tag in every complaint.

use std::path::PathBuf;

use dicom_core::Tag;
use dicom_core::value::Value;
use dicom_dictionary_std::tags;
use dicom_object::mem::{InMemDicomObject, InMemElement};

use super::walk::name;
use crate::Error;
use crate::error::At;

/// The data set of a file without its pixels.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) path: PathBuf,
    object: InMemDicomObject,
}

/// Letters of one value that is shown; longer ones are no codes.
const LONGEST_CODE: usize = 16;

impl Header {
    pub(crate) fn new(path: PathBuf, object: InMemDicomObject) -> Self {
        Self { path, object }
    }

    /// The data set itself.
    pub(crate) fn into_object(self) -> InMemDicomObject {
        self.object
    }

    pub(crate) fn at(&self) -> At<'_> {
        At(&self.path)
    }

    /// An element of the data set itself.
    pub(crate) fn get(&self, tag: Tag) -> Option<&InMemElement> {
        self.object.get(tag).filter(|element| !is_empty(element))
    }

    /// An element that may be said for a frame alone or for all frames together (PS3.3 C.7.6.16): in the data set, in the frame's functional
    /// groups or in the shared ones.
    pub(crate) fn of_frame(&self, tag: Tag, frame: u32) -> Option<&InMemElement> {
        self.get(tag)
            .or_else(|| self.in_groups(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame, tag))
            .or_else(|| self.in_groups(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0, tag))
    }

    fn in_groups(&self, groups: Tag, item: u32, tag: Tag) -> Option<&InMemElement> {
        let group = self.items(groups).get(item as usize)?;
        group.iter().find_map(|element| {
            let inner = element.items()?.first()?;
            inner.get(tag).filter(|element| !is_empty(element))
        })
    }

    /// Items of a sequence; none where there is none.
    pub(crate) fn items(&self, tag: Tag) -> &[InMemDicomObject] {
        self.object.get(tag).and_then(|element| element.items()).unwrap_or_default()
    }

    /// The text of an element, without padding.
    pub(crate) fn text(&self, tag: Tag) -> Option<String> {
        text_of(self.get(tag)?)
    }

    /// A short code in capital letters, such as a modality; anything else is no code and may be a name.
    pub(crate) fn code(&self, tag: Tag) -> Option<String> {
        let text = self.text(tag)?;
        let is_code = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || " _".contains(c);
        (!text.is_empty() && text.len() <= LONGEST_CODE && text.chars().all(is_code))
            .then_some(text)
    }

    /// A whole number.
    pub(crate) fn integer(&self, tag: Tag) -> Result<Option<i64>, Error> {
        let Some(element) = self.get(tag) else { return Ok(None) };
        let value = element
            .to_int::<i64>()
            .map_err(|_| self.at().field(name(tag), "is no whole number"))?;
        Ok(Some(value))
    }

    /// A small number that must be there.
    pub(crate) fn required(&self, tag: Tag) -> Result<u16, Error> {
        let wrong = |reason: String| self.at().field(name(tag), reason);
        let value = self
            .integer(tag)?
            .ok_or_else(|| wrong("is missing; the file has no picture, or not all of it".into()))?;
        u16::try_from(value).map_err(|_| wrong(format!("is {value}, which it cannot be")))
    }

    /// Finite numbers of an element, wherever it stands for the frame.
    pub(crate) fn numbers(&self, tag: Tag, frame: u32) -> Result<Option<Vec<f64>>, Error> {
        let Some(element) = self.of_frame(tag, frame) else { return Ok(None) };
        let values =
            numbers_of(element).ok_or_else(|| self.at().field(name(tag), "is no finite number"))?;
        Ok(Some(values))
    }

    /// The first of them.
    pub(crate) fn number(&self, tag: Tag, frame: u32) -> Result<Option<f64>, Error> {
        Ok(self.numbers(tag, frame)?.and_then(|values| values.first().copied()))
    }

    /// Exactly `N` of them; other counts are taken as missing.
    pub(crate) fn vector<const N: usize>(&self, tag: Tag, frame: u32) -> Option<[f64; N]> {
        self.numbers(tag, frame).ok()??.try_into().ok()
    }
}

/// The text of an element; values are kept apart by `\`.
pub(crate) fn text_of(element: &InMemElement) -> Option<String> {
    let text = element.to_str().ok()?;
    Some(text.trim_matches(['\0', ' ']).to_owned())
}

/// All values of an element as finite numbers.
pub(crate) fn numbers_of(element: &InMemElement) -> Option<Vec<f64>> {
    let values = element.to_multi_float64().ok()?;
    values.iter().all(|value| value.is_finite()).then_some(values)
}

/// All values of an element as words: tables of the types US, SS and OW, and of OB, two bytes to a word.
pub(crate) fn words_of(element: &InMemElement) -> Option<Vec<u16>> {
    if element.vr() == dicom_core::VR::OB || element.vr() == dicom_core::VR::UN {
        let bytes = element.to_bytes().ok()?;
        return Some(
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect(),
        );
    }
    let wide: Vec<i32> = element.to_multi_int().ok()?;
    Some(wide.into_iter().map(|value| value as u16).collect())
}

fn is_empty(element: &InMemElement) -> bool {
    match element.value() {
        Value::Primitive(value) => value.calculate_byte_len() == 0,
        Value::Sequence(sequence) => sequence.items().is_empty(),
        Value::PixelSequence(_) => false,
    }
}
