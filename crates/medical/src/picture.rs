//! A picture as the model sees it, and where its pixels lie for those who write results back.

use std::fmt;
use std::path::{Path, PathBuf};

use image::RgbImage;

use crate::Provenance;

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
}

impl SourceHandle {
    pub(crate) fn new(path: PathBuf, frame: u32) -> Self {
        Self { path, frame }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The frame of a DICOM file, or the slice of a volume in the order of the file, from 0.
    pub fn frame(&self) -> u32 {
        self.frame
    }
}

impl fmt::Debug for SourceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceHandle").field("frame", &self.frame).finish_non_exhaustive()
    }
}
