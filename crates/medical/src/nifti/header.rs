//! The header of a `NIfTI-1` file, held to what it can be.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use nifti::NiftiHeader;

use super::axes::Axes;
use crate::error::{At, Bound};
use crate::{Error, Limits};

/// Bytes of the header itself.
pub(super) const LENGTH: usize = 348;

/// What is needed of a header.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// Voxels along i, j and k.
    pub(super) dim: [usize; 3],
    /// Volumes behind each other.
    pub(super) volumes: u64,
    pub(super) voxel: Voxel,
    pub(super) big_endian: bool,
    /// Where voxels begin, in the inflated file.
    pub(super) offset: u64,
    /// Slope and intercept; (1, 0) where the file has none.
    pub(super) scale: (f64, f64),
    /// Where black and white are, if the file says.
    pub(super) window: Option<(f64, f64)>,
    pub(super) axes: Axes,
}

/// Type of a voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voxel {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    F64,
}

impl Voxel {
    fn of(code: i16) -> Option<Self> {
        Some(match code {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            256 => Self::I8,
            512 => Self::U16,
            768 => Self::U32,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Whether these first bytes, inflated if need be, are those of `NIfTI` or of what it came from.
pub(crate) fn looks_like_nifti(head: &[u8]) -> bool {
    let mut inflated = vec![];
    let head = if is_gzip(head) {
        // What is inflated before the end of these bytes is enough.
        let _ = GzDecoder::new(head).take(LENGTH as u64).read_to_end(&mut inflated);
        &inflated
    } else {
        head
    };
    matches!(form(head), Form::One | Form::Pair | Form::Two | Form::Analyze)
}

pub(super) fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1F, 0x8B])
}

enum Form {
    One,
    Pair,
    Two,
    Analyze,
    Other,
}

fn form(head: &[u8]) -> Form {
    let size = head.get(..4).map(|four| [four[0], four[1], four[2], four[3]]);
    let says = |length: i32| {
        size.is_some_and(|four| {
            i32::from_le_bytes(four) == length || i32::from_be_bytes(four) == length
        })
    };
    if says(540) && head.get(4..7).is_some_and(|magic| magic == b"n+2" || magic == b"ni2") {
        return Form::Two;
    }
    match head.get(344..348) {
        Some(b"n+1\0") => Form::One,
        Some(b"ni1\0") => Form::Pair,
        Some(_) if says(348) => Form::Analyze,
        _ => Form::Other,
    }
}

impl Header {
    /// Reads it from the first bytes of the inflated file.
    pub(super) fn read(bytes: &[u8], path: &Path, limits: &Limits) -> Result<Self, Error> {
        let at = At(path);
        let convert = "convert it to NIfTI-1 in one file (.nii or .nii.gz)";
        match form(bytes) {
            Form::One => {}
            Form::Two => return Err(at.unsupported("NIfTI-2", convert)),
            Form::Pair => return Err(at.unsupported("the pair of .hdr and .img", convert)),
            Form::Analyze => {
                return Err(
                    at.unsupported("Analyze 7.5, which does not say where left is,", convert)
                );
            }
            Form::Other => return Err(at.not_medical("its header is cut short")),
        }
        let header = NiftiHeader::from_reader(bytes)
            .map_err(|_| at.damaged("the header", "is not one of NIfTI-1"))?;
        let (dim, volumes) = dimensions(&header, at, limits)?;
        let code = header.datatype;
        let voxel = Voxel::of(code).ok_or_else(|| {
            at.unsupported(
                format!("the voxel type {code}"),
                "whole and floating point numbers of up to 64 bits are",
            )
        })?;
        let size = dim.iter().product::<usize>() as u64 * voxel.bytes() as u64;
        at.limit(&Bound::decoded_bytes(limits), size)?;
        let first = u16::from_le_bytes([bytes[40], bytes[41]]);
        Ok(Self {
            dim,
            volumes,
            voxel,
            big_endian: !(1..=7).contains(&first),
            offset: offset(&header, at)?,
            scale: scale(&header, at)?,
            window: window(&header),
            axes: Axes::of(&header),
        })
    }
}

/// Voxels along the first three dimensions, and the product of the others.
fn dimensions(
    header: &NiftiHeader,
    at: At<'_>,
    limits: &Limits,
) -> Result<([usize; 3], u64), Error> {
    let count = usize::from(header.dim[0]);
    if !(2..=7).contains(&count) {
        return Err(
            at.field("dim[0]", format!("is {count}; a volume has 3 dimensions, or up to 7"))
        );
    }
    let mut sizes = [1_u64; 7];
    for (i, size) in sizes.iter_mut().enumerate().take(count) {
        let found = header.dim[i + 1].cast_signed();
        if found < 1 {
            return Err(at.field(format!("dim[{}]", i + 1), format!("is {found}")));
        }
        *size = found.cast_unsigned().into();
    }
    at.limit(&Bound::pixels(limits), sizes[0].max(sizes[2]) * sizes[1].max(sizes[2]))?;
    let volumes = sizes[3..].iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
    Ok(([0, 1, 2].map(|i| sizes[i] as usize), volumes.unwrap_or(u64::MAX)))
}

fn offset(header: &NiftiHeader, at: At<'_>) -> Result<u64, Error> {
    let offset = header.vox_offset;
    // Some writers leave it at 0 and put voxels right behind the header.
    if offset.abs() < 0.5 {
        return Ok(352);
    }
    if !offset.is_finite() || !(352.0..1e9).contains(&offset) {
        return Err(at.field("vox_offset", format!("is {offset}; voxels begin at 352 or later")));
    }
    Ok(offset as u64)
}

fn scale(header: &NiftiHeader, at: At<'_>) -> Result<(f64, f64), Error> {
    let (slope, intercept) = (f64::from(header.scl_slope), f64::from(header.scl_inter));
    if slope.abs() < f64::from(f32::MIN_POSITIVE) || slope.is_nan() && intercept.is_nan() {
        return Ok((1.0, 0.0));
    }
    if !slope.is_finite() || !intercept.is_finite() {
        return Err(at.field("scl_slope and scl_inter", format!("are {slope} and {intercept}")));
    }
    Ok((slope, intercept))
}

fn window(header: &NiftiHeader) -> Option<(f64, f64)> {
    let (low, high) = (f64::from(header.cal_min), f64::from(header.cal_max));
    (low < high && low.is_finite() && high.is_finite()).then_some((low, high))
}
