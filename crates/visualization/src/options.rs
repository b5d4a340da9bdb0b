//! How a map is drawn.

use crate::setters::setters;
use crate::{Colormap, Error, Interpolation, Orientation};

/// How much of the picture the colours hide; every number is within 0 (nothing) and 1 (all).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Opacity {
    /// The same wherever a map lies, also where its value is zero.
    Constant(f32),
    /// Grows with the value, from nothing at zero to this at the end of the scale: this · t·(2 − t) at the part t of the
    /// scale. The picture shows where there is nothing to see, and the middle of the scale stays visible although its colours
    /// are dark.
    ByValue(f32),
}

impl Opacity {
    fn largest(self) -> f32 {
        match self {
            Self::Constant(value) | Self::ByValue(value) => value,
        }
    }

    /// At the part `position` of the scale, within 0 and 1.
    pub(crate) fn at(self, position: f32) -> f32 {
        match self {
            Self::Constant(value) => value,
            Self::ByValue(value) => value * position * (2.0 - position),
        }
    }
}

/// Which value has the last colour. Zero has the first, or the middle one of a diverging colour map, and values are never
/// changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    /// The largest magnitude among the cells that reach into the picture.
    #[default]
    Own,
    /// A stated value, so that several pictures can be compared; [`Scale::common`] finds it. Larger values take the last
    /// colour, and a figure says so.
    Shared {
        /// Where the scale ends; finite and not negative.
        max: f32,
    },
}

/// How heat is drawn, and what is drawn over it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OverlayOptions {
    /// The colours.
    pub colormap: Colormap,
    /// How cells become pixels.
    pub interpolation: Interpolation,
    /// How much of the picture the colours hide.
    pub opacity: Opacity,
    /// Which value has the last colour.
    pub scale: Scale,
    /// Whether the edges of the cells are drawn; never where a cell is less than four pixels wide or high.
    pub grid_lines: bool,
    /// Quantiles, within 0 and 1, of the visible cells; a contour line is drawn at each that is at least a tenth of the largest value.
    /// Figures say so below their title.
    pub contours: Vec<f64>,
    /// Where the letters R and L stand.
    pub orientation: Orientation,
}

impl Default for OverlayOptions {
    /// Inferno, bilinear, opacity by value up to 0.75, own scale; no lines, no letters.
    fn default() -> Self {
        Self {
            colormap: Colormap::default(),
            interpolation: Interpolation::default(),
            opacity: Opacity::ByValue(0.75),
            scale: Scale::default(),
            grid_lines: false,
            contours: Vec::new(),
            orientation: Orientation::default(),
        }
    }
}

setters!(OverlayOptions {
    with_colormap = colormap: Colormap,
    with_interpolation = interpolation: Interpolation,
    with_opacity = opacity: Opacity,
    with_scale = scale: Scale,
    with_grid_lines = grid_lines: bool,
    with_contours = contours: Vec<f64>,
    with_orientation = orientation: Orientation,
});

impl OverlayOptions {
    /// The map as the model has it: cells with their edges.
    pub fn cells() -> Self {
        Self { interpolation: Interpolation::Cells, grid_lines: true, ..Self::default() }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let value = self.opacity.largest();
        if !(0.0..=1.0).contains(&value) {
            return Err(Error::BadOpacity { value });
        }
        if let Some(&value) = self.contours.iter().find(|q| !(0.0..=1.0).contains(*q)) {
            return Err(Error::BadQuantile { value });
        }
        match self.scale {
            Scale::Shared { max } if !(max.is_finite() && max >= 0.0) => {
                Err(Error::BadScale { max })
            }
            _ => Ok(()),
        }
    }
}
