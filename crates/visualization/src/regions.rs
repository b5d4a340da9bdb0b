//! Named parts of a picture, and how much of a map lies in each.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use image::RgbImage;

use crate::contour::mask_outline;
use crate::orientation::PictureSide;
use crate::{Error, Orientation, Outline, Placement};

pub use answer::{AnswerBox, AnswerBoxes, answer_boxes};
pub use score::{
    HOT_QUANTILE, Localization, RegionScore, localization, region_scores, region_table,
    region_weights,
};

mod answer;
mod builtin;
mod coverage;
mod file;
mod mask;
mod score;

/// A named part of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// What it is called.
    pub name: String,
    /// Where it lies.
    pub shape: Shape,
}

/// Where a region lies, in pixels of the picture; what reaches past the picture does not count.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// `[x0, y0, x1, y1]`, with x0 < x1 and y0 < y1.
    Rectangle([f64; 4]),
    /// At least three corners `[x, y]`; the last is joined to the first. Edges that cross each other make the area wrong.
    Polygon(Vec<[f64; 2]>),
    /// Single pixels.
    Mask(Mask),
}

/// Pixels of a picture, each in or out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: u32,
    height: u32,
    /// `[height · width]`, row by row; masks of one file share them.
    labels: Arc<[u8]>,
    /// The label of the pixels that are in.
    label: u8,
}

impl Mask {
    /// The pixels of a picture of this size for which `is_set(x, y)` holds.
    pub fn from_fn(width: u32, height: u32, is_set: impl Fn(u32, u32) -> bool) -> Self {
        let set = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let labels = set.map(|(x, y)| u8::from(is_set(x, y))).collect();
        Self { width, height, labels, label: 1 }
    }

    /// Whether the pixel in row `y` and column `x` is in.
    fn holds(&self, x: u32, y: u32) -> bool {
        self.labels[y as usize * self.width as usize + x as usize] == self.label
    }

    /// Every pixel, row by row.
    fn pixels(&self) -> Vec<bool> {
        self.labels.iter().map(|label| *label == self.label).collect()
    }
}

impl Region {
    /// A rectangle `[x0, y0, x1, y1]` in pixels.
    pub fn rectangle(name: impl Into<String>, sides: [f64; 4]) -> Self {
        Self { name: name.into(), shape: Shape::Rectangle(sides) }
    }

    /// Its edge, labelled with its name.
    pub fn outline(&self) -> Outline {
        let rings = match &self.shape {
            Shape::Rectangle(sides) => return Outline::rectangle(*sides, &self.name),
            Shape::Polygon(corners) => vec![corners.clone()],
            Shape::Mask(mask) => mask_outline(&mask.pixels(), (mask.width, mask.height)),
        };
        Outline { rings, label: self.name.clone() }
    }
}

/// The picture that regions are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// The rectangle that the model saw: what boxes in thousandths are counted in.
    pub seen: Placement,
    /// How the patient stands.
    pub orientation: Orientation,
}

impl Frame {
    /// A picture that the model saw whole and without padding.
    pub fn whole(picture: &RgbImage, orientation: Orientation) -> Self {
        Self { size: picture.dimensions(), seen: Placement::whole(picture), orientation }
    }
}

