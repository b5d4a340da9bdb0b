//! Headers of the pictures that maps lie over: read up to the pixels, with bounds.

use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use crate::{Limits, dicom::DicomFile};

use super::{Error, SourceFrame, copied::kept, elements::Object, plane::Plane, uid::is_uid};

/// What the objects need of a source.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) frame: SourceFrame,
    /// Where each frame has its own number in references: images of several frames alone.
    pub(super) frame_number: Option<u32>,
    /// What is copied of its header; the rest is not kept, as a series may have thousands.
    pub(super) header: Object,
    pub(super) class: String,
    pub(super) instance: String,
    pub(super) study: String,
    pub(super) series: String,
    pub(super) patient: String,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Where it lies in the patient, or why that is not known.
    pub(super) plane: Result<Plane, String>,
}

impl Source {
    /// What this header says of a frame.
    fn of(header: &Object, frame: &SourceFrame) -> Result<Self, Error> {
        let uid = |tag, attribute| required_uid(header, tag, attribute, &frame.path);
        let frames = number(header, tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        if frame.frame >= frames {
            let what = format!("is {frames}, and frame {} was asked for", frame.frame);
            return Err(attribute(&frame.path, "NumberOfFrames (0028,0008)", what));
        }
        let size = |tag, name| match number(header, tag) {
            Some(found @ 1..=0xffff) => Ok(found as usize),
            found => Err(attribute(&frame.path, name, format!("is {found:?}, not 1 to 65535"))),
        };
        Ok(Self {
            frame: frame.clone(),
            frame_number: (frames > 1).then_some(frame.frame + 1),
            class: uid(tags::SOP_CLASS_UID, "SOPClassUID (0008,0016)")?,
            instance: uid(tags::SOP_INSTANCE_UID, "SOPInstanceUID (0008,0018)")?,
            study: uid(tags::STUDY_INSTANCE_UID, "StudyInstanceUID (0020,000D)")?,
            series: uid(tags::SERIES_INSTANCE_UID, "SeriesInstanceUID (0020,000E)")?,
            patient: string(header, tags::PATIENT_ID).unwrap_or_default(),
            rows: size(tags::ROWS, "Rows (0028,0010)")?,
            columns: size(tags::COLUMNS, "Columns (0028,0011)")?,
            plane: Plane::of(header, frame.frame as usize),
            header: kept(header),
        })
    }
}

/// Reads all sources. A file that several frames in a row are of is read once.
pub(super) fn read_all(frames: &[SourceFrame]) -> Result<Vec<Source>, Error> {
    let mut sources: Vec<Source> = Vec::with_capacity(frames.len());
    let mut last: Option<(&Path, Object)> = None;
    for frame in frames {
        let header = match last {
            Some((path, header)) if path == frame.path => header,
            _ => read_header(&frame.path)?,
        };
        sources.push(Source::of(&header, frame)?);
        last = Some((&frame.path, header));
    }
    let first = &sources[0];
    if let Some(other) = sources.iter().find(|other| other.patient != first.patient) {
        let paths = [first, other].map(|source| source.frame.path.clone());
        let [first, second] = paths;
        return Err(Error::Patients { first, second });
    }
    Ok(sources)
}

/// The data set of a file up to its pixels, as pictures are read: bounded before it is parsed.
fn read_header(path: &Path) -> Result<Object, Error> {
    use crate::Error as Reading;
    let opened = DicomFile::open(path, &Limits::default());
    opened.map(|file| file.header.into_object()).map_err(|error| match error {
        Reading::Read { path, source } => Error::Read { path, source },
        Reading::NotAFile { path, .. } => Error::NotAFile { path },
        other => Error::Source(other),
    })
}

/// An attribute's text without padding; none where it is missing or empty.
pub(super) fn string(object: &Object, tag: Tag) -> Option<String> {
    let text = object.get(tag)?.to_str().ok()?;
    let text = text.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// An attribute's first number.
pub(super) fn number(object: &Object, tag: Tag) -> Option<u32> {
    object.get(tag)?.to_int().ok()
}

/// An attribute's numbers, all finite.
pub(super) fn numbers<const N: usize>(object: &Object, tag: Tag) -> Option<[f64; N]> {
    let found = object.get(tag)?.to_multi_float64().ok()?;
    let found: [f64; N] = found.try_into().ok()?;
    found.iter().all(|value| value.is_finite()).then_some(found)
}

fn required_uid(
    object: &Object,
    tag: Tag,
    name: &'static str,
    path: &Path,
) -> Result<String, Error> {
    let Some(found) = string(object, tag) else {
        return Err(attribute(path, name, "is missing: no object can refer to this file".into()));
    };
    if is_uid(&found) {
        Ok(found)
    } else {
        Err(attribute(path, name, "is no identifier of digits and dots".into()))
    }
}

fn attribute(path: &Path, attribute: &'static str, problem: String) -> Error {
    Error::Attribute { path: path.to_owned(), attribute, problem }
}
