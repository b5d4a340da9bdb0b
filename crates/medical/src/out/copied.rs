//! What objects take over from their source, so that an archive files them beside it: the patient and the study, no more.

use dicom_core::{
    Tag, VR,
    dictionary::{DataDictionary, DataDictionaryEntry},
};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::{
    Error,
    elements::{Object, Put},
    source::{Source, string},
};

/// Patient (PS3.3 C.7.1.1) and General Study (C.7.2.1): empty where the source has none (Type 2).
const REQUIRED: [Tag; 9] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::STUDY_ID,
];

/// Left out where the source has none (Type 3).
const OPTIONAL: [Tag; 2] = [tags::ISSUER_OF_PATIENT_ID, tags::STUDY_DESCRIPTION];

/// Character sets that the reader decodes (PS3.3 C.12.1.1.2), without the prefix that says whether a text may switch sets.
/// The plain set of 94 letters is not among them: whatever lies outside of it was never declared.
const DECODED: [&str; 15] = [
    "13", "100", "101", "109", "110", "126", "127", "138", "144", "148", "149", "166", "192",
    "GB18030", "GBK",
];

/// The elements of a header that objects may need.
pub(super) fn kept(header: &Object) -> Object {
    let others = [tags::SPECIFIC_CHARACTER_SET, tags::PATIENT_ORIENTATION];
    let wanted = REQUIRED.into_iter().chain(OPTIONAL).chain(others);
    Object::from_element_iter(wanted.filter_map(|tag| header.get(tag).cloned()))
}

/// Copies patient and study of a source. The texts were decoded when it was read, and are written as UTF-8.
pub(super) fn copy_identity(source: &Source, object: &mut Object) -> Result<(), Error> {
    let charset = string(&source.header, tags::SPECIFIC_CHARACTER_SET).unwrap_or_default();
    let decoded = decoded(&charset);
    for (tag, required) in
        REQUIRED.map(|tag| (tag, true)).into_iter().chain(OPTIONAL.map(|tag| (tag, false)))
    {
        let found = string(&source.header, tag).unwrap_or_default();
        if !found.chars().all(|letter| is_readable(letter, decoded)) {
            return Err(undecoded(source, &charset));
        }
        let found = if fits(tag, &found) { found } else { String::new() };
        if required || !found.is_empty() {
            object.text(tag, &found);
        }
    }
    object.text(tags::STUDY_INSTANCE_UID, &source.study);
    Ok(())
}

/// Whether texts in this set were decoded. The reader goes by the first set of several.
fn decoded(charset: &str) -> bool {
    let first = charset.split('\\').next().unwrap_or_default().trim();
    let prefixes = ["ISO_IR ", "ISO 2022 IR "];
    let name = prefixes.iter().find_map(|prefix| first.strip_prefix(prefix)).unwrap_or(first);
    DECODED.contains(&name)
}

/// Whether a letter is one that the source meant. An escape switches to a set that the reader does not know, and it spells bytes
/// that it cannot decode with a backslash, which no copied text may hold (PS3.5 table 6.2-1).
fn is_readable(letter: char, decoded: bool) -> bool {
    match letter {
        '\\' => false,
        ' '..='~' => true,
        letter => decoded && !letter.is_control(),
    }
}

/// A garbled name would make another patient of the same one.
fn undecoded(source: &Source, charset: &str) -> Error {
    let charset: String = charset.chars().take(64).collect();
    Error::Attribute {
        path: source.frame.path.clone(),
        attribute: "SpecificCharacterSet (0008,0005)",
        problem: format!(
            "is {charset:?}, by which the patient's or the study's texts cannot be decoded: write the file anew as ISO_IR 192"
        ),
    }
}

/// Whether a text is what its representation may hold (PS3.5 table 6.2-1): a date that is none is not passed on.
fn fits(tag: Tag, text: &str) -> bool {
    let vr = StandardDataDictionary.by_tag(tag).map_or(VR::LO, |entry| entry.vr().relaxed());
    let all = |allowed: fn(u8) -> bool| text.bytes().all(allowed);
    match vr {
        VR::DA => text.is_empty() || text.len() == 8 && all(|byte| byte.is_ascii_digit()),
        VR::TM => text.len() <= 14 && all(|byte| byte.is_ascii_digit() || byte == b'.'),
        VR::CS => all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'_')),
        _ => true,
    }
}
