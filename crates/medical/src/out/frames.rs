//! What images of several frames say about each: where it lies and what it was made of (PS3.3 C.7.6.16).

use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;

use super::{
    common::{Batch, reference},
    elements::{Code, Object, Put},
    plane::Plane,
    source::Source,
};

/// The purpose of a source (PS3.16 CID 7202).
pub(super) const SOURCE_IMAGE: Code =
    Code("121322", "DCM", "Source image for image processing operation");

/// What tells frames apart: the attribute, the functional group that holds it, its name.
pub(super) struct Dimension(pub(super) Tag, pub(super) Tag, pub(super) &'static str);

/// By place in the patient.
pub(super) const BY_PLACE: Dimension = Dimension(
    tags::IMAGE_POSITION_PATIENT,
    tags::PLANE_POSITION_SEQUENCE,
    "Image Position (Patient)",
);

/// The Multi-frame Dimension module (C.7.6.17).
pub(super) fn put_dimensions(uid: &str, dimensions: &[Dimension], object: &mut Object) {
    let mut organization = Object::new_empty();
    organization.text(tags::DIMENSION_ORGANIZATION_UID, uid);
    object.items(tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![organization]);
    let item = |Dimension(attribute, group, label): &Dimension| {
        let mut item = Object::new_empty();
        item.text(tags::DIMENSION_ORGANIZATION_UID, uid);
        item.value(tags::DIMENSION_INDEX_POINTER, VR::AT, PrimitiveValue::from(*attribute));
        item.value(tags::FUNCTIONAL_GROUP_POINTER, VR::AT, PrimitiveValue::from(*group));
        item.text(tags::DIMENSION_DESCRIPTION_LABEL, label);
        item
    };
    object.items(tags::DIMENSION_INDEX_SEQUENCE, dimensions.iter().map(item).collect());
}

/// Frame of Reference (C.7.4.1), and what all frames share of their place. A picture that does not say where it lies has neither.
pub(super) fn put_plane(plane: &Plane, object: &mut Object, shared: &mut Object) {
    object.text(tags::FRAME_OF_REFERENCE_UID, &plane.frame_of_reference);
    object.empty(tags::POSITION_REFERENCE_INDICATOR);
    shared.items(tags::PIXEL_MEASURES_SEQUENCE, vec![plane.measures()]);
    shared.items(tags::PLANE_ORIENTATION_SEQUENCE, vec![plane.orientation()]);
}

/// The functional groups of one frame: Frame Content (C.7.6.16.2.2), Derivation Image (C.7.6.16.2.6) and, in a volume, its place.
pub(super) fn frame(source: &Source, derivation: Code, indices: &[u32]) -> Object {
    let mut frame = Object::new_empty();
    let mut content = Object::new_empty();
    let values = PrimitiveValue::U32(indices.to_vec().into());
    content.value(tags::DIMENSION_INDEX_VALUES, VR::UL, values);
    frame.items(tags::FRAME_CONTENT_SEQUENCE, vec![content]);
    let mut derived = Object::new_empty();
    derived.items(tags::SOURCE_IMAGE_SEQUENCE, vec![source_image(source)]);
    derived.code(tags::DERIVATION_CODE_SEQUENCE, derivation);
    frame.items(tags::DERIVATION_IMAGE_SEQUENCE, vec![derived]);
    if let Ok(plane) = &source.plane {
        frame.items(tags::PLANE_POSITION_SEQUENCE, vec![plane.place()]);
    }
    frame
}

fn source_image(source: &Source) -> Object {
    let mut item = reference(source);
    // A pixel of the object lies over the same pixel of its source.
    item.text(tags::SPATIAL_LOCATIONS_PRESERVED, "YES");
    item.code(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, SOURCE_IMAGE);
    item
}

/// Image Pixel (C.7.6.3) but for what the kind of pixel decides.
pub(super) fn put_size(source: &Source, frames: usize, object: &mut Object) {
    object.text(tags::NUMBER_OF_FRAMES, &frames.to_string());
    object.short(tags::SAMPLES_PER_PIXEL, 1);
    object.text(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2");
    object.short(tags::ROWS, source.rows as u16);
    object.short(tags::COLUMNS, source.columns as u16);
    object.text(tags::LOSSY_IMAGE_COMPRESSION, "00");
    object.text(tags::PRESENTATION_LUT_SHAPE, "IDENTITY");
    object.text(tags::BURNED_IN_ANNOTATION, "NO");
}

/// What a person reads first, and how far it is to be trusted (PS3.3 table 10-12).
pub(super) fn put_content(batch: &Batch<'_>, label: &str, what: &str, object: &mut Object) {
    object.text(tags::CONTENT_LABEL, label);
    object.text(tags::CONTENT_DESCRIPTION, what);
    // No person made it.
    object.empty(tags::CONTENT_CREATOR_NAME);
    object.text(tags::CONTENT_QUALIFICATION, "RESEARCH");
    object.text(tags::DERIVATION_DESCRIPTION, &batch.derivation(what));
}
