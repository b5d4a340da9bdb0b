//! Why there is no picture.

#[cfg(any(feature = "dicom", feature = "nifti"))]
use std::path::Path;
use std::path::PathBuf;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no regular file.
    #[error("{} is {found}, not a file", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// It is neither DICOM nor `NIfTI`.
    #[error("{} is neither DICOM nor NIfTI: {reason}", path.display())]
    NotMedical {
        /// The file.
        path: PathBuf,
        /// What stands there.
        reason: String,
    },
    /// The file contradicts itself or ends too early.
    #[error("{} is damaged: {place} {reason}; fetch it again from where it came", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which element or field.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field that is missing or not what it should be.
    #[error("{}: {field} {reason}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Name and tag, or name in the header.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More than the options allow.
    #[error("{} has {found} {what}, more than the {limit} that are allowed; raise the limit `{option}` if the file is to be trusted", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// How many it has.
        found: u64,
        /// How many are allowed.
        limit: u64,
        /// The field of [`Limits`](crate::Limits).
        option: &'static str,
    },
    /// Something that is valid and not read.
    #[error("{}: {what} is not read; {instead}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// What to do.
        instead: String,
    },
    /// Compressed pixels that their decoder refuses.
    #[error("{}: frame {frame} cannot be decoded as {syntax}: {reason}", path.display())]
    Pixels {
        /// The file.
        path: PathBuf,
        /// The frame, from 0.
        frame: u32,
        /// Name of the transfer syntax.
        syntax: String,
        /// What the decoder said.
        reason: String,
    },
    /// A decoder panicked.
    #[error("{}: the decoder of {what} failed; the file is damaged, or the decoder has a fault", path.display())]
    DecoderPanic {
        /// The file.
        path: PathBuf,
        /// Of what.
        what: String,
    },
    /// A folder of several series.
    #[error("{} holds {count} series; give the files of one in a folder of their own: {list}", path.display())]
    MixedSeries {
        /// The folder.
        path: PathBuf,
        /// How many.
        count: usize,
        /// Modality and number of files of each.
        list: String,
    },
    /// A folder without a picture.
    #[error("{} holds no DICOM picture: {reason}", path.display())]
    NoPicture {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        reason: String,
    },
    /// An option that does not fit the file.
    #[error("{}: the option {option} {reason}", path.display())]
    Option {
        /// The file.
        path: PathBuf,
        /// Which option.
        option: &'static str,
        /// Why it does not fit.
        reason: String,
    },
}

/// Errors of one file, without writing its path each time.
#[cfg(any(feature = "dicom", feature = "nifti"))]
#[derive(Clone, Copy)]
pub(crate) struct At<'a>(pub(crate) &'a Path);

#[cfg(any(feature = "dicom", feature = "nifti"))]
impl At<'_> {
    pub(crate) fn read(self, source: std::io::Error) -> Error {
        Error::Read { path: self.0.into(), source }
    }

    pub(crate) fn damaged(self, place: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Damaged { path: self.0.into(), place: place.into(), reason: reason.into() }
    }

    pub(crate) fn field(self, field: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Field { path: self.0.into(), field: field.into(), reason: reason.into() }
    }

    pub(crate) fn unsupported(self, what: impl Into<String>, instead: impl Into<String>) -> Error {
        Error::Unsupported { path: self.0.into(), what: what.into(), instead: instead.into() }
    }

    pub(crate) fn not_medical(self, reason: impl Into<String>) -> Error {
        Error::NotMedical { path: self.0.into(), reason: reason.into() }
    }

    pub(crate) fn option(self, option: &'static str, reason: impl Into<String>) -> Error {
        Error::Option { path: self.0.into(), option, reason: reason.into() }
    }

    /// An error if there is more of something than allowed.
    pub(crate) fn limit(self, bound: &Bound, found: u64) -> Result<(), Error> {
        if found <= bound.limit {
            return Ok(());
        }
        Err(Error::Limit {
            path: self.0.into(),
            what: bound.what,
            found,
            limit: bound.limit,
            option: bound.option,
        })
    }
}

/// How much of something is allowed, and which option says so.
#[cfg(any(feature = "dicom", feature = "nifti"))]
pub(crate) struct Bound {
    pub(crate) what: &'static str,
    pub(crate) limit: u64,
    pub(crate) option: &'static str,
}
