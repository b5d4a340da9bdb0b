//! Pictures small enough to stand in the page.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageError, RgbImage};

use super::{Picture, ReportError};

/// Pixels of all pictures together, and the most that one picture has of them: with both, a page of one picture stays below
/// five megabytes whatever the picture.
const PIXELS: u64 = 3_200_000;
const PIXELS_OF_ONE: u64 = 1_600_000;
/// However many pictures there are, each stays large enough to be read.
const PIXELS_AT_LEAST: u64 = 120_000;
/// Browsers refuse canvases with longer sides.
const LONGEST_SIDE: u64 = 8192;
/// Bytes of a PNG above which the picture is stored as JPEG; for all pictures together.
const PNG_BYTES: usize = 2_000_000;
const JPEG_QUALITY: u8 = 90;

/// A picture as a data URL.
#[derive(Debug)]
pub(super) struct Embedded {
    pub(super) url: String,
    /// Size of the copy in the page.
    pub(super) size: (u32, u32),
    /// Whether it has all pixels of the original.
    pub(super) whole: bool,
    /// Whether it has their exact values.
    pub(super) exact: bool,
}

pub(super) fn embed(pictures: &[Picture<'_>]) -> Result<Vec<Embedded>, ReportError> {
    let n_pictures = pictures.len();
    let embed = |(index, picture): (usize, &Picture<'_>)| {
        one(picture.image, n_pictures)
            .map_err(|source| ReportError::Picture { picture: index, source })
    };
    pictures.iter().enumerate().map(embed).collect()
}

fn one(picture: &RgbImage, n_pictures: usize) -> Result<Embedded, ImageError> {
    let size = bounded(picture.dimensions(), n_pictures as u64);
    let whole = size == picture.dimensions();
    let small;
    let picture = if whole {
        picture
    } else {
        small = imageops::resize(picture, size.0, size.1, FilterType::CatmullRom);
        &small
    };
    let picture =
        grey(picture).map_or_else(|| DynamicImage::from(picture.clone()), DynamicImage::from);
    let png = png(&picture)?;
    let exact = png.len() <= PNG_BYTES / n_pictures.max(1) || size.0.max(size.1) < 64;
    let (kind, bytes) = if exact { ("png", png) } else { ("jpeg", jpeg(&picture)?) };
    let url = format!("data:image/{kind};base64,{}", STANDARD.encode(bytes));
    Ok(Embedded { url, size, whole, exact: exact && whole })
}

/// The size of the copy: never larger than the original, and each side at least one pixel.
fn bounded((width, height): (u32, u32), n_pictures: u64) -> (u32, u32) {
    let pixels = (PIXELS / n_pictures.max(1)).clamp(PIXELS_AT_LEAST, PIXELS_OF_ONE) as f64;
    let (w, h) = (f64::from(width), f64::from(height));
    let factor = (pixels / (w * h)).sqrt().min(LONGEST_SIDE as f64 / w.max(h)).min(1.0);
    let side = |length: f64| (length * factor).round().max(1.0) as u32;
    (side(w), side(h))
}

/// One channel where all three are the same: a third of the bytes.
fn grey(picture: &RgbImage) -> Option<GrayImage> {
    let same = picture.pixels().all(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2]);
    let values = || picture.pixels().map(|p| p.0[0]).collect();
    same.then(|| GrayImage::from_raw(picture.width(), picture.height(), values()))?
}

fn png(picture: &DynamicImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    let encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, PngFilter::Adaptive);
    picture.write_with_encoder(encoder)?;
    Ok(bytes.into_inner())
}

fn jpeg(picture: &DynamicImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: u32, height: u32) -> RgbImage {
        let mut state = 1_u32;
        RgbImage::from_fn(width, height, |_, _| {
            image::Rgb(std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }))
        })
    }

    #[test]
    fn small_pictures_are_kept_exactly() {
        let picture = noise(300, 200);
        let embedded = one(&picture, 1).unwrap();
        assert!(embedded.whole && embedded.exact);
        let data = embedded.url.strip_prefix("data:image/png;base64,").unwrap();
        let read = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!(read.into_rgb8(), picture);
    }

    #[test]
    fn grey_pictures_have_one_channel() {
        let picture = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 3 + y) as u8; 3]));
        let data = one(&picture, 1).unwrap().url;
        let data = data.strip_prefix("data:image/png;base64,").unwrap();
        let read = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!(read.color(), image::ColorType::L8);
        assert_eq!(read.into_rgb8(), picture);
    }

    #[test]
    fn sizes_are_bounded_and_keep_their_ratio() {
        assert_eq!(bounded((1024, 1024), 1), (1024, 1024));
        assert_eq!(bounded((3000, 3000), 1), (1265, 1265));
        assert_eq!(bounded((20_000, 1000), 1), (5657, 283));
        assert_eq!(bounded((20_000, 1), 1), (8192, 1));
        assert_eq!(bounded((1, 1), 1), (1, 1));
        assert_eq!(bounded((512, 512), 85), (346, 346));
    }

    #[test]
    fn the_worst_picture_leaves_room_for_the_numbers() {
        let embedded = one(&noise(1800, 1500), 1).unwrap();
        assert!(!embedded.whole && !embedded.exact);
        assert!(embedded.url.len() < 3_500_000, "{}", embedded.url.len());
    }
}
