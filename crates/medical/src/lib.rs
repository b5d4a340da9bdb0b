//! DICOM and `NIfTI` in, as the 8-bit pictures that a vision-language model sees; maps out, as objects of DICOM and `NIfTI`.

mod check;
mod orientation;
mod provenance;
mod recipe;

pub mod out;
#[cfg(feature = "dicom")]
pub mod synthetic;

#[cfg(any(feature = "dicom", feature = "nifti"))]
mod checks;
#[cfg(feature = "dicom")]
mod dicom;
mod error;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod files;
#[cfg(feature = "nifti")]
mod nifti;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod open;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod options;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod picture;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod resample;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod selection;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod setters;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod tone;

pub use check::{Check, CheckKind};
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub use checks::check_picture;
#[cfg(feature = "dicom")]
pub use dicom::{StoredFrame, read_stored};
pub use error::Error;
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub use open::{is_medical, open};
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub use options::{Limits, Options, Preset, Slices, Window};
pub use orientation::{Orientation, OrientationSource, PatientSide, Sides};
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub use picture::{MedicalPicture, SourceHandle};
pub use provenance::{
    Bits, Channel, ChannelWindow, Format, Identifiers, Provenance, Slice, TransferSyntax,
    WindowOrigin, WindowShape,
};
pub use recipe::{MOST_SLICES, Recipe, spread};
