//! Objects and volumes out, and synthetic pictures: written by the crate, read by other people's programs.
//!
//! The validators are dciodvfy, DCMTK and, in Python, pydicom, highdicom and nibabel. Python is looked for where the environment
//! variable `MEDICAL_PYTHON` says, then in `.validators` at the root of the workspace. What is missing is skipped, and said.

#![cfg(all(feature = "dicom", feature = "nifti"))]
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

// What the tests share: programs, sources and findings.
mod samples;
mod tools;

// Every object, from synthetic and from real sources.
mod objects;
mod real;

// What is refused, and what is left alone.
mod hostile;

// Radiographs and series that are written for tests and demonstrations.
mod synthetic;

// Volumes.
mod volumes;
