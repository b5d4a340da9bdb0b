//! From a path to pictures.

use std::io::Read as _;
use std::path::Path;

use crate::error::At;
use crate::{Error, Limits, MedicalPicture, Options, files};

/// What a path leads to.
enum Kind {
    Folder,
    #[cfg(feature = "dicom")]
    Dicom,
    #[cfg(feature = "nifti")]
    Nifti,
    Other(&'static str),
}

/// Bytes at the beginning of a file that tell what it is.
const HEAD: u64 = 4096;

/// Opens a DICOM file of one or more frames, the folder of a series (its files need no extension), a DICOMDIR, or a `NIfTI` file.
///
/// # Errors
/// [`Error::Read`], [`Error::NotAFile`] and [`Error::NotMedical`]; [`Error::Limit`] before anything large is made; [`Error::Damaged`],
/// [`Error::Field`], [`Error::Unsupported`], [`Error::Pixels`] and [`Error::DecoderPanic`] of what is in the file;
/// [`Error::MixedSeries`] and [`Error::NoPicture`] of a folder; [`Error::Option`] where an option does not fit.
pub fn open(path: &Path, options: &Options) -> Result<Vec<MedicalPicture>, Error> {
    match kind(path, &options.limits)? {
        #[cfg(feature = "dicom")]
        Kind::Folder => crate::dicom::open_folder(path, options),
        #[cfg(not(feature = "dicom"))]
        Kind::Folder => Err(At(path).unsupported("a folder", "build with the feature `dicom`")),
        #[cfg(feature = "dicom")]
        Kind::Dicom => crate::dicom::open_file(path, options),
        #[cfg(feature = "nifti")]
        Kind::Nifti => crate::nifti::open(path, options),
        Kind::Other(reason) => Err(At(path).not_medical(reason)),
        #[allow(unreachable_patterns, reason = "without one of the features")]
        _ => {
            Err(At(path).unsupported("this format", "build with the features `dicom` and `nifti`"))
        }
    }
}

/// Whether [`open`] is for this path, by its content: a DICOM file, with the mark or with a data set that begins as one, a DICOMDIR, a
/// `NIfTI` file, or a folder. What cannot be read is not.
pub fn is_medical(path: &Path) -> bool {
    kind(path, &Limits::default()).is_ok_and(|kind| !matches!(kind, Kind::Other(_)))
}

fn kind(path: &Path, limits: &Limits) -> Result<Kind, Error> {
    if path.is_dir() {
        return Ok(Kind::Folder);
    }
    let (file, _) = files::open(path, limits)?;
    let mut head = vec![];
    file.take(HEAD).read_to_end(&mut head).map_err(|e| At(path).read(e))?;
    #[cfg(feature = "nifti")]
    if crate::nifti::looks_like_nifti(&head) {
        return Ok(Kind::Nifti);
    }
    #[cfg(feature = "dicom")]
    if crate::dicom::looks_like_dicom(&head) {
        return Ok(Kind::Dicom);
    }
    Ok(Kind::Other(match head.as_slice() {
        [] => "it is empty",
        [0x1F, 0x8B, ..] => {
            "it is compressed with gzip, and its content begins like none of their files"
        }
        _ => "it begins like none of their files",
    }))
}
