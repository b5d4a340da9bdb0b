//! The heat over the picture, in the picture's own geometry.

use image::RgbImage;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::map::check;
use crate::upsample::Sampler;
use crate::{Colormap, Error, GridMap, Interpolation};

/// How much of the picture the colours hide; every number is within 0 (nothing) and 1 (all).
#[derive(Clone, Copy, Debug, PartialEq)]
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

    fn at(self, position: f32) -> f32 {
        match self {
            Self::Constant(value) => value,
            Self::ByValue(value) => value * position * (2.0 - position),
        }
    }
}

/// Which value has the last colour. Zero always has the first, and values are never changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    /// The largest value among the cells that reach into the picture.
    #[default]
    Own,
    /// A stated value, so that several pictures can be compared. Larger values take the last colour, and a figure says so.
    Shared {
        /// Where the scale ends; finite and not negative.
        max: f32,
    },
}

/// How heat is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlayOptions {
    /// The colours.
    pub colormap: Colormap,
    /// How cells become pixels.
    pub interpolation: Interpolation,
    /// How much of the picture the colours hide.
    pub opacity: Opacity,
    /// Which value has the last colour.
    pub scale: Scale,
}

impl Default for OverlayOptions {
    /// Inferno, bilinear, opacity by value up to 0.75, own scale.
    fn default() -> Self {
        Self {
            colormap: Colormap::default(),
            interpolation: Interpolation::default(),
            opacity: Opacity::ByValue(0.75),
            scale: Scale::default(),
        }
    }
}

impl OverlayOptions {
    fn check(&self) -> Result<(), Error> {
        let value = self.opacity.largest();
        if !(0.0..=1.0).contains(&value) {
            return Err(Error::BadOpacity { value });
        }
        match self.scale {
            Scale::Shared { max } if !(max.is_finite() && max >= 0.0) => {
                Err(Error::BadScale { max })
            }
            _ => Ok(()),
        }
    }
}

/// Draws maps over a picture: heat only, in the picture's own size.
///
/// Several maps may cover one picture (pan-and-scan crops); where they overlap, a pixel shows the largest value, so that a
/// colour always stands for the value of one cell. Where no map lies, and where the scale ends at zero, the picture stays
/// as it is. Orientation is kept: row 0 of a grid is the top, column 0 the left of the picture.
///
/// # Errors
/// A picture or grid without size, a value that is negative or not finite, a placement that is no rectangle or lies beside
/// the picture, an opacity or scale out of range.
pub fn overlay(
    picture: &RgbImage,
    maps: &[GridMap<'_>],
    options: &OverlayOptions,
) -> Result<RgbImage, Error> {
    let range = Range::new(picture, maps, options)?;
    Ok(draw(picture, maps, options, range.max))
}

/// Where the scale ends, and whether a visible value lies beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) max: f32,
    pub(crate) exceeded: bool,
}

impl Range {
    /// Checks the whole input; what it accepts, [`draw`] can draw.
    pub(crate) fn new(
        picture: &RgbImage,
        maps: &[GridMap<'_>],
        options: &OverlayOptions,
    ) -> Result<Self, Error> {
        check(picture, maps)?;
        options.check()?;
        let (width, height) = picture.dimensions();
        let largest = maps.iter().map(|m| m.largest_visible(width, height)).fold(0.0, f32::max);
        Ok(match options.scale {
            Scale::Own => Self { max: largest, exceeded: false },
            Scale::Shared { max } => Self { max, exceeded: largest > max },
        })
    }
}

/// Draws checked maps on a scale that ends at `max`.
pub(crate) fn draw(
    picture: &RgbImage,
    maps: &[GridMap<'_>],
    options: &OverlayOptions,
    max: f32,
) -> RgbImage {
    let mut out = picture.clone();
    let (width, height) = picture.dimensions();
    let samplers: Vec<_> =
        maps.iter().map(|m| Sampler::new(m, (width, height), options.interpolation)).collect();
    let ink = Ink::new(options, max);
    let row_bytes = width as usize * 3;
    out.par_chunks_mut(row_bytes).zip(0..height as usize).for_each_init(
        || vec![0.0; width as usize],
        |heat, (pixels, y)| {
            heat.fill(UNCOVERED);
            for sampler in &samplers {
                sampler.raise(y, heat);
            }
            ink.stain(pixels, heat);
        },
    );
    out
}

/// Below every value a map may hold.
const UNCOVERED: f32 = -1.0;

/// What each of the 256 levels does to a pixel: `keep`·pixel + `add`.
struct Ink {
    levels: Vec<Level>,
    per_value: f64,
}

#[derive(Clone, Copy)]
struct Level {
    keep: f32,
    add: [f32; 3],
}

impl Ink {
    fn new(options: &OverlayOptions, max: f32) -> Self {
        let level = |(index, colour): (usize, &[u8; 3])| {
            let alpha = options.opacity.at(index as f32 / 255.0);
            Level { keep: 1.0 - alpha, add: colour.map(|c| f32::from(c) * alpha) }
        };
        let levels = options.colormap.table().iter().enumerate().map(level).collect();
        Self { levels, per_value: 255.0 / f64::from(max) }
    }

    fn stain(&self, pixels: &mut [u8], heat: &[f32]) {
        for (pixel, &value) in pixels.chunks_exact_mut(3).zip(heat) {
            if let Some(level) = self.level(value) {
                for (channel, add) in pixel.iter_mut().zip(level.add) {
                    *channel = (f32::from(*channel) * level.keep + add + 0.5) as u8;
                }
            }
        }
    }

    /// None where there is nothing to draw: no map, or a zero on a scale that ends at zero.
    fn level(&self, value: f32) -> Option<Level> {
        let index = f64::from(value) * self.per_value + 0.5; // 0·∞ is NaN
        let drawn = value >= 0.0 && !index.is_nan();
        drawn.then(|| self.levels[(index as usize).min(255)])
    }
}
