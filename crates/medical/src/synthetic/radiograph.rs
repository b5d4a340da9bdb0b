//! A grey picture as a Computed Radiography image (PS3.3 section A.2).

use std::path::Path;

use dicom_core::{PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use ndarray::Array2;

use super::{Error, Subject, subject::Kind};
use crate::out::{
    elements::{Object, Put},
    place::Staged,
};

/// A radiograph to be written.
#[derive(Debug, Clone)]
pub struct Radiograph {
    /// `[rows, columns]`, 0 (black) to 1 (white) as a person is to see them.
    pub pixels: Array2<f32>,
    /// How many bits a pixel has: 8, or 10 to 16.
    pub bits: u16,
    /// Whether the stored values are signed: from −2^(bits − 1) on.
    pub signed: bool,
    /// Whether small values are white.
    pub photometric: Photometric,
    /// How the rays went through the chest, where it is one.
    pub view: Option<View>,
    /// Where the row and the column lead (PS3.3 C.7.6.1.1.1), for instance `["L", "F"]`.
    pub orientation: Option<[String; 2]>,
    /// From row to row and from column to column, at the detector, in millimetres.
    pub spacing_mm: Option<[f64; 2]>,
    /// Which stored values are to be shown.
    pub window: Option<Window>,
    /// Whose it is.
    pub subject: Subject,
}

/// Which end of the scale is white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Photometric {
    /// The least value is white: `MONOCHROME1`.
    Monochrome1,
    /// The least value is black: `MONOCHROME2`.
    Monochrome2,
}

/// How the rays went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// From back to front.
    Pa,
    /// From front to back.
    Ap,
    /// From one side to the other: the left side lies at the detector.
    LeftLateral,
    /// From one side to the other: the right side lies at the detector.
    RightLateral,
}

/// A window over stored values (PS3.3 C.11.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Its middle.
    pub center: f64,
    /// Its width, 1 or more.
    pub width: f64,
}

impl Radiograph {
    /// A radiograph of 12 bits, not signed, without window and spacing, as it lies before the reader: `L\F`, PA.
    pub fn new(pixels: Array2<f32>, subject: Subject) -> Self {
        Self {
            pixels,
            bits: 12,
            signed: false,
            photometric: Photometric::Monochrome2,
            view: Some(View::Pa),
            orientation: Some(["L".to_owned(), "F".to_owned()]),
            spacing_mm: None,
            window: None,
            subject,
        }
    }

    /// The stored values, `[rows, columns]` row by row: the smallest step is one.
    pub fn stored(&self) -> Vec<i32> {
        let top = f64::from((1u32 << self.bits) - 1);
        let least = if self.signed { 1i32 << (self.bits - 1) } else { 0 };
        let store = |value: &f32| {
            let value = f64::from(value.clamp(0.0, 1.0));
            let grey = match self.photometric {
                Photometric::Monochrome1 => 1.0 - value,
                Photometric::Monochrome2 => value,
            };
            (grey * top).round() as i32 - least
        };
        self.pixels.iter().map(store).collect()
    }

    fn check(&self) -> Result<(), Error> {
        let (rows, columns) = self.pixels.dim();
        let sides = 1..=usize::from(u16::MAX);
        if !sides.contains(&rows) || !sides.contains(&columns) {
            return Err(Error::input(format!(
                "a radiograph of {rows} x {columns} pixels cannot be written"
            )));
        }
        if self.bits != 8 && !(10..=16).contains(&self.bits) {
            let what =
                format!("a radiograph of {} bits cannot be written: 8, or 10 to 16", self.bits);
            return Err(Error::input(what));
        }
        match self.pixels.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(Error::input(format!("the radiograph holds {value}"))),
            None => Ok(()),
        }
    }
}

/// Writes a radiograph. A file of an earlier call is replaced; another file is left alone, which is an error.
pub fn write_radiograph(path: &Path, radiograph: &Radiograph) -> Result<(), Error> {
    radiograph.check()?;
    let mut object = Object::new_empty();
    let class = uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE;
    radiograph.subject.put(&Kind { class, modality: "CR", instance: 1 }, &mut object);
    put_projection(radiograph, &mut object);
    put_pixels(radiograph, &mut object);
    let mut staged = Staged::default();
    staged.object(path, object)?;
    staged.commit()
}

/// CR Series (C.8.1.1), CR Image (C.8.1.2), General Image (C.7.6.1).
fn put_projection(radiograph: &Radiograph, object: &mut Object) {
    object.texts(tags::IMAGE_TYPE, &["DERIVED", "PRIMARY"]);
    if radiograph.view.is_some() {
        object.text(tags::BODY_PART_EXAMINED, "CHEST");
    } else {
        // Which part it is, and of which side, is not known.
        object.empty(tags::BODY_PART_EXAMINED);
        object.empty(tags::LATERALITY);
    }
    let view = match radiograph.view {
        Some(View::Pa) => "PA",
        Some(View::Ap) => "AP",
        Some(View::LeftLateral) => "LL",
        Some(View::RightLateral) => "RL",
        None => "",
    };
    object.text(tags::VIEW_POSITION, view);
    match &radiograph.orientation {
        Some([row, column]) => object.texts(tags::PATIENT_ORIENTATION, &[row, column]),
        None => object.empty(tags::PATIENT_ORIENTATION),
    }
    if let Some(spacing) = radiograph.spacing_mm {
        object.decimals(tags::IMAGER_PIXEL_SPACING, &spacing);
    }
    object.text(tags::BURNED_IN_ANNOTATION, "NO");
    object.text(tags::DERIVATION_DESCRIPTION, "Computed, no picture of a person");
}

/// Image Pixel (C.7.6.3), Modality LUT (C.11.1), VOI LUT (C.11.2).
fn put_pixels(radiograph: &Radiograph, object: &mut Object) {
    let (rows, columns) = radiograph.pixels.dim();
    let Radiograph { bits, signed, .. } = *radiograph;
    object.short(tags::SAMPLES_PER_PIXEL, 1);
    let photometric = match radiograph.photometric {
        Photometric::Monochrome1 => "MONOCHROME1",
        Photometric::Monochrome2 => "MONOCHROME2",
    };
    object.text(tags::PHOTOMETRIC_INTERPRETATION, photometric);
    object.short(tags::ROWS, rows as u16);
    object.short(tags::COLUMNS, columns as u16);
    object.short(tags::BITS_ALLOCATED, if bits == 8 { 8 } else { 16 });
    object.short(tags::BITS_STORED, bits);
    object.short(tags::HIGH_BIT, bits - 1);
    object.short(tags::PIXEL_REPRESENTATION, signed.into());
    if let Some(Window { center, width }) = radiograph.window {
        object.decimals(tags::WINDOW_CENTER, &[center]);
        object.decimals(tags::WINDOW_WIDTH, &[width]);
    }
    let stored = radiograph.stored();
    if bits == 8 {
        let bytes = stored.into_iter().map(|value| value as u8).collect();
        crate::out::common::put_bytes(tags::PIXEL_DATA, bytes, object);
    } else {
        let words: Vec<u16> = stored.into_iter().map(|value| value as u16).collect();
        object.value(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into()));
    }
}
