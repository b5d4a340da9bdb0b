//! Files of other kinds than pictures, known by how they begin: so that a message can say what a file is.

use std::fmt;

/// Bytes at the beginning of a file that [`ForeignFile::recognize`] needs.
pub const FOREIGN_PREFIX: usize = 352;

/// A kind of file that is often at hand where a picture or a checkpoint is wanted, and that is neither to this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignFile {
    /// DICOM Part 10: `DICM` after a preamble of 128 bytes (PS3.10, 7.1).
    Dicom,
    /// NIfTI-1 or NIfTI-2: the size of the header, then `n+1`, `ni1`, `n+2` or `ni2` (nifti1.h, nifti2.h).
    Nifti,
    /// Compressed with gzip, as `.nii.gz` is (RFC 1952).
    Gzip,
    /// An array of `NumPy` (NEP 1).
    Npy,
    /// A zip archive: `.npz` is one.
    Zip,
    /// Weights for llama.cpp.
    Gguf,
    /// A document.
    Pdf,
    /// GIF, which may have several frames.
    Gif,
}

impl ForeignFile {
    /// Looks at the first [`FOREIGN_PREFIX`] bytes of a file, or at all where it has fewer.
    pub fn recognize(start: &[u8]) -> Option<Self> {
        let at = |offset: usize, magic: &[u8]| {
            start.get(offset..).is_some_and(|rest| rest.starts_with(magic))
        };
        let size = |size: u32| at(0, &size.to_le_bytes()) || at(0, &size.to_be_bytes());
        let nifti1 = size(348) && (at(344, b"n+1\0") || at(344, b"ni1\0"));
        let nifti2 = size(540) && (at(4, b"n+2\0") || at(4, b"ni2\0"));
        Some(match () {
            () if at(128, b"DICM") => Self::Dicom,
            () if nifti1 || nifti2 => Self::Nifti,
            () if at(0, b"\x1f\x8b") => Self::Gzip,
            () if at(0, b"\x93NUMPY") => Self::Npy,
            () if at(0, b"PK\x03\x04") => Self::Zip,
            () if at(0, b"GGUF") => Self::Gguf,
            () if at(0, b"%PDF-") => Self::Pdf,
            () if at(0, b"GIF8") => Self::Gif,
            () => return None,
        })
    }

    /// What to do with such a file where a picture is wanted.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Dicom => {
                "export it as PNG of 8 or 16 bits with the window that you look at it with, for instance with dcmj2pnm of DCMTK"
            }
            Self::Nifti => "export the slices that you want as PNG, for instance with med2image",
            Self::Gzip => {
                "unpack it first; of a NIfTI volume, export the slices that you want as PNG"
            }
            Self::Npy | Self::Zip => {
                "save the array as PNG of 8 or 16 bits, for instance with Pillow's Image.fromarray"
            }
            Self::Gguf => "it holds weights, not a picture",
            Self::Pdf => "export the page as PNG, for instance with pdftoppm",
            Self::Gif => "export the frame that you want as PNG",
        }
    }
}

/// With its article: `a DICOM file`.
impl fmt::Display for ForeignFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dicom => "a DICOM file",
            Self::Nifti => "a NIfTI volume",
            Self::Gzip => "a gzip file, as .nii.gz is",
            Self::Npy => "a NumPy array",
            Self::Zip => "a zip archive, as .npz is",
            Self::Gguf => "a GGUF file of weights",
            Self::Pdf => "a PDF document",
            Self::Gif => "a GIF",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_how_they_begin() {
        let after = |zeros: usize, magic: &[u8]| [vec![0; zeros], magic.to_vec()].concat();
        // DICOM files of some scanners have the magic of a TIFF in their preamble.
        let mut tiff_preamble = after(128, b"DICM");
        tiff_preamble[..4].copy_from_slice(b"II*\0");
        let mut nifti = after(344, b"n+1\0");
        nifti[..4].copy_from_slice(&348_u32.to_be_bytes());
        for (start, expected) in [
            (after(128, b"DICM"), Some(ForeignFile::Dicom)),
            (tiff_preamble, Some(ForeignFile::Dicom)),
            (nifti, Some(ForeignFile::Nifti)),
            (b"\x1f\x8b\x08".to_vec(), Some(ForeignFile::Gzip)),
            (b"\x93NUMPY\x01".to_vec(), Some(ForeignFile::Npy)),
            (b"PK\x03\x04".to_vec(), Some(ForeignFile::Zip)),
            (b"GGUF\x03\0\0\0".to_vec(), Some(ForeignFile::Gguf)),
            (b"%PDF-1.7".to_vec(), Some(ForeignFile::Pdf)),
            (b"GIF89a".to_vec(), Some(ForeignFile::Gif)),
            (after(344, b"n+1\0"), None),
            (b"II*\0".to_vec(), None),
            (b"\x89PNG\r\n\x1a\n".to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(ForeignFile::recognize(&start), expected);
        }
    }
}
