//! DICOM in: a file's beginning, its elements, its pixels; series, folders and DICOMDIR.

mod colour;
mod decode;
mod dicomdir;
mod facts;
mod file;
mod frames;
mod grey;
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
mod render;
mod rle;
mod series;
mod source;
mod stored;
mod syntax;
mod walk;

pub(crate) use file::DicomFile;
pub(crate) use part10::looks_like_dicom;
pub(crate) use series::{open_file, open_folder};
pub use stored::{StoredFrame, read_stored};
