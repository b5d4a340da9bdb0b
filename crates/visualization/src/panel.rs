//! One picture with what lies over it: the unit that every figure is made of.

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::overlay::{Range, heat};
use crate::{Error, GridMap, OverlayOptions};

/// Colours of outlines, in turn: bright, apart from each other, and rare in colour maps.
pub(crate) const OUTLINES: [&str; 6] =
    ["#35e0ff", "#a4ff5c", "#ff7ad9", "#ffe45c", "#ffffff", "#8fa8ff"];

/// The edge of a mask, a box or another shape, drawn as a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// Closed lines, each a list of `[x, y]` in pixels of the picture; the last point is joined to the first.
    pub rings: Vec<Vec<[f64; 2]>>,
    /// What stands beside it. Empty: nothing.
    pub label: String,
}

impl Outline {
    /// The edge of the rectangle from (x0, y0) to (x1, y1).
    pub fn rectangle([x0, y0, x1, y1]: [f64; 4], label: impl Into<String>) -> Self {
        Self { rings: vec![vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1]]], label: label.into() }
    }
}

/// A picture, the maps and outlines over it, and the words beside it.
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    /// The picture.
    pub picture: &'a RgbImage,
    /// The maps over it. A figure may also hold a panel without any: the picture alone.
    pub maps: Vec<GridMap<'a>>,
    /// What is drawn in outline.
    pub outlines: &'a [Outline],
    /// The line above the panel in a figure. Empty: none.
    pub label: String,
    /// A second, smaller line. Empty: none.
    pub detail: String,
}

impl<'a> Panel<'a> {
    /// A panel without words and outlines.
    pub fn new(picture: &'a RgbImage, maps: &'a [GridMap<'_>]) -> Self {
        let maps = maps.iter().map(GridMap::reborrow).collect();
        Self { picture, maps, outlines: &[], label: String::new(), detail: String::new() }
    }

    /// The panel with a label and a detail; either may be empty.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { label: label.into(), detail: detail.into(), ..self }
    }

    /// The panel with outlines.
    #[must_use]
    pub fn outlined(self, outlines: &'a [Outline]) -> Self {
        Self { outlines, ..self }
    }

    /// The maps over the picture after it was resized.
    pub(crate) fn scaled_maps(&self, (width, height): (u32, u32)) -> Vec<GridMap<'a>> {
        let (old_width, old_height) = self.picture.dimensions();
        let factors =
            [f64::from(width) / f64::from(old_width), f64::from(height) / f64::from(old_height)];
        let scaled =
            |map: &GridMap<'a>| GridMap { placement: map.placement.scaled(factors), ..*map };
        self.maps.iter().map(scaled).collect()
    }

    /// The picture with its heat, resized; input and `max` were checked.
    pub(crate) fn heated(&self, size: (u32, u32), options: &OverlayOptions, max: f32) -> RgbImage {
        heat(resized(self.picture, size), &self.scaled_maps(size), options, max)
    }

    /// Draws heat, lines, outlines and letters over the picture, in its own size. Words other than those of outlines stay out.
    ///
    /// # Errors
    /// As [`overlay`](crate::overlay()). Without the feature `svg`, which draws lines and letters, `Error::NoMarks` where the options
    /// or the panel ask for any.
    pub fn draw(&self, options: &OverlayOptions) -> Result<RgbImage, Error> {
        let range = Range::new(self.picture, &self.maps, options)?;
        let drawn = heat(self.picture.clone(), &self.maps, options, range.max);
        self.marked(drawn, options)
    }

    #[cfg(feature = "svg")]
    fn marked(&self, mut drawn: RgbImage, options: &OverlayOptions) -> Result<RgbImage, Error> {
        use crate::scene::{Area, Scene};
        let (width, height) = drawn.dimensions();
        let mut scene = Scene::new(width, height)?;
        crate::marks::draw(&mut scene, Area { x: 0, y: 0, width, height }, self, options);
        scene.ink_on(&mut drawn)?;
        Ok(drawn)
    }

    #[cfg(not(feature = "svg"))]
    fn marked(&self, drawn: RgbImage, options: &OverlayOptions) -> Result<RgbImage, Error> {
        let lettered = options.orientation != crate::Orientation::None;
        let lines = options.grid_lines || !options.contours.is_empty();
        if lettered || lines || !self.outlines.is_empty() {
            return Err(Error::NoMarks);
        }
        Ok(drawn)
    }
}

/// The picture in another size: a mean over pixels where it shrinks much, cubic otherwise.
fn resized(picture: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    if (width, height) == picture.dimensions() {
        picture.clone()
    } else if 2 * u64::from(width) <= picture.width().into() {
        imageops::thumbnail(picture, width, height)
    } else {
        imageops::resize(picture, width, height, FilterType::CatmullRom)
    }
}

#[cfg(all(test, not(feature = "svg")))]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::Orientation;

    #[test]
    fn heat_is_drawn_without_figures_and_marks_are_refused() {
        let picture = RgbImage::from_pixel(40, 40, [90; 3].into());
        let grid = array![[0.0, 1.0]];
        let maps = [GridMap::whole(grid.view(), &picture)];
        let panel = Panel::new(&picture, &maps);
        let drawn = panel.draw(&OverlayOptions::default()).unwrap();
        assert_eq!(drawn.get_pixel(0, 20), picture.get_pixel(0, 20));
        assert_ne!(drawn.get_pixel(39, 20), picture.get_pixel(39, 20));
        let plain = OverlayOptions::default;
        for options in [
            OverlayOptions { grid_lines: true, ..plain() },
            OverlayOptions { contours: vec![0.9], ..plain() },
            OverlayOptions { orientation: Orientation::Pa, ..plain() },
        ] {
            assert!(matches!(panel.draw(&options), Err(Error::NoMarks)), "{options:?}");
        }
        let outlines = [Outline::rectangle([1.0, 1.0, 9.0, 9.0], "")];
        let outlined = panel.outlined(&outlines);
        assert!(matches!(outlined.draw(&plain()), Err(Error::NoMarks)));
    }
}
