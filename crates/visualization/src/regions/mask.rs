//! Regions from the colours of a mask.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use image::{ImageReader, RgbImage};

use super::{Mask, Region, Shape};
use crate::{Error, escape_controls, files};

/// More colours than this are a photograph, or edges that were smoothed.
const MOST_COLOURS: usize = 64;
/// More edges are those of noise: outlines of anatomy have some ten thousand in a large picture.
const MOST_EDGES: usize = 400_000;
/// Bytes of a mask.
const LARGEST_FILE: u64 = 64 << 20;

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
    let stem = path.file_stem().map(|stem| {
        let stem = stem.to_string_lossy();
        escape_controls(&stem, &[]).chars().take(super::file::LONGEST_NAME).collect::<String>()
    });
    let only = (counts.len() == 1).then_some(stem).flatten();
    let colours: Vec<[u8; 3]> = counts.into_keys().collect();
    let shapes = shapes(&mask, &colours);
    let name = |colour| only.clone().unwrap_or_else(|| code(colour));
    let named = colours.iter().zip(shapes);
    Ok(named.map(|(&colour, shape)| Region { name: name(colour), shape }).collect())
}

/// A mask of the picture's size.
pub(super) fn read(path: &Path, size: (u32, u32)) -> Result<RgbImage, Error> {
    let failed = |source| Error::ReadMask { path: path.to_owned(), source };
    let bytes = files::read(path, LARGEST_FILE).map_err(|error| failed(error.into()))?;
    let reader = || ImageReader::new(Cursor::new(&bytes)).with_guessed_format();
    let found = reader().map_err(|error| failed(error.into()))?.into_dimensions();
    let found = found.map_err(failed)?;
    // By the header, before anything is decoded: the picture of that size was.
    if found != size {
        return Err(Error::MaskSize { path: path.to_owned(), expected: size, found });
    }
    let mask = reader().map_err(|error| failed(error.into()))?.decode().map_err(failed)?;
    let mask = mask.into_rgb8();
    if MOST_EDGES < edges(&mask) {
        return Err(Error::MaskEdges { path: path.to_owned(), most: MOST_EDGES });
    }
    Ok(mask)
}

/// Pairs of neighbours, in rows and columns, that differ.
fn edges(mask: &RgbImage) -> usize {
    let row = mask.width() as usize * 3;
    let pixels: &[u8] = mask.as_raw();
    let beside = |line: &[u8]| {
        line.chunks_exact(3).zip(line[3..].chunks_exact(3)).filter(|(a, b)| a != b).count()
    };
    let along: usize = pixels.chunks_exact(row).map(beside).sum();
    let below = pixels.chunks_exact(3).zip(pixels[row..].chunks_exact(3));
    along + below.filter(|(a, b)| a != b).count()
}

/// The pixels of each colour, of which there are at most 255.
pub(super) fn shapes(mask: &RgbImage, colours: &[[u8; 3]]) -> Vec<Shape> {
    let (width, height) = mask.dimensions();
    let numbers: HashMap<[u8; 3], u8> = colours.iter().copied().zip(1..=u8::MAX).collect();
    let labels = mask.pixels().map(|pixel| numbers.get(&pixel.0).copied().unwrap_or(0));
    let labels: Arc<[u8]> = labels.collect();
    let shape = |colour: &[u8; 3]| {
        let labels = Arc::clone(&labels);
        Shape::Mask(Mask { width, height, labels, label: numbers[colour] })
    };
    colours.iter().map(shape).collect()
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
