//! A volume of Hounsfield units as CT images (PS3.3 section A.3), one file for each slice.

use std::path::{Path, PathBuf};

use dicom_core::{PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use ndarray::{Array3, ArrayView2, Axis};

use super::{Error, Subject, subject::Kind};
use crate::out::{
    elements::{Object, Put},
    place::Staged,
};

/// A CT series to be written.
#[derive(Debug, Clone)]
pub struct CtSeries {
    /// `[slices, rows, columns]` in Hounsfield units, −1024 to 31743. The first slice lies lowest, the patient on the back, head
    /// first: rows lead from front to back, columns from the patient's right to the left.
    pub volume: Array3<i16>,
    /// From row to row and from column to column, in millimetres.
    pub spacing_mm: [f64; 2],
    /// From slice to slice, in millimetres.
    pub slice_spacing_mm: f64,
    /// How thick each slice is, in millimetres.
    pub thickness_mm: f64,
    /// Where the first voxel lies: left, posterior, head.
    pub origin_mm: [f64; 3],
    /// Whose it is.
    pub subject: Subject,
}

/// The value of Hounsfield zero in the stored values, and the least Hounsfield unit.
const INTERCEPT: i16 = -1024;

impl CtSeries {
    /// A series of slices that touch.
    pub fn new(
        volume: Array3<i16>,
        spacing_mm: [f64; 2],
        thickness_mm: f64,
        subject: Subject,
    ) -> Self {
        let (_, rows, columns) = volume.dim();
        let half = |count: usize, spacing: f64| -0.5 * count.saturating_sub(1) as f64 * spacing;
        let origin_mm = [half(columns, spacing_mm[1]), half(rows, spacing_mm[0]), 0.0];
        Self {
            volume,
            spacing_mm,
            slice_spacing_mm: thickness_mm,
            thickness_mm,
            origin_mm,
            subject,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let (slices, rows, columns) = self.volume.dim();
        let sides = 1..=usize::from(u16::MAX);
        if !sides.contains(&rows) || !sides.contains(&columns) || !(1..=10_000).contains(&slices) {
            let what =
                format!("a series of {slices} x {rows} x {columns} voxels cannot be written");
            return Err(Error::input(what));
        }
        let [row, column] = self.spacing_mm;
        let lengths = [row, column, self.slice_spacing_mm, self.thickness_mm];
        if lengths.iter().any(|length| !(length.is_finite() && *length > 0.0)) {
            return Err(Error::input(format!("distances {lengths:?} are not all above zero")));
        }
        // Stored without a sign, 16 bits from the intercept on.
        match self.volume.iter().find(|value| **value < INTERCEPT || **value > 31_743) {
            Some(value) => {
                Err(Error::input(format!("the volume holds {value}, not -1024 to 31743")))
            }
            None => Ok(()),
        }
    }
}

/// Writes the slices of a series as `slice-0001.dcm` and so on into a folder, which is made if there is none, and says where
/// they are, lowest first. Files of an earlier call are replaced; other files are left alone, which is an error.
pub fn write_ct_series(folder: &Path, series: &CtSeries) -> Result<Vec<PathBuf>, Error> {
    series.check()?;
    std::fs::create_dir_all(folder)
        .map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    let mut staged = Staged::default();
    let mut paths = Vec::new();
    for (index, slice) in series.volume.axis_iter(Axis(0)).enumerate() {
        let path = folder.join(format!("slice-{:04}.dcm", index + 1));
        staged.object(&path, image(series, index, slice))?;
        paths.push(path);
    }
    staged.commit()?;
    Ok(paths)
}

fn image(series: &CtSeries, index: usize, slice: ArrayView2<'_, i16>) -> Object {
    let mut object = Object::new_empty();
    let class = uids::CT_IMAGE_STORAGE;
    series.subject.put(&Kind { class, modality: "CT", instance: index + 1 }, &mut object);
    put_plane(series, index, &mut object);
    put_pixels(slice, &mut object);
    object
}

/// Frame of Reference (C.7.4.1), Image Plane (C.7.6.2), CT Image (C.8.2.1).
fn put_plane(series: &CtSeries, index: usize, object: &mut Object) {
    object.texts(tags::IMAGE_TYPE, &["DERIVED", "PRIMARY", "AXIAL"]);
    object.text(tags::BODY_PART_EXAMINED, "CHEST");
    object.text(tags::PATIENT_POSITION, "HFS");
    object.text(tags::FRAME_OF_REFERENCE_UID, &series.subject.uids("CT").named("frame"));
    object.empty(tags::POSITION_REFERENCE_INDICATOR);
    let [left, posterior, head] = series.origin_mm;
    let head = head + index as f64 * series.slice_spacing_mm;
    object.decimals(tags::IMAGE_POSITION_PATIENT, &[left, posterior, head]);
    object.decimals(tags::IMAGE_ORIENTATION_PATIENT, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    object.decimals(tags::PIXEL_SPACING, &series.spacing_mm);
    object.decimals(tags::SLICE_THICKNESS, &[series.thickness_mm]);
    object.decimals(tags::SPACING_BETWEEN_SLICES, &[series.slice_spacing_mm]);
    object.decimals(tags::SLICE_LOCATION, &[head]);
    object.empty(tags::KVP);
    object.text(tags::ACQUISITION_NUMBER, "1");
    object.text(tags::BURNED_IN_ANNOTATION, "NO");
    object.text(tags::DERIVATION_DESCRIPTION, "Computed, no picture of a person");
}

/// Image Pixel (C.7.6.3), and from stored values to Hounsfield units (C.8.2.1.1.2).
fn put_pixels(slice: ArrayView2<'_, i16>, object: &mut Object) {
    let (rows, columns) = slice.dim();
    object.short(tags::SAMPLES_PER_PIXEL, 1);
    object.text(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2");
    object.short(tags::ROWS, rows as u16);
    object.short(tags::COLUMNS, columns as u16);
    object.short(tags::BITS_ALLOCATED, 16);
    object.short(tags::BITS_STORED, 16);
    object.short(tags::HIGH_BIT, 15);
    object.short(tags::PIXEL_REPRESENTATION, 0);
    object.decimals(tags::RESCALE_INTERCEPT, &[f64::from(INTERCEPT)]);
    object.decimals(tags::RESCALE_SLOPE, &[1.0]);
    object.text(tags::RESCALE_TYPE, "HU");
    object.decimals(tags::WINDOW_CENTER, &[40.0]);
    object.decimals(tags::WINDOW_WIDTH, &[400.0]);
    let stored = slice.iter().map(|value| (i32::from(*value) - i32::from(INTERCEPT)) as u16);
    let stored: Vec<u16> = stored.collect();
    object.value(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(stored.into()));
}
