//! Regions from a JSON file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::Deserialize;

use super::{Frame, Region, Shape, mask};
use crate::{Error, Placement, escape_controls, files};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionFile {
    mask: Option<PathBuf>,
    regions: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(alias = "label")]
    name: String,
    polygon: Option<Vec<[f64; 2]>>,
    #[serde(rename = "box")]
    sides: Option<[f64; 4]>,
    box_2d: Option<[f64; 4]>,
    #[serde(alias = "color")]
    colour: Option<String>,
}

/// The mask that a file of shapes names.
pub(super) fn mask_of(path: &Path) -> Option<PathBuf> {
    Some(folder(path).join(parse(path).ok()?.mask?))
}

pub(super) fn read(path: &Path, frame: &Frame) -> Result<Vec<Region>, Error> {
    let file = parse(path)?;
    check_bounds(path, &file.regions)?;
    let mask =
        file.mask.map(|mask| mask::read(&folder(path).join(mask), frame.size)).transpose()?;
    if file.regions.is_empty() {
        return Err(Error::NoRegions { path: path.to_owned() });
    }
    let mut coloured = coloured(&file.regions, mask.as_ref())?.into_iter();
    let region = |entry| region(entry, &mut coloured, &frame.seen);
    file.regions.into_iter().map(region).collect()
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn parse(path: &Path) -> Result<RegionFile, Error> {
    let bytes = files::read(path, LARGEST_FILE)
        .map_err(|source| Error::ReadRegions { path: path.to_owned(), source })?;
    let parsed = if bytes.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(&bytes).map(|regions| RegionFile { mask: None, regions })
    } else {
        serde_json::from_slice(&bytes)
    };
    parsed.map_err(|source| Error::ParseRegions { path: path.to_owned(), source })
}

/// Bytes of a file: those of the most corners, written out at length, and more.
const LARGEST_FILE: u64 = 4 << 20;
/// More regions than this no figure shows and nobody reads.
const MOST_REGIONS: usize = 200;
/// Corners of all polygons together: each is held against every cell of every map.
const MOST_CORNERS: usize = 20_000;
/// Characters of a name.
pub(super) const LONGEST_NAME: usize = 100;

fn check_bounds(path: &Path, regions: &[Entry]) -> Result<(), Error> {
    let corners = regions.iter().filter_map(|entry| entry.polygon.as_ref()).map(Vec::len).sum();
    for (what, found, most) in
        [("regions", regions.len(), MOST_REGIONS), ("corners", corners, MOST_CORNERS)]
    {
        if most < found {
            return Err(Error::TooManyRegions { path: path.to_owned(), what, found, most });
        }
    }
    for name in regions.iter().map(|entry| &entry.name) {
        let length = name.chars().count();
        let what = if LONGEST_NAME < length {
            format!("has a name of {length} characters; the most is {LONGEST_NAME}")
        } else if escape_controls(name, &[]) != *name {
            "has control characters in its name".to_owned()
        } else {
            continue;
        };
        let name = name.chars().take(LONGEST_NAME).collect();
        return Err(Error::BadRegion { name, what });
    }
    Ok(())
}

/// The shapes of the entries that have a colour alone, in their order.
fn coloured(regions: &[Entry], mask: Option<&RgbImage>) -> Result<Vec<Shape>, Error> {
    let mut colours = Vec::new();
    for entry in regions {
        let Some(colour) = &entry.colour else { continue };
        let bad = |what: String| Error::BadRegion { name: entry.name.clone(), what };
        let code = mask::parse_code(colour).ok_or_else(|| {
            let start: String = colour.chars().take(20).collect();
            bad(format!("has the colour {start:?}: \"#rrggbb\" is expected"))
        })?;
        if mask.is_none() {
            return Err(bad("has a colour, and the file names no mask".to_owned()));
        }
        colours
            .push((code, bad(format!("has the colour {colour}, which no pixel of the mask has"))));
    }
    let Some(mask) = mask else { return Ok(Vec::new()) };
    let held: HashSet<[u8; 3]> = mask.pixels().map(|pixel| pixel.0).collect();
    let codes: Vec<[u8; 3]> = colours.iter().map(|(code, _)| *code).collect();
    match colours.into_iter().find(|(code, _)| !held.contains(code)) {
        Some((_, missing)) => Err(missing),
        None => Ok(mask::shapes(mask, &codes)),
    }
}

fn region(
    entry: Entry,
    coloured: &mut impl Iterator<Item = Shape>,
    seen: &Placement,
) -> Result<Region, Error> {
    let Entry { name, polygon, sides, box_2d, colour } = entry;
    let shape = match (polygon, sides, box_2d, colour) {
        (Some(corners), None, None, None) => Ok(Shape::Polygon(corners)),
        (None, Some(sides), None, None) => Ok(Shape::Rectangle(sides)),
        (None, None, Some(sides), None) => Ok(Shape::Rectangle(from_thousandths(sides, seen))),
        (None, None, None, Some(_)) => coloured.next().ok_or("has a colour of no mask"),
        _ => Err("has not exactly one of polygon, box, box_2d and colour"),
    };
    let shape =
        shape.map_err(|what| Error::BadRegion { name: name.clone(), what: what.to_owned() })?;
    let region = Region { name, shape };
    region.check()?;
    Ok(region)
}

/// `[x0, y0, x1, y1]` in pixels from `[y0, x0, y1, x1]` in thousandths of what the model saw.
pub(super) fn from_thousandths([y0, x0, y1, x1]: [f64; 4], seen: &Placement) -> [f64; 4] {
    let x = |v: f64| seen.x0 + (seen.x1 - seen.x0) * v / 1000.0;
    let y = |v: f64| seen.y0 + (seen.y1 - seen.y0) * v / 1000.0;
    [x(x0), y(y0), x(x1), y(y1)]
}

impl Region {
    /// Whether the shape is one.
    pub(super) fn check(&self) -> Result<(), Error> {
        let finite = |values: &[f64]| values.iter().all(|v| v.is_finite());
        let what = match &self.shape {
            Shape::Rectangle(sides) if !finite(sides) => "has sides that are not finite",
            Shape::Rectangle([x0, y0, x1, y1]) if !(x0 < x1 && y0 < y1) => {
                "is no rectangle: x0 < x1 and y0 < y1 are needed"
            }
            Shape::Polygon(corners) if corners.len() < 3 => "has fewer than three corners",
            Shape::Polygon(corners) if !corners.iter().all(|c| finite(c)) => {
                "has corners that are not finite"
            }
            _ => return Ok(()),
        };
        Err(Error::BadRegion { name: self.name.clone(), what: what.to_owned() })
    }
}
