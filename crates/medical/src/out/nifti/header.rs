//! The 348 bytes that a `NIfTI-1` file begins with.
//!
//! They are changed where they lie, so that the geometry stays what it was, bit by bit. Texts of the source are not kept: they
//! may name a patient.

use std::{fs::File, io::Read, ops::Range, path::Path};

use flate2::read::MultiGzDecoder;

use super::super::Error;

/// Bytes of a header, and where the voxels begin: behind four bytes that say that there are no extensions.
pub(super) const BYTES: usize = 348;
const VOXELS_AT: f32 = 352.0;

// Where fields lie.
const TEXTS: [Range<usize>; 2] = [4..32, 228..252]; // data_type and db_name; aux_file
const DIM: usize = 40;
const INTENT: Range<usize> = 56..70;
const DATATYPE: usize = 70;
const BITPIX: usize = 72;
const VOX_OFFSET: usize = 108;
const SCL_SLOPE: usize = 112;
const SCL_INTER: usize = 116;
const CAL_MAX: usize = 124;
const CAL_MIN: usize = 128;
const DESCRIP: Range<usize> = 148..228;
const INTENT_NAME: Range<usize> = 328..344;
const MAGIC: Range<usize> = 344..348;

/// `DT_FLOAT32`.
const FLOAT32: i16 = 16;

/// What files of this program are known by.
const MARK: &[u8] = b"medgemma-explainer";
const DESCRIPTION: &[u8] = b"medgemma-explainer: relevancy, not for diagnostic use";

/// A header, and the order of its bytes.
pub(super) struct Header {
    pub(super) bytes: [u8; BYTES],
    pub(super) big_endian: bool,
}

impl Header {
    /// Reads the header of a file, and the voxels along each axis.
    pub(super) fn read(path: &Path) -> Result<(Self, [usize; 3]), Error> {
        let bytes = read_bytes(path)?;
        let wrong = |what: &str| Error::NotNifti { path: path.to_owned(), what: what.to_owned() };
        let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let big_endian = match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
            (348, _) => false,
            (_, 348) => true,
            (540, _) | (_, 540) => return Err(wrong("it is NIfTI-2: convert it to NIfTI-1")),
            _ => return Err(wrong("it does not begin with the size of a header, 348")),
        };
        if !matches!(&bytes[MAGIC], b"n+1\0" | b"ni1\0") {
            return Err(wrong("magic is neither n+1 nor ni1"));
        }
        let header = Self { bytes, big_endian };
        let sides = header.sides().ok_or_else(|| {
            wrong("dim does not state one to seven dimensions of at least one voxel each")
        })?;
        Ok((header, sides))
    }

    /// The header of these voxels, with the four bytes behind it.
    pub(super) fn finished(&self, sides: [usize; 3], voxels: &[f32]) -> Vec<u8> {
        let mut header = Self { bytes: self.bytes, big_endian: self.big_endian };
        for range in TEXTS.into_iter().chain([INTENT, DESCRIP, INTENT_NAME]) {
            header.bytes[range].fill(0);
        }
        header.bytes[DESCRIP][..DESCRIPTION.len()].copy_from_slice(DESCRIPTION);
        header.bytes[INTENT_NAME][..9].copy_from_slice(b"relevancy");
        header.bytes[MAGIC].copy_from_slice(b"n+1\0");
        let dim = [3].into_iter().chain(sides).chain([1; 4]);
        for (index, side) in dim.enumerate() {
            header.put_short(DIM + 2 * index, side as i16);
        }
        header.put_short(DATATYPE, FLOAT32);
        header.put_short(BITPIX, 32);
        header.put_float(VOX_OFFSET, VOXELS_AT);
        header.put_float(SCL_SLOPE, 1.0);
        header.put_float(SCL_INTER, 0.0);
        header.put_float(CAL_MIN, 0.0);
        header.put_float(CAL_MAX, voxels.iter().copied().fold(0.0, f32::max));
        [header.bytes.as_slice(), &[0; 4]].concat()
    }

    /// A number in the order of the header's bytes.
    pub(super) fn float(&self, value: f32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn sides(&self) -> Option<[usize; 3]> {
        let dim = |index: usize| usize::try_from(self.short(DIM + 2 * index)).ok();
        let count = dim(0).filter(|count| (1..=7).contains(count))?;
        let side = |index: usize| {
            if index <= count { dim(index).filter(|side| *side > 0) } else { Some(1) }
        };
        Some([side(1)?, side(2)?, side(3)?])
    }

    fn short(&self, at: usize) -> i16 {
        let bytes = [self.bytes[at], self.bytes[at + 1]];
        if self.big_endian { i16::from_be_bytes(bytes) } else { i16::from_le_bytes(bytes) }
    }

    pub(super) fn put_short(&mut self, at: usize, value: i16) {
        let bytes = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes[at..at + 2].copy_from_slice(&bytes);
    }

    pub(super) fn put_float(&mut self, at: usize, value: f32) {
        let bytes = self.float(value);
        self.bytes[at..at + 4].copy_from_slice(&bytes);
    }
}

/// Whether this program wrote a file.
pub(super) fn is_ours(path: &Path) -> bool {
    read_bytes(path).is_ok_and(|bytes| bytes[DESCRIP].starts_with(MARK))
}

/// The first bytes of a file, unpacked where it is packed. No more is read.
fn read_bytes(path: &Path) -> Result<[u8; BYTES], Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    // Before it is opened: opening a pipe would wait.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    let open = || File::open(path).map_err(failed);
    let mut first = [0; 2];
    let packed = open()?.read_exact(&mut first).is_ok() && first == [0x1f, 0x8b];
    let mut bytes = [0; BYTES];
    let read = if packed {
        MultiGzDecoder::new(open()?).read_exact(&mut bytes)
    } else {
        open()?.read_exact(&mut bytes)
    };
    read.map_err(|error| Error::NotNifti {
        path: path.to_owned(),
        what: format!("its header of 348 bytes cannot be read: {error}"),
    })?;
    Ok(bytes)
}
