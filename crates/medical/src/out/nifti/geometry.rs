//! A header for places that no `NIfTI` file states.

use super::header::{BYTES, Header};

// Where fields lie.
const REGULAR: usize = 38;
const PIXDIM: usize = 76;
const XYZT_UNITS: usize = 123;
const QFORM_CODE: usize = 252;
const SFORM_CODE: usize = 254;
const QUATERN: usize = 256;
const SROW: usize = 280;

/// Where voxels lie, in millimetres: right, anterior, superior.
pub(super) struct Geometry {
    /// From the indices of a voxel to its centre: three rows of the affine.
    pub(super) affine: [[f64; 4]; 3],
    /// From voxel to voxel along each axis.
    pub(super) spacing: [f64; 3],
    /// The rotation as a quaternion (b, c, d), where the axes stand at right angles.
    pub(super) quaternion: Option<[f64; 3]>,
}

impl Header {
    /// A header of these places.
    pub(super) fn new(geometry: &Geometry) -> Self {
        let mut header = Self { bytes: [0; BYTES], big_endian: false };
        header.bytes[..4].copy_from_slice(&348i32.to_le_bytes());
        header.bytes[REGULAR] = b'r'; // older readers look for it
        header.bytes[XYZT_UNITS] = 2; // millimetres
        let sizes = [1.0].into_iter().chain(geometry.spacing);
        for (index, size) in sizes.enumerate() {
            header.put_float(PIXDIM + 4 * index, size as f32);
        }
        header.put_short(SFORM_CODE, 1); // coordinates of the scanner
        for (index, value) in geometry.affine.iter().flatten().enumerate() {
            header.put_float(SROW + 4 * index, *value as f32);
        }
        if let Some(quaternion) = geometry.quaternion {
            header.put_short(QFORM_CODE, 1);
            let offset = geometry.affine.map(|row| row[3]);
            for (index, value) in quaternion.iter().chain(&offset).enumerate() {
                header.put_float(QUATERN + 4 * index, *value as f32);
            }
        }
        header
    }
}
