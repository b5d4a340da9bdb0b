//! Where a picture lies in the patient (PS3.3 section C.7.6.2).

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::{
    elements::{Object, Put},
    source::{numbers, string},
    uid::is_uid,
};

/// Position, directions and distances of a picture's pixels, in millimetres of the patient's coordinates: left, posterior, head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plane {
    /// The coordinates that others can be compared with.
    pub(super) frame_of_reference: String,
    /// The centre of the first pixel.
    pub(super) position: [f64; 3],
    /// The direction along a row.
    pub(super) along_row: [f64; 3],
    /// The direction along a column.
    pub(super) along_column: [f64; 3],
    /// From row to row, and from column to column.
    pub(super) spacing: [f64; 2],
    /// How thick the slice is, where that is known.
    pub(super) thickness: Option<f64>,
}

impl Plane {
    /// The plane of a frame, from zero on; or what is missing.
    pub(super) fn of(header: &Object, frame: usize) -> Result<Self, String> {
        let reader = Reader { header, frame };
        let missing = |what: &str| format!("its source has no {what}");
        let frame_of_reference = string(header, tags::FRAME_OF_REFERENCE_UID)
            .filter(|uid| is_uid(uid))
            .ok_or_else(|| missing("FrameOfReferenceUID (0020,0052)"))?;
        let position = reader
            .numbers(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT)
            .ok_or_else(|| missing("ImagePositionPatient (0020,0032)"))?;
        let [a, b, c, d, e, f] = reader
            .numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT)
            .ok_or_else(|| missing("ImageOrientationPatient (0020,0037)"))?;
        let spacing = reader
            .numbers(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING)
            .filter(|spacing: &[f64; 2]| spacing.iter().all(|side| *side > 0.0))
            .ok_or_else(|| missing("PixelSpacing (0028,0030) above zero"))?;
        let thickness = reader
            .numbers(tags::PIXEL_MEASURES_SEQUENCE, tags::SLICE_THICKNESS)
            .map(|[thickness]| thickness)
            .filter(|thickness| *thickness > 0.0);
        let (along_row, along_column) = ([a, b, c], [d, e, f]);
        let plane =
            Self { frame_of_reference, position, along_row, along_column, spacing, thickness };
        if plane.is_square() {
            Ok(plane)
        } else {
            Err("the directions of its source's rows and columns are no unit vectors at right angles (ImageOrientationPatient (0020,0037))".to_owned())
        }
    }

    /// Unit vectors at right angles, as far as their digits say.
    fn is_square(&self) -> bool {
        let near = |found: f64, wanted: f64| (found - wanted).abs() < 1e-3;
        near(dot(self.along_row, self.along_row), 1.0)
            && near(dot(self.along_column, self.along_column), 1.0)
            && near(dot(self.along_row, self.along_column), 0.0)
    }

    /// The direction from the picture towards the next slice: along the row × along the column.
    pub(super) fn normal(&self) -> [f64; 3] {
        cross(self.along_row, self.along_column)
    }

    /// How far along the normal the picture lies.
    pub(super) fn depth(&self) -> f64 {
        dot(self.position, self.normal())
    }

    /// Whether another picture lies in a parallel plane of the same coordinates, with the same distances.
    pub(super) fn is_parallel(&self, other: &Self) -> bool {
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        self.frame_of_reference == other.frame_of_reference
            && near(&self.along_row, &other.along_row)
            && near(&self.along_column, &other.along_column)
            && near(&self.spacing, &other.spacing)
    }

    /// The Pixel Measures macro (PS3.3 section C.7.6.16.2.1).
    pub(super) fn measures(&self) -> Object {
        let mut item = Object::new_empty();
        item.decimals(tags::PIXEL_SPACING, &self.spacing);
        // Type 1 for volumes. A pixel's side stands in where the source does not say.
        item.decimals(tags::SLICE_THICKNESS, &[self.thickness.unwrap_or(self.spacing[0])]);
        item
    }

    /// The Plane Orientation (Patient) macro (C.7.6.16.2.4).
    pub(super) fn orientation(&self) -> Object {
        let mut item = Object::new_empty();
        let both = [self.along_row, self.along_column].concat();
        item.decimals(tags::IMAGE_ORIENTATION_PATIENT, &both);
        item
    }

    /// The Plane Position (Patient) macro (C.7.6.16.2.3).
    pub(super) fn place(&self) -> Object {
        let mut item = Object::new_empty();
        item.decimals(tags::IMAGE_POSITION_PATIENT, &self.position);
        item
    }
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn cross([a, b, c]: [f64; 3], [d, e, f]: [f64; 3]) -> [f64; 3] {
    [b * f - c * e, c * d - a * f, a * e - b * d]
}

/// Finds an attribute where it stands: in the data set of a plain image, in a functional group of an enhanced one
/// (PS3.3 section C.7.6.16).
struct Reader<'a> {
    header: &'a Object,
    frame: usize,
}

impl Reader<'_> {
    fn numbers<const N: usize>(&self, group: Tag, tag: Tag) -> Option<[f64; N]> {
        let grouped = || {
            let own = item(self.header, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, self.frame);
            let shared = item(self.header, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0);
            [own, shared].into_iter().flatten().find_map(|found| item(found, group, 0))
        };
        numbers(self.header, tag).or_else(|| numbers(grouped()?, tag))
    }
}

fn item(object: &Object, sequence: Tag, index: usize) -> Option<&Object> {
    object.get(sequence)?.items()?.get(index)
}
