//! What can go wrong between maps and objects of DICOM or `NIfTI`.

use std::path::PathBuf;

/// Why objects could not be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A source is a folder, a pipe or a device.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// A source is no DICOM file that can be read.
    #[error(transparent)]
    Source(crate::Error),
    /// A source lacks an attribute, or holds what it may not hold.
    #[error("{}: {attribute} {problem}", path.display())]
    Attribute {
        /// The file.
        path: PathBuf,
        /// Its name and tag.
        attribute: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Sources belong to different patients.
    #[error(
        "{} and {} are of different patients: objects can be written for one patient only",
        first.display(), second.display()
    )]
    Patients {
        /// The first source.
        first: PathBuf,
        /// A source with another patient ID.
        second: PathBuf,
    },
    /// What is to be written does not fit together.
    #[error("{what}")]
    Input {
        /// What is wrong, and with which part.
        what: String,
    },
    /// An object would be larger than what is written.
    #[error("{what} would hold {found} pixels; the most is {most}: write fewer pictures at once")]
    TooLarge {
        /// The object.
        what: &'static str,
        /// How many pixels there would be.
        found: u64,
        /// How many there may be.
        most: u64,
    },
    /// A file that this program did not write is in the way.
    #[error(
        "{} is in the way and was not written by this program: move it or choose another place",
        path.display()
    )]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file wanted.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An object could not be encoded.
    #[error("cannot encode {}: {what}", path.display())]
    Encode {
        /// The file wanted.
        path: PathBuf,
        /// What the encoder said.
        what: String,
    },
    /// A `NIfTI` file is not what it should be.
    #[error("{} is not a NIfTI-1 file that can be copied: {what}", path.display())]
    NotNifti {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Slices have no common grid.
    #[error("the slices are no volume: {what}")]
    NoVolume {
        /// What is wrong with them.
        what: String,
    },
}

#[cfg(any(feature = "dicom", feature = "nifti"))]
impl Error {
    /// An [`Error::Input`] with this text.
    pub(crate) fn input(what: impl Into<String>) -> Self {
        Self::Input { what: what.into() }
    }
}
