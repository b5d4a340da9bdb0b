//! DICOM in: a file's beginning, its elements, its pixels; series, folders and DICOMDIR.

mod colour;
mod decode;
mod file;
mod frames;
mod header;
mod jpeg;
#[cfg(feature = "jpeg2000")]
mod jpeg2000;
#[cfg(feature = "jpeg-ls")]
mod jpeg_ls;
mod layout;
mod lut;
mod native;
mod part10;
mod rle;
mod source;
mod stored;
mod syntax;
mod walk;

pub(crate) use part10::looks_like_dicom;
pub use stored::{StoredFrame, read_stored};
