//! What a header says of a picture: all that goes into its provenance, and nothing that names the patient.

use dicom_dictionary_std::tags;

use super::file::DicomFile;
use super::header::{Header, text_of};
use super::layout::Layout;
use crate::{Format, Identifiers, Orientation, OrientationSource, Provenance, Recipe};

/// What the file says, before anything is done to the pixels.
pub(crate) fn provenance(
    file: &DicomFile,
    layout: &Layout,
    frame: u32,
    (recipe, because): (Recipe, &str),
) -> Provenance {
    let header = &file.header;
    let size = [layout.columns, layout.rows];
    let mut provenance = Provenance::new(Format::Dicom, size, recipe, because);
    provenance.photometric = Some(layout.photometric.clone());
    provenance.orientation = orientation(header, frame);
    provenance.view = header.code(tags::VIEW_POSITION);
    provenance.laterality =
        header.code(tags::IMAGE_LATERALITY).or_else(|| header.code(tags::LATERALITY));
    provenance.modality = header.code(tags::MODALITY);
    provenance.transfer_syntax = Some(file.syntax.to_record());
    provenance.bits = Some(layout.bits);
    provenance.spacing_mm = spacing(header, frame);
    provenance.frame = (1 < layout.frames).then_some(frame);
    provenance
}

/// Identifiers, for those who ask for them.
pub(crate) fn identifiers(header: &Header) -> Identifiers {
    Identifiers {
        study_instance_uid: header.text(tags::STUDY_INSTANCE_UID),
        series_instance_uid: header.text(tags::SERIES_INSTANCE_UID),
        sop_instance_uid: header.text(tags::SOP_INSTANCE_UID),
        patient_id: header.text(tags::PATIENT_ID),
        accession_number: header.text(tags::ACCESSION_NUMBER),
    }
}

/// From the direction cosines where they are, else from the letters.
pub(crate) fn orientation(header: &Header, frame: u32) -> Option<Orientation> {
    if let Some([a, b, c, d, e, f]) = header.vector(tags::IMAGE_ORIENTATION_PATIENT, frame) {
        let from = OrientationSource::ImageOrientationPatient;
        return Orientation::from_cosines([a, b, c], [d, e, f], from);
    }
    let letters = header.of_frame(tags::PATIENT_ORIENTATION, frame).and_then(text_of)?;
    let (right, down) = letters.split_once('\\')?;
    let from = OrientationSource::PatientOrientation;
    Orientation::from_letters(right.trim(), down.trim(), from)
}

/// Distance of rows and of columns in millimetres, where both are positive.
pub(crate) fn spacing(header: &Header, frame: u32) -> Option<[f64; 2]> {
    [tags::PIXEL_SPACING, tags::IMAGER_PIXEL_SPACING, tags::NOMINAL_SCANNED_PIXEL_SPACING]
        .into_iter()
        .find_map(|tag| header.vector(tag, frame))
        .filter(|spacing: &[f64; 2]| spacing.iter().all(|mm| (1e-6..1e6).contains(mm)))
}

/// How much higher a pixel is than wide: by its spacing, else by Pixel Aspect Ratio (PS3.3 C.7.6.3.1.7).
pub(crate) fn aspect(header: &Header, frame: u32) -> f64 {
    let [vertical, horizontal] = spacing(header, frame)
        .or_else(|| header.vector(tags::PIXEL_ASPECT_RATIO, frame))
        .unwrap_or([1.0, 1.0]);
    let ratio = vertical / horizontal;
    if (1e-3..1e3).contains(&ratio) { ratio } else { 1.0 }
}

/// Where the frame lies along the normal of its rows and columns, in millimetres.
pub(crate) fn position(header: &Header, frame: u32) -> Option<f64> {
    let [x, y, z] = header.vector(tags::IMAGE_POSITION_PATIENT, frame)?;
    let [a, b, c, d, e, f] = header.vector(tags::IMAGE_ORIENTATION_PATIENT, frame)?;
    let position = x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d);
    position.is_finite().then_some(position)
}

/// Slice Thickness in millimetres.
pub(crate) fn thickness(header: &Header, frame: u32) -> Option<f64> {
    header.number(tags::SLICE_THICKNESS, frame).ok()?.filter(|mm| 0.0 < *mm)
}

/// Whether the file says that it has text in its pixels.
pub(crate) fn says_burnt_in(header: &Header) -> bool {
    header.text(tags::BURNED_IN_ANNOTATION).is_some_and(|text| text == "YES")
}

/// Whether the file says that it is a lateral radiograph, and by what.
pub(crate) fn lateral(provenance: &Provenance) -> Option<String> {
    if let Some(view) = &provenance.view {
        let is_lateral = matches!(view.as_str(), "LL" | "RL" | "LATERAL" | "LAT" | "LLD" | "RLD");
        return is_lateral.then(|| format!("its view position is {view}"));
    }
    let orientation = provenance.orientation.as_ref()?;
    let right = orientation.right();
    right.starts_with(['A', 'P']).then(|| format!("its rows go to {right}"))
}
