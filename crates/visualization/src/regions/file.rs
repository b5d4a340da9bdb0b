//! Regions from a JSON file.

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::Deserialize;

use super::{Frame, Region, Shape, mask};
use crate::{Error, Placement};

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

pub(super) fn read(path: &Path, frame: &Frame) -> Result<Vec<Region>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::ReadRegions { path: path.to_owned(), source })?;
    let parsed = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map(|regions| RegionFile { mask: None, regions })
    } else {
        serde_json::from_str(&text)
    };
    let file = parsed.map_err(|source| Error::ParseRegions { path: path.to_owned(), source })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mask = file.mask.map(|mask| mask::read(&folder.join(mask), frame.size)).transpose()?;
    if file.regions.is_empty() {
        return Err(Error::NoRegions { path: path.to_owned() });
    }
    file.regions.into_iter().map(|entry| region(entry, mask.as_ref(), &frame.seen)).collect()
}

fn region(entry: Entry, mask: Option<&RgbImage>, seen: &Placement) -> Result<Region, Error> {
    let Entry { name, polygon, sides, box_2d, colour } = entry;
    let shape = match (polygon, sides, box_2d, colour) {
        (Some(corners), None, None, None) => Ok(Shape::Polygon(corners)),
        (None, Some(sides), None, None) => Ok(Shape::Rectangle(sides)),
        (None, None, Some(sides), None) => Ok(Shape::Rectangle(from_thousandths(sides, seen))),
        (None, None, None, Some(colour)) => coloured(&colour, mask),
        _ => Err("has not exactly one of polygon, box, box_2d and colour".to_owned()),
    };
    let shape = shape.map_err(|what| Error::BadRegion { name: name.clone(), what })?;
    let region = Region { name, shape };
    region.check()?;
    Ok(region)
}

fn coloured(colour: &str, mask: Option<&RgbImage>) -> Result<Shape, String> {
    let code = mask::parse_code(colour);
    let code = code.ok_or_else(|| format!("has the colour {colour:?}: \"#rrggbb\" is expected"))?;
    let mask = mask.ok_or("has a colour, and the file names no mask")?;
    if mask.pixels().any(|pixel| pixel.0 == code) {
        Ok(mask::shape(mask, code))
    } else {
        Err(format!("has the colour {colour}, which no pixel of the mask has"))
    }
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
