//! Values as they are stored, before any LUT.

use std::path::Path;

use ndarray::Array3;

use super::decode;
use super::file::DicomFile;
use crate::{Bits, Error, Limits, TransferSyntax};

/// The values of one frame as they are stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StoredFrame {
    /// Rows, columns and samples. In the colour space [`StoredFrame::colours`], all samples there.
    pub values: Array3<i32>,
    /// The colour space of `values`. It differs from the file's where a decoder undid a transform or the compressed stream says another.
    pub colours: String,
    /// Photometric Interpretation as in the file.
    pub photometric: String,
    /// Bits of a sample.
    pub bits: Bits,
    /// How the pixels were stored.
    pub transfer_syntax: TransferSyntax,
    /// Frames of the file.
    pub frames: u32,
}

/// Reads the values of a frame (from 0) of a DICOM file as they are stored, before any LUT.
///
/// # Errors
/// All that [`open`](crate::open) has for a file.
pub fn read_stored(path: &Path, frame: u32) -> Result<StoredFrame, Error> {
    let limits = Limits::default();
    let mut file = DicomFile::open(path, &limits)?;
    let samples = decode::frame(&mut file, frame, &limits)?;
    let layout = samples.layout;
    let shape = (layout.rows as usize, layout.columns as usize, usize::from(layout.samples));
    let values = Array3::from_shape_vec(shape, samples.values)
        .map_err(|_| file.header.at().damaged("Pixel Data (7FE0,0010)", "has too few samples"))?;
    Ok(StoredFrame {
        values,
        colours: samples.colours,
        photometric: layout.photometric,
        bits: layout.bits,
        transfer_syntax: file.syntax.to_record(),
        frames: layout.frames,
    })
}
