//! `NIfTI-1` in: a volume to axial slices as a radiologist sees them.

mod axes;
mod header;
mod render;
mod volume;

pub(crate) use header::looks_like_nifti;
pub(crate) use render::open;
