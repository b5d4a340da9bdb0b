//! DICOM and `NIfTI` in: values computed by hand, damaged files, privacy, series, volumes, and every file of pydicom.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

// Files written byte by byte, so that each can be wrong in its own way.
mod made;
// One step of the way from stored values to a picture each.
mod pixels;
// Recipes and windows.
mod recipes;
// Folders and DICOMDIR.
mod series;
// Volumes.
mod nifti;
// Forty damaged files and what is said of each.
mod damaged;
// Nothing that names a patient leaves the file.
mod privacy;
// Volumes of nibabel in all orientations.
mod nibabel;
#[path = "../support/python.rs"]
mod python;
// All files of pydicom, against its numbers.
mod table;
