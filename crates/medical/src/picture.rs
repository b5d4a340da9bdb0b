//! A picture as the model sees it, and where its pixels lie for those who write results back.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

use crate::{Format, Provenance};

/// A picture as the model sees it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct MedicalPicture {
    /// 8-bit RGB, pixels square.
    pub rgb: RgbImage,
    /// Where it came from and what was done to it.
    pub provenance: Provenance,
    /// The text that belongs behind the picture in the prompt: `SLICE k`, for slices of a volume.
    pub label: Option<String>,
    source: SourceHandle,
}

impl MedicalPicture {
    pub(crate) fn new(rgb: RgbImage, provenance: Provenance, source: SourceHandle) -> Self {
        Self { rgb, provenance, label: None, source }
    }

    pub(crate) fn with_label(mut self, label: Option<String>) -> Self {
        self.label = label;
        self
    }

    pub(crate) fn within(mut self, volume: &Arc<SourceVolume>, slice: usize) -> Self {
        self.source.within = Some((Arc::clone(volume), slice));
        self
    }

    /// The file and frame that the picture was made of. No part of its provenance: paths name people.
    pub fn source(&self) -> &SourceHandle {
        &self.source
    }
}

impl fmt::Debug for MedicalPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MedicalPicture")
            .field("size", &self.rgb.dimensions())
            .field("recipe", &self.provenance.recipe)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// The file and frame of a picture.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceHandle {
    path: PathBuf,
    frame: u32,
    format: Format,
    within: Option<(Arc<SourceVolume>, usize)>,
}

impl SourceHandle {
    pub(crate) fn new(path: PathBuf, frame: u32, format: Format) -> Self {
        Self { path, frame, format, within: None }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The frame of a DICOM file, or the slice of a volume in the order of the file, from 0.
    pub fn frame(&self) -> u32 {
        self.frame
    }

    /// The format of the file.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The volume that the picture is a slice of, and which one, counted from 0 over all slices, shown or not; `None` for a picture by
    /// itself.
    pub fn within(&self) -> Option<(&SourceVolume, usize)> {
        self.within.as_ref().map(|(volume, slice)| (&**volume, *slice))
    }
}

/// A volume that pictures are slices of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceVolume {
    /// Files and frames of a DICOM series, slice by slice.
    Series(Vec<(PathBuf, u32)>),
    /// A `NIfTI` file.
    #[cfg(feature = "nifti")]
    Nifti {
        /// The file.
        path: PathBuf,
        /// Along which of its axes pictures were cut.
        order: crate::out::VoxelOrder,
    },
}

#[cfg(feature = "nifti")]
impl SourceVolume {
    /// Where its voxels lie, for a map to be written over them.
    pub fn grid(&self) -> crate::out::HeatGrid {
        match self {
            #[cfg(feature = "dicom")]
            Self::Series(frames) => {
                let frame = |(path, frame): &(PathBuf, u32)| crate::out::SourceFrame {
                    path: path.clone(),
                    frame: *frame,
                };
                crate::out::HeatGrid::Series { sources: frames.iter().map(frame).collect() }
            }
            #[cfg(not(feature = "dicom"))]
            Self::Series(_) => unreachable!("only the feature `dicom` makes one"),
            Self::Nifti { path, order } => {
                crate::out::HeatGrid::Nifti { source: path.clone(), order: *order }
            }
        }
    }
}

impl fmt::Debug for SourceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceHandle").field("frame", &self.frame).finish_non_exhaustive()
    }
}
