//! Regions from the colours of a mask.

use std::collections::BTreeMap;
use std::path::Path;

use image::{Rgb, RgbImage};

use super::{Mask, Region, Shape};
use crate::Error;

/// More colours than this are a photograph, or edges that were smoothed.
const MOST_COLOURS: usize = 64;

/// Every colour of a mask but black, by its code; the only one bears the name of the file.
pub(super) fn colours(path: &Path, size: (u32, u32)) -> Result<Vec<Region>, Error> {
    let mask = read(path, size)?;
    let mut counts = BTreeMap::<[u8; 3], u64>::new();
    for pixel in mask.pixels() {
        *counts.entry(pixel.0).or_default() += 1;
        if counts.len() > MOST_COLOURS + 1 {
            return Err(Error::MaskColours { path: path.to_owned(), most: MOST_COLOURS });
        }
    }
    counts.remove(&[0; 3]);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let only = (counts.len() == 1).then_some(stem).flatten();
    let region = |colour: &[u8; 3]| Region {
        name: only.clone().unwrap_or_else(|| code(*colour)),
        shape: shape(&mask, *colour),
    };
    Ok(counts.keys().map(region).collect())
}

/// A mask of the picture's size.
pub(super) fn read(path: &Path, size: (u32, u32)) -> Result<RgbImage, Error> {
    let mask = image::open(path)
        .map_err(|source| Error::ReadMask { path: path.to_owned(), source })?
        .into_rgb8();
    if mask.dimensions() != size {
        let (expected, found) = (size, mask.dimensions());
        return Err(Error::MaskSize { path: path.to_owned(), expected, found });
    }
    Ok(mask)
}

/// The pixels of one colour.
pub(super) fn shape(mask: &RgbImage, colour: [u8; 3]) -> Shape {
    let (width, height) = mask.dimensions();
    Shape::Mask(Mask::from_fn(width, height, |x, y| *mask.get_pixel(x, y) == Rgb(colour)))
}

fn code([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Reads `#rrggbb`.
pub(super) fn parse_code(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.is_ascii())?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    Some([(code >> 16) as u8, (code >> 8) as u8, code as u8])
}
