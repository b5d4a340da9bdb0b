//! Pictures small enough to stand in the page.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageError, RgbImage};

/// Pixels of all pictures of a report together, and the most that one picture has of them: with both, a page of one picture stays
/// below five megabytes whatever the picture.
const REPORT_PIXELS: u64 = 3_200_000;
const REPORT_PIXELS_OF_ONE: u64 = 1_600_000;
/// However many pictures there are, each stays large enough to be read: up to a hundred have the first, and of more, as in a series of
/// slices, all together have the second, but none less than the third.
const REPORT_PIXELS_AT_LEAST: u64 = 120_000;
const REPORT_PIXELS_OF_MANY: u64 = 12_000_000;
const REPORT_PIXELS_OF_A_SLICE: u64 = 40_000;
/// From this many pictures on they are stored at a lower quality, as a slice is looked at beside its neighbours, and at a still lower one
/// where all together would take more bytes than this.
const REPORT_MANY: usize = 24;
const REPORT_JPEG_BYTES: usize = 6_000_000;
/// Browsers refuse canvases with longer sides.
const LONGEST_SIDE: u64 = 8192;
/// Bytes of a PNG above which a picture is stored as JPEG; for all pictures of a report together.
const REPORT_PNG_BYTES: usize = 2_000_000;

/// Pixels of all pictures of a dossier together. As JPEG they take about a third of a byte each.
const DOSSIER_PIXELS: u64 = 12_000_000;
/// The sides of a picture of a dossier: twice what it is shown at, for screens with fine pixels, and not less than that.
const DOSSIER_SIDE: u64 = 520;
const DOSSIER_SIDE_AT_LEAST: u64 = 260;
/// Bytes of a PNG above which a picture of a dossier is stored as JPEG: no numbers are read from it.
const DOSSIER_PNG_BYTES: usize = 40_000;

/// Below this size a PNG is small whatever it shows.
const SMALL_SIDE: u32 = 64;
/// What one picture is stored at, and what many are: the first that is small enough, or the last.
const JPEG_QUALITY: &[u8] = &[90];
const JPEG_QUALITY_OF_MANY: &[u8] = &[80, 60, 40];

/// How much of a picture a page holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pixels: u64,
    side: u64,
    png_bytes: usize,
    jpeg_bytes: usize,
    qualities: &'static [u8],
}

impl Limits {
    /// For one of the pictures of a report, which are looked at closely and compared with maps.
    pub(crate) fn of_report(n_pictures: usize) -> Self {
        let n_pictures = n_pictures.max(1);
        let pixels = REPORT_PIXELS / n_pictures as u64;
        let least = (REPORT_PIXELS_OF_MANY / n_pictures as u64)
            .clamp(REPORT_PIXELS_OF_A_SLICE, REPORT_PIXELS_AT_LEAST);
        Self {
            pixels: pixels.clamp(least, REPORT_PIXELS_OF_ONE),
            side: LONGEST_SIDE,
            png_bytes: REPORT_PNG_BYTES / n_pictures,
            jpeg_bytes: REPORT_JPEG_BYTES / n_pictures,
            qualities: if n_pictures < REPORT_MANY { JPEG_QUALITY } else { JPEG_QUALITY_OF_MANY },
        }
    }

    /// For one of the pictures on the cards of a dossier, which are shown small.
    pub(crate) fn of_dossier(n_pictures: usize) -> Self {
        let pixels = DOSSIER_PIXELS / n_pictures.max(1) as u64;
        let side = pixels.isqrt().clamp(DOSSIER_SIDE_AT_LEAST, DOSSIER_SIDE);
        Self {
            pixels: side * side,
            side,
            png_bytes: DOSSIER_PNG_BYTES,
            jpeg_bytes: usize::MAX,
            qualities: JPEG_QUALITY,
        }
    }

    /// The size of the copy: never larger than the original, and each side at least one pixel.
    fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        let (w, h) = (f64::from(width), f64::from(height));
        let (pixels, side) = (self.pixels as f64, self.side as f64);
        let factor = (pixels / (w * h)).sqrt().min(side / w.max(h)).min(1.0);
        let side = |length: f64| (length * factor).round().max(1.0) as u32;
        (side(w), side(h))
    }
}

/// A picture as a data URL.
#[derive(Debug)]
pub(crate) struct Embedded {
    pub(crate) url: String,
    /// Size of the copy in the page.
    pub(crate) size: (u32, u32),
    /// Whether it has all pixels of the original.
    pub(crate) whole: bool,
    /// Whether it has their exact values.
    pub(crate) exact: bool,
}

/// `picture` has pixels.
pub(crate) fn embed(picture: &RgbImage, limits: Limits) -> Result<Embedded, ImageError> {
    let size = limits.size(picture.dimensions());
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
    let exact = png.len() <= limits.png_bytes || size.0.max(size.1) < SMALL_SIDE;
    let (kind, bytes) = if exact { ("png", png) } else { ("jpeg", jpeg(&picture, limits)?) };
    let url = format!("data:image/{kind};base64,{}", STANDARD.encode(bytes));
    Ok(Embedded { url, size, whole, exact: exact && whole })
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

/// At the best quality that is small enough.
fn jpeg(picture: &DynamicImage, limits: Limits) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    for &quality in limits.qualities {
        let mut out = Cursor::new(Vec::new());
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut out, quality))?;
        bytes = out.into_inner();
        if bytes.len() <= limits.jpeg_bytes {
            break;
        }
    }
    Ok(bytes)
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
        let embedded = embed(&picture, Limits::of_report(1)).unwrap();
        assert!(embedded.whole && embedded.exact);
        let data = embedded.url.strip_prefix("data:image/png;base64,").unwrap();
        let read = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!(read.into_rgb8(), picture);
    }

    #[test]
    fn grey_pictures_have_one_channel() {
        let picture = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 3 + y) as u8; 3]));
        let data = embed(&picture, Limits::of_report(1)).unwrap().url;
        let data = data.strip_prefix("data:image/png;base64,").unwrap();
        let read = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!(read.color(), image::ColorType::L8);
        assert_eq!(read.into_rgb8(), picture);
    }

    #[test]
    fn sizes_are_bounded_and_keep_their_ratio() {
        let size = |size, n_pictures| Limits::of_report(n_pictures).size(size);
        assert_eq!(size((1024, 1024), 1), (1024, 1024));
        assert_eq!(size((3000, 3000), 1), (1265, 1265));
        assert_eq!(size((20_000, 1000), 1), (5657, 283));
        assert_eq!(size((20_000, 1), 1), (8192, 1));
        assert_eq!(size((1, 1), 1), (1, 1));
        assert_eq!(size((512, 512), 85), (346, 346));
        assert_eq!(size((512, 512), 300), (200, 200));
        assert_eq!(size((512, 512), 1000), (200, 200));
        let size = |size, n_pictures| Limits::of_dossier(n_pictures).size(size);
        assert_eq!(size((3000, 1500), 0), (520, 260));
        assert_eq!(size((300, 200), 40), (300, 200));
        assert_eq!(size((1024, 1024), 100), (346, 346));
        assert_eq!(size((1024, 1024), 100_000), (260, 260));
    }

    #[test]
    fn the_worst_picture_leaves_room_for_the_numbers() {
        let embedded = embed(&noise(1800, 1500), Limits::of_report(1)).unwrap();
        assert!(!embedded.whole && !embedded.exact);
        assert!(embedded.url.len() < 3_500_000, "{}", embedded.url.len());
    }
}
