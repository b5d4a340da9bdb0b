//! DICOM and `NIfTI` in, as the 8-bit pictures that a vision-language model sees; maps out, as objects of DICOM and `NIfTI`.
//!
//! [`open`] takes a file, the folder of a series or a DICOMDIR and gives pictures with their [`Provenance`]: recipe, window, orientation,
//! checks, and nothing that names the patient. [`check_picture`] checks a picture of any other origin, [`read_stored`] gives the values of a
//! file before anything is done to them. Without the features `dicom` and `nifti` only the plain types are left.
//!
//! ```no_run
//! # #[cfg(feature = "dicom")]
//! # fn main() -> Result<(), medical_pictures::Error> {
//! use medical_pictures::{Options, Recipe, open};
//!
//! for picture in open("series".as_ref(), &Options::default().with_recipe(Some(Recipe::CtNotebook)))? {
//!     println!("{:?} {:?}", picture.label, picture.provenance.window);
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "dicom"))]
//! # fn main() {}
//! ```
//!
//! Files may be anybody's. They are opened without waiting and must be regular; lengths, depth, number of elements and sizes are held to
//! [`Limits`] before anything is parsed or decoded, and what a decoder does wrong is an [`Error`].

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
mod opening;
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
#[cfg(feature = "dicom")]
pub use ndarray;
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub use opening::{is_medical, open};
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub use options::{Limits, Options, Preset, Slices, Window};
pub use orientation::{Orientation, OrientationSource, PatientSide, Sides, opposite};
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub use picture::{MedicalPicture, SourceHandle, SourceVolume};
pub use provenance::{
    Bits, Channel, ChannelWindow, Format, Identifiers, Provenance, Slice, TransferSyntax,
    WindowOrigin, WindowShape,
};
pub use recipe::{MOST_SLICES, Recipe, spread};
