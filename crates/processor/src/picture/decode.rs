//! Decoding with limits; whatever the decoder does, the caller gets a picture or an error.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use medical_pictures::Format;

use super::{PictureOptions, Warning};
use crate::{Error, ForeignFile};

/// A picture as stored.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) picture: DynamicImage,
    /// How it is to be turned.
    pub(super) orientation: Orientation,
    pub(super) format: Format,
    /// What of the file is not shown.
    pub(super) rest: Option<Warning>,
}

/// The picture as stored, and how it is to be turned.
pub(super) fn decode(bytes: &[u8], name: &str, options: &PictureOptions) -> Result<Decoded, Error> {
    if let Some(kind) = ForeignFile::recognize(bytes) {
        return Err(Error::ForeignFile { name: name.into(), kind });
    }
    let format = format(bytes, name)?;
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err(Error::Truncated { name: name.into() });
    }
    if format == ImageFormat::Jpeg && MOST_SCANS < scans(bytes) {
        let message = format!("it has more than {MOST_SCANS} scans");
        return Err(Error::Decode { name: name.into(), message });
    }
    guarded(name, || {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits(options));
        let mut decoder = reader.into_decoder().map_err(|error| failed(name, error))?;
        check_size(name, &decoder, options)?;
        let orientation = decoder.orientation().map_err(|error| failed(name, error))?;
        let picture = DynamicImage::from_decoder(decoder).map_err(|error| failed(name, error))?;
        let rest = rest(bytes, format);
        Ok(Decoded { picture, orientation, format: named(format), rest })
    })
}

fn named(format: ImageFormat) -> Format {
    match format {
        ImageFormat::Jpeg => Format::Jpeg,
        ImageFormat::Tiff => Format::Tiff,
        ImageFormat::WebP => Format::Webp,
        ImageFormat::Bmp => Format::Bmp,
        _ => Format::Png,
    }
}

/// What a file has beside the picture that is read of it.
fn rest(bytes: &[u8], format: ImageFormat) -> Option<Warning> {
    let is_animated = match format {
        ImageFormat::Tiff => {
            let pages = tiff_pages(bytes);
            return (1 < pages).then_some(Warning::FirstPage { pages });
        }
        ImageFormat::Png => PngDecoder::new(Cursor::new(bytes)).ok()?.is_apng().ok()?,
        ImageFormat::WebP => WebPDecoder::new(Cursor::new(bytes)).ok()?.has_animation(),
        _ => false,
    };
    is_animated.then_some(Warning::FirstFrame)
}

/// Pages that can be read, counted up to a number beyond which nobody counts.
fn tiff_pages(bytes: &[u8]) -> usize {
    const MOST: usize = 10_000;
    let Ok(mut decoder) = tiff::decoder::Decoder::new(Cursor::new(bytes)) else { return 1 };
    let mut pages = 1;
    while pages < MOST && decoder.more_images() && decoder.next_image().is_ok() {
        pages += 1;
    }
    pages
}

/// Decoders have panicked on hostile files before; that must not end the process.
fn guarded<T>(name: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Nothing outlives the closure but its result, so no broken state can be seen afterwards.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::DecoderPanic { name: name.into() }))
}

fn format(bytes: &[u8], name: &str) -> Result<ImageFormat, Error> {
    use ImageFormat::{Bmp, Jpeg, Png, Tiff, WebP};
    match image::guess_format(bytes) {
        Ok(format @ (Png | Jpeg | Tiff | WebP | Bmp)) => Ok(format),
        Ok(other) => {
            let what = format!("the format {other:?}");
            Err(Error::UnsupportedPicture { name: name.into(), what })
        }
        Err(_) => Err(Error::NotAPicture { name: name.into() }),
    }
}

fn limits(options: &PictureOptions) -> Limits {
    // Sides are checked here with a better message; the decoders need to know how much they may allocate.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(options.max_decoded_bytes);
    limits
}

