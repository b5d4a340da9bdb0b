//! The pictures of a folder, read with the bounds that its record states.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use relevancy_visualization::image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbImage};

use super::unpacked_at_most;
use crate::Error;
use crate::file_name::RECORD;
use crate::record::{PictureRecord, Record, sha256};

/// Bytes of a picture's file that is read at all.
const LARGEST_FILE: u64 = 256 << 20;
/// Bytes that a decoder may take beside the pixels.
const DECODER: u64 = 1 << 20;

/// The pictures, none larger than the record says, and all together no larger than their files let expect.
pub(super) fn read(folder: &Path, record: &Record) -> Result<Vec<RgbImage>, Error> {
    let paths = record.pictures.iter().map(|stated| picture_path(folder, stated));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let mut packed = 0_u64;
    for (index, path) in paths.iter().enumerate() {
        if paths[..index].contains(path) {
            return Err(wrong(path, "its pixels cannot be those of two pictures; explain again"));
        }
        let found = path.symlink_metadata().map_err(|error| wrong(path, &error.to_string()))?;
        if !found.is_file() {
            return Err(wrong(path, "it is not a file"));
        }
        if LARGEST_FILE < found.len() {
            return Err(wrong(path, &format!("it is larger than {LARGEST_FILE} bytes")));
        }
        packed = packed.saturating_add(found.len());
    }
    let stated = record.pictures.iter().map(PictureRecord::bytes);
    let stated = stated.fold(0, u64::saturating_add);
    if unpacked_at_most(packed) < stated {
        let problem = format!(
            "its pictures take {stated} bytes, more than their files of {packed} bytes can hold"
        );
        return Err(wrong(&folder.join(RECORD), &problem));
    }
    paths.iter().zip(&record.pictures).map(|(path, stated)| read_picture(path, stated)).collect()
}

impl PictureRecord {
    /// Of its pixels.
    fn bytes(&self) -> u64 {
        u64::from(self.width).saturating_mul(u64::from(self.height)).saturating_mul(3)
    }
}

/// Only a plain name in the folder itself: a record cannot make the program read anything else.
fn picture_path(folder: &Path, stated: &PictureRecord) -> Result<PathBuf, Error> {
    let name = Path::new(&stated.file);
    let path = folder.join(name);
    let is_plain = name.file_name().is_some_and(|file| file == name.as_os_str());
    if is_plain { Ok(path) } else { Err(wrong(&path, "it is not in the folder of the record")) }
}

/// Decodes a PNG of the size that the record states, with the memory that takes.
fn read_picture(path: &Path, stated: &PictureRecord) -> Result<RgbImage, Error> {
    let bytes = std::fs::read(path).map_err(|error| wrong(path, &error.to_string()))?;
    let decode = || {
        let mut reader = ImageReader::with_format(Cursor::new(&bytes), ImageFormat::Png);
        let mut limits = Limits::default();
        limits.max_image_width = Some(stated.width);
        limits.max_image_height = Some(stated.height);
        limits.max_alloc = Some(stated.bytes().saturating_mul(2).saturating_add(DECODER));
        reader.limits(limits);
        reader.decode().map(DynamicImage::into_rgb8)
    };
    // Decoders have panicked on hostile files before. Nothing outlives the closure but its result.
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let decoded = decoded.map_err(|_| wrong(path, "its decoder failed; the file is damaged"))?;
    let rgb = decoded.map_err(|error| wrong(path, &error.to_string()))?;
    if sha256(rgb.as_raw()) != stated.pixels_sha256 {
        let problem = "its pixels are not those that were explained; explain again";
        return Err(wrong(path, problem));
    }
    Ok(rgb)
}

fn wrong(path: &Path, problem: &str) -> Error {
    Error::ReadRecord { path: path.to_owned(), problem: problem.to_owned() }
}
