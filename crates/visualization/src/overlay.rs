//! The heat over the picture, in the picture's own geometry.

use image::RgbImage;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::map::check;
use crate::upsample::{Sampler, UNCOVERED};
use crate::{Error, GridMap, OverlayOptions, Panel, Scale};

/// Draws maps over a picture, in the picture's own size: [`Panel::draw`] without outlines.
///
/// Several maps may cover one picture (pan-and-scan crops); where they overlap, a pixel shows the value of the largest
/// magnitude, so that a colour always stands for the value of one cell. Where no map lies, and where the scale ends at zero,
/// the picture stays as it is. Orientation is kept: row 0 of a grid is the top, column 0 the left of the picture.
///
/// # Errors
/// A picture or grid without size, a value that is not finite, a negative value unless the colour map is diverging, a
/// placement that is not a rectangle or lies beside the picture, an opacity, quantile or scale out of range.
pub fn overlay(
    picture: &RgbImage,
    maps: &[GridMap<'_>],
    options: &OverlayOptions,
) -> Result<RgbImage, Error> {
    Panel::new(picture, maps).draw(options)
}

/// Where the scale ends, and whether a visible value lies beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) max: f32,
    pub(crate) exceeded: bool,
}

impl Range {
    /// Checks the whole input; what it accepts, [`heat`] can draw.
    pub(crate) fn new(
        picture: &RgbImage,
        maps: &[GridMap<'_>],
        options: &OverlayOptions,
    ) -> Result<Self, Error> {
        check(picture, maps, options.colormap.is_diverging())?;
        options.check()?;
        let largest = largest(picture, maps);
        Ok(match options.scale {
            Scale::Own => Self { max: largest, exceeded: false },
            Scale::Shared { max } => Self { max, exceeded: largest > max },
        })
    }
}

impl Scale {
    /// One scale for all panels, from zero to the largest magnitude among their visible cells; panels without maps are left out.
    ///
    /// # Errors
    /// As [`overlay`], for the first panel that cannot be drawn.
    pub fn common(panels: &[Panel<'_>]) -> Result<Self, Error> {
        let mut max = 0.0_f32;
        for panel in panels.iter().filter(|panel| !panel.maps.is_empty()) {
            check(panel.picture, &panel.maps, true)?;
            max = max.max(largest(panel.picture, &panel.maps));
        }
        Ok(Self::Shared { max })
    }
}

/// The largest magnitude among the visible cells.
fn largest(picture: &RgbImage, maps: &[GridMap<'_>]) -> f32 {
    let (width, height) = picture.dimensions();
    let magnitude = |map: &GridMap<'_>| {
        let (low, high) = map.bounds(width, height);
        high.max(-low).max(0.0)
    };
    maps.iter().map(magnitude).fold(0.0, f32::max)
}

/// Colours checked maps into a picture, on a scale that ends at `max`.
pub(crate) fn heat(
    mut picture: RgbImage,
    maps: &[GridMap<'_>],
    options: &OverlayOptions,
    max: f32,
) -> RgbImage {
    let (width, height) = picture.dimensions();
    let samplers: Vec<_> =
        maps.iter().map(|m| Sampler::new(m, (width, height), options.interpolation)).collect();
    let ink = Ink::new(options, max);
    let row_bytes = width as usize * 3;
    picture.par_chunks_mut(row_bytes).zip(0..height as usize).for_each_init(
        || vec![UNCOVERED; width as usize],
        |heat, (pixels, y)| {
            heat.fill(UNCOVERED);
            for sampler in &samplers {
                sampler.raise(y, heat);
            }
            ink.stain(pixels, heat);
        },
    );
    picture
}

/// What each of the 256 levels does to a pixel: `keep`·pixel + `add`.
struct Ink {
    levels: Vec<Level>,
    /// A value v has the level v·`per_value` + `zero`, rounded.
    per_value: f64,
    zero: f64,
}

#[derive(Clone, Copy)]
struct Level {
    keep: f32,
    add: [f32; 3],
}

impl Ink {
    fn new(options: &OverlayOptions, max: f32) -> Self {
        // Half the levels lie below zero on a diverging scale.
        let zero = if options.colormap.is_diverging() { 127.5 } else { 0.0 };
        let above = 255.0 - zero;
        let level = |(index, colour): (usize, &[u8; 3])| {
            let position = (index as f64 - zero) / above;
            let alpha = options.opacity.at(position.abs() as f32);
            Level { keep: 1.0 - alpha, add: colour.map(|c| f32::from(c) * alpha) }
        };
        let levels = options.colormap.table().iter().enumerate().map(level).collect();
        Self { levels, per_value: above / f64::from(max), zero }
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
        let index = f64::from(value) * self.per_value + self.zero + 0.5; // 0·∞ is NaN
        (!index.is_nan()).then(|| self.levels[(index as usize).min(255)])
    }
}