fn check_size(
    name: &str,
    decoder: &impl ImageDecoder,
    options: &PictureOptions,
) -> Result<(), Error> {
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::ZeroSize { name: name.into(), width, height });
    }
    let over =
        |what, found, limit| Err(Error::PictureLimit { name: name.into(), what, found, limit });
    if width.max(height) > options.max_side {
        return over(
            "the longest side in pixels",
            width.max(height).into(),
            options.max_side.into(),
        );
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > options.max_pixels {
        return over("the number of pixels", pixels, options.max_pixels);
    }
    if decoder.total_bytes() > options.max_decoded_bytes {
        return over("the decoded size in bytes", decoder.total_bytes(), options.max_decoded_bytes);
    }
    Ok(())
}

fn failed(name: &str, error: ImageError) -> Error {
    let name = name.to_owned();
    match error {
        ImageError::Unsupported(what) => Error::UnsupportedPicture { name, what: what.to_string() },
        ImageError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { name }
        }
        other => Error::Decode { name, message: other.to_string() },
    }
}

/// Whether the scan of a JPEG comes to its end marker. The decoder fills what is missing with grey and says nothing.
///
/// Segments before the scan carry their length and may hold a thumbnail with an end marker of its own, so they are
/// stepped over; inside the scan `FF D9` cannot be data, because a data byte `FF` is followed by `00`.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    scan_start(bytes).is_some_and(|scan| bytes[scan..].windows(2).any(|pair| pair == [0xFF, 0xD9]))
}

/// A progressive JPEG has ten scans or so. Each may be a few bytes and still takes time for the whole picture.
const MOST_SCANS: usize = 200;

/// Headers of scans, and pairs of bytes before the first one that look like them. Inside a scan such a pair cannot be data.
fn scans(bytes: &[u8]) -> usize {
    bytes.windows(2).filter(|pair| *pair == [0xFF, 0xDA]).count()
}

/// Position after the header of the first scan.
fn scan_start(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        match *bytes.get(at..at + 2)? {
            [0xFF, 0xFF] => at += 1,               // padding
            [0xFF, 0x01 | 0xD0..=0xD8] => at += 2, // markers without a length
            [0xFF, 0xD9] => return None,           // the end, before any scan
            [0xFF, marker] => {
                let length = bytes.get(at + 2..at + 4)?;
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                if marker == 0xDA {
                    return Some(at).filter(|&at| at <= bytes.len());
                }
            }
            _ => at += 1, // decoders skip stray bytes between segments
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_is_an_error_that_names_the_file() {
        let error = guarded::<()>("x.png", || panic!("as hostile data may cause")).unwrap_err();
        assert!(error.to_string().contains("x.png"));
    }

    #[test]
    fn scans_are_counted() {
        let scan = [0xFF, 0xDA, 0, 2, 1, 0xFF, 0, 0xDA];
        assert_eq!(scans(&scan.repeat(3)), 3);
        let many = [&[0xFF, 0xD8, 0xFF][..], &scan.repeat(MOST_SCANS + 1), &[0xFF, 0xD9]].concat();
        let error = decode(&many, "x.jpg", &PictureOptions::default()).unwrap_err();
        assert!(
            error.to_string().contains("x.jpg") && error.to_string().contains("200 scans"),
            "{error}"
        );
    }

    #[test]
    fn the_thumbnail_of_a_jpeg_does_not_hide_that_it_is_cut() {
        let thumbnail = [0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9];
        let scan = [0xFF, 0xDA, 0, 2, 1, 2, 3];
        let mut file = [&[0xFF, 0xD8][..], &thumbnail, &scan].concat();
        assert!(!jpeg_is_complete(&file));
        file.extend([0xFF, 0xD9]);
        assert!(jpeg_is_complete(&file));
        for end in 0..file.len() {
            assert!(!jpeg_is_complete(&file[..end]));
        }
    }
}
