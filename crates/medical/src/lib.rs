//! DICOM and `NIfTI` in, as the 8-bit pictures that a vision-language model sees; maps out, as objects of DICOM and `NIfTI`.

mod check;
mod orientation;
mod provenance;
mod recipe;

#[cfg(feature = "dicom")]
mod dicom;
mod error;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod files;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod options;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod setters;

pub use check::{Check, CheckKind};
#[cfg(feature = "dicom")]
pub use dicom::{StoredFrame, read_stored};
pub use error::Error;
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub use options::{Limits, Options, Preset, Slices, Window};
pub use orientation::{Orientation, OrientationSource, PatientSide, Sides};
pub use provenance::{
    Bits, Channel, ChannelWindow, Format, Identifiers, Provenance, Slice, TransferSyntax,
    WindowOrigin, WindowShape,
};
pub use recipe::{MOST_SLICES, Recipe, spread};
