//! Files on disk, whole or not at all.

use std::io::{BufWriter, Write};
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ImageError, RgbImage};
use tempfile::{Builder, NamedTempFile};

use crate::Error;

/// Writes a PNG whole or not at all: under a temporary name in the same folder, then renamed over `path`.
///
/// # Errors
/// [`Error::EmptyPicture`] for a picture without pixels, [`Error::Encode`] for one that PNG cannot hold, [`Error::Write`] when
/// the folder or the file cannot be written; nothing is left behind.
pub fn save_png(image: &RgbImage, path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::EmptyPicture { width, height });
    }
    let write = |source| Error::Write { path: path.to_owned(), source };
    let mut file = temporary(path).map_err(write)?;
    encode(image, &mut file).map_err(|error| match error {
        ImageError::IoError(source) => write(source),
        source => Error::Encode { path: path.to_owned(), source },
    })?;
    file.persist(path).map_err(|error| write(error.error))?;
    Ok(())
}

/// Writes bytes whole or not at all, as [`save_png`] does.
pub(crate) fn save_bytes(bytes: &[u8], path: &Path) -> Result<(), Error> {
    let write = |source| Error::Write { path: path.to_owned(), source };
    let mut file = temporary(path).map_err(write)?;
    file.write_all(bytes).map_err(write)?;
    file.persist(path).map_err(|error| write(error.error))?;
    Ok(())
}

fn encode(image: &RgbImage, file: &mut NamedTempFile) -> Result<(), ImageError> {
    let mut writer = BufWriter::new(file);
    image.write_with_encoder(PngEncoder::new(&mut writer))?;
    Ok(writer.flush()?)
}

fn temporary(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = Builder::new();
    builder.prefix(".figure-").suffix(".part");
    #[cfg(unix)]
    {
        // As any new file, not private as temporary files are; the umask still applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::Rgb;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heat.png");
        fs::write(&path, "old").unwrap();
        let image = RgbImage::from_fn(7, 5, |x, y| Rgb([x as u8, y as u8, 200]));
        save_png(&image, &path).unwrap();
        assert_eq!(image::open(&path).unwrap().into_rgb8(), image);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn failures_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").join("heat.png");
        let image = RgbImage::new(2, 2);
        assert!(matches!(save_png(&image, &missing), Err(Error::Write { .. })));
        let directory = folder.path().join("heat.png");
        fs::create_dir(&directory).unwrap();
        assert!(matches!(save_png(&image, &directory), Err(Error::Write { .. })));
        let empty = save_png(&RgbImage::new(0, 3), folder.path().join("empty.png"));
        assert!(matches!(empty, Err(Error::EmptyPicture { .. })), "{empty:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