/// Which regions are wanted, as one writes it on a command line.
///
/// ```
/// use relevancy_visualization::{Frame, Orientation, RegionSpec, image::RgbImage};
///
/// let picture = RgbImage::new(300, 300);
/// let spec: RegionSpec = "cxr".parse()?;
/// let regions = spec.regions(&Frame::whole(&picture, Orientation::Pa))?;
/// assert_eq!(regions.len(), 6);
/// assert_eq!(regions[0].name, "right upper zone"); // the patient's right: the picture's left
/// # Ok::<(), relevancy_visualization::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionSpec {
    /// `halves`: the left and the right half of the picture.
    Halves,
    /// `quadrants`: four quarters of the picture.
    Quadrants,
    /// `grid3x3`: nine equal parts of the picture.
    Grid3x3,
    /// `cxr`: upper, middle and lower zone of each side of the patient. Sides divide at the middle of the picture and zones at
    /// the thirds of its height; no anatomy is sought.
    Cxr,
    /// A `.json` file of shapes or a `.png` mask whose colours are regions.
    ///
    /// The JSON holds `{"mask": "FILE.png", "regions": [REGION, …]}`, or the list alone. A region has a `name` (or `label`) and
    /// one of: `polygon`, corners `[x, y]` in pixels; `box`, `[x0, y0, x1, y1]` in pixels; `box_2d`, `[y0, x0, y1, x1]` in
    /// thousandths of what the model saw; `colour`, `"#rrggbb"` in the mask, whose path is relative to the file. In a mask
    /// without JSON every colour but black is a region of its own.
    ///
    /// A file has at most 4 MiB, 200 regions and 20 000 corners; a name has at most 100 characters, none of them a control character.
    File(PathBuf),
}

impl FromStr for RegionSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let path = PathBuf::from(text);
        let is = |wanted| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted));
        if is("json") || is("png") {
            return Ok(Self::File(path));
        }
        let all = [
            ("halves", Some(Self::Halves)),
            ("quadrants", Some(Self::Quadrants)),
            ("grid3x3", Some(Self::Grid3x3)),
            ("cxr", Some(Self::Cxr)),
            ("FILE.json", None),
            ("MASK.png", None),
        ];
        let known = all.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.and_then(|(_, spec)| spec.clone()).ok_or_else(|| Error::UnknownName {
            what: "regions",
            name: text.to_owned(),
            expected: all.map(|(name, _)| name).join(", "),
        })
    }
}

impl fmt::Display for RegionSpec {
    /// As [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halves => f.write_str("halves"),
            Self::Quadrants => f.write_str("quadrants"),
            Self::Grid3x3 => f.write_str("grid3x3"),
            Self::Cxr => f.write_str("cxr"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl RegionSpec {
    /// The regions of a picture, in reading order; a file is read.
    ///
    /// # Errors
    /// A file that cannot be read, is not JSON of the form above or holds an invalid shape; a mask that is not a picture, has
    /// another size than the picture, more than 64 colours or edges like those of noise; more than the bounds above.
    pub fn regions(&self, frame: &Frame) -> Result<Vec<Region>, Error> {
        match self {
            Self::Halves => Ok(builtin::halves(frame.size)),
            Self::Quadrants => Ok(builtin::quadrants(frame.size)),
            Self::Grid3x3 => Ok(builtin::grid3x3(frame.size)),
            Self::Cxr if !frame.orientation.may_be_frontal() => Err(Error::NotFrontal),
            Self::Cxr => Ok(builtin::cxr(frame.size, frame.orientation)),
            Self::File(path) if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) => {
                mask::colours(path, frame.size)
            }
            Self::File(path) => file::read(path, frame),
        }
    }

    /// The files that the regions come from: that of the shapes and the mask that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        let Self::File(path) = self else { return Vec::new() };
        let is_mask = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        let mask = if is_mask { None } else { file::mask_of(path) };
        [path.clone()].into_iter().chain(mask).collect()
    }

    /// What must be said beside numbers of these regions: whose sides they are.
    pub fn note(&self, orientation: Orientation) -> Option<String> {
        let sides = match (self, orientation) {
            (Self::File(_), _) => return None,
            (Self::Cxr, Orientation::None) => {
                "orientation unknown: left and right are those of the picture"
            }
            (Self::Cxr, orientation) if orientation.letter(PictureSide::Left) == Some('L') => {
                "left and right are the patient's: the picture's left is the patient's left (flipped)"
            }
            (Self::Cxr, _) => {
                "left and right are the patient's: the picture's left is the patient's right"
            }
            _ => "left and right are those of the picture",
        };
        let zones =
            if *self == Self::Cxr { "; zones are thirds of the picture's height" } else { "" };
        Some(format!("{sides}{zones}"))
    }
}
