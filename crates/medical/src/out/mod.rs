//! Maps as objects that an archive takes beside the pictures, and as a volume of `NIfTI`.
//!
//! [`write_objects`] makes up to four kinds of DICOM objects of [`Findings`]: a Secondary Capture with the overlay, a Parametric
//! Map with the values, a Segmentation of the area above a quantile, and a Comprehensive 3D SR with words, numbers and regions.
//! [`write_heat`] makes a `NIfTI` file of a volume's values.
//!
//! Objects of DICOM belong to the study of their sources and name its patient; nothing else here does. Everything about the
//! maps' place is the source's: no pixel is flipped, turned or interpolated.

mod error;
#[cfg(feature = "dicom")]
mod findings;
#[cfg(feature = "dicom")]
mod objects;
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub(crate) mod place;
#[cfg(feature = "dicom")]
mod stage;

// What all objects share.
#[cfg(feature = "dicom")]
pub(crate) mod common;
#[cfg(feature = "dicom")]
mod copied;
#[cfg(feature = "dicom")]
pub(crate) mod elements;
#[cfg(feature = "dicom")]
mod frames;
#[cfg(feature = "dicom")]
pub(crate) mod uid;

// Sources, and maps over them.
#[cfg(feature = "dicom")]
mod grid;
#[cfg(feature = "dicom")]
mod groups;
#[cfg(feature = "dicom")]
mod plane;
#[cfg(feature = "dicom")]
mod source;
#[cfg(any(feature = "dicom", feature = "nifti"))]
mod spread;

// The objects.
#[cfg(feature = "dicom")]
mod banner;
#[cfg(feature = "dicom")]
mod capture;
#[cfg(feature = "dicom")]
mod font;
#[cfg(feature = "dicom")]
mod parametric;
#[cfg(feature = "dicom")]
mod report;
#[cfg(feature = "dicom")]
mod segmentation;

// The volume.
#[cfg(feature = "nifti")]
mod nifti;

pub use error::Error;
#[cfg(feature = "nifti")]
pub use nifti::{HeatGrid, HeatVolume, VoxelAxis, VoxelOrder, write_heat};
#[cfg(feature = "dicom")]
pub use {
    findings::{
        Algorithm, Area, Certificate, Findings, FrameMap, MapOverSources, Moment, Overlay,
        SourceFrame, Target, Wanted,
    },
    objects::{ObjectKind, Outcome, Written, write_objects},
    uid::IMPLEMENTATION_CLASS,
};
