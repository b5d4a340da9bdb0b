//! A grid of values and where it lies over the picture.

use std::ops::Range;

use image::RgbImage;
use ndarray::{ArrayView2, s};

use crate::Error;

/// The rectangle, in pixels of the original picture, that a whole grid covers.
///
/// Pixel (x, y) is the unit square from (x, y) to (x + 1, y + 1); (0, 0) is the upper left corner of the picture. The
/// rectangle may reach past the picture: a picture padded to a square before it was resized has such a placement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Left edge.
    pub x0: f64,
    /// Upper edge.
    pub y0: f64,
    /// Right edge.
    pub x1: f64,
    /// Lower edge.
    pub y1: f64,
}

impl Placement {
    /// The placement of a grid that covers the picture exactly, as when the picture was resized without padding.
    pub fn whole(picture: &RgbImage) -> Self {
        Self { x0: 0.0, y0: 0.0, x1: f64::from(picture.width()), y1: f64::from(picture.height()) }
    }

    /// The same placement after the picture was enlarged `factor` times.
    pub(crate) fn enlarged(self, factor: u32) -> Self {
        let f = f64::from(factor);
        Self { x0: self.x0 * f, y0: self.y0 * f, x1: self.x1 * f, y1: self.y1 * f }
    }

    pub(crate) fn is_rectangle(&self) -> bool {
        let sizes = [self.x1 - self.x0, self.y1 - self.y0];
        sizes.iter().all(|s| s.is_finite() && *s > 0.0)
    }

    pub(crate) fn touches(&self, width: u32, height: u32) -> bool {
        self.x0 < f64::from(width) && self.y0 < f64::from(height) && self.x1 > 0.0 && self.y1 > 0.0
    }
}

/// A map: values per cell and the rectangle they cover.
#[derive(Clone, Copy, Debug)]
pub struct GridMap<'a> {
    /// `[rows, columns]`, row 0 at the top and column 0 at the left; finite and not negative.
    pub grid: ArrayView2<'a, f32>,
    /// Where the whole grid lies.
    pub placement: Placement,
}

impl GridMap<'_> {
    /// The largest value among the cells that reach into a picture of this size.
    pub(crate) fn largest_visible(&self, width: u32, height: u32) -> f32 {
        let (rows, columns) = self.grid.dim();
        let p = self.placement;
        let rows = visible_cells((p.y0, p.y1), rows, height);
        let columns = visible_cells((p.x0, p.x1), columns, width);
        self.grid.slice(s![rows, columns]).iter().fold(0.0, |largest: f32, &v| v.max(largest))
    }
}

/// The cells of one axis that reach into the picture; never none.
///
/// The others lie wholly within the padding. They are neither drawn nor blended into their neighbours, and do not set the
/// scale: a model often leaves much of its attention there, and a scale that ends at a value nobody can see would only dim
/// the rest.
pub(crate) fn visible_cells((start, end): (f64, f64), cells: usize, pixels: u32) -> Range<usize> {
    let edge = |i: usize| start + (end - start) * i as f64 / cells as f64;
    let before = (0..cells).take_while(|&i| edge(i + 1) <= 0.0).count();
    let after = (0..cells).rev().take_while(|&i| edge(i) >= f64::from(pixels)).count();
    // Rounding could leave none where a placement barely touches.
    let first = before.min(cells - 1);
    first..(cells - after).max(first + 1)
}

/// Checks everything that drawing relies on.
pub(crate) fn check(picture: &RgbImage, maps: &[GridMap<'_>]) -> Result<(), Error> {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::EmptyPicture { width, height });
    }
    if maps.is_empty() {
        return Err(Error::NoMaps);
    }
    maps.iter().enumerate().try_for_each(|(index, map)| {
        check_values(index, map)?;
        check_placement(index, map.placement, (width, height))
    })
}

fn check_values(map: usize, &GridMap { grid, .. }: &GridMap<'_>) -> Result<(), Error> {
    let (rows, columns) = grid.dim();
    if grid.is_empty() {
        return Err(Error::EmptyGrid { map, rows, columns });
    }
    for ((row, column), &value) in grid.indexed_iter() {
        if !value.is_finite() {
            return Err(Error::NotFinite { map, row, column, value });
        }
        if value < 0.0 {
            return Err(Error::Negative { map, row, column, value });
        }
    }
    Ok(())
}

fn check_placement(
    map: usize,
    placement: Placement,
    (width, height): (u32, u32),
) -> Result<(), Error> {
    if !placement.is_rectangle() {
        return Err(Error::BadPlacement { map, placement });
    }
    if !placement.touches(width, height) {
        return Err(Error::PlacementOutside { map, placement, width, height });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn refused(picture: (u32, u32), grid: &Array2<f32>, sides: [f64; 4]) -> Error {
        let [x0, y0, x1, y1] = sides;
        let placement = Placement { x0, y0, x1, y1 };
        let map = GridMap { grid: grid.view(), placement };
        check(&RgbImage::new(picture.0, picture.1), &[map]).unwrap_err()
    }

    #[test]
    fn bad_input_is_named() {
        let good = array![[0.0, 1.0]];
        let sides = [0.0, 0.0, 4.0, 4.0];
        assert!(matches!(refused((0, 4), &good, sides), Error::EmptyPicture { .. }));
        assert!(matches!(
            refused((4, 4), &Array2::zeros((0, 3)), sides),
            Error::EmptyGrid { map: 0, rows: 0, columns: 3 }
        ));
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(matches!(
                refused((4, 4), &array![[0.0, value]], sides),
                Error::NotFinite { row: 0, column: 1, .. }
            ));
        }
        assert!(matches!(
            refused((4, 4), &array![[0.0], [-0.1]], sides),
            Error::Negative { row: 1, column: 0, .. }
        ));
        assert!(matches!(check(&RgbImage::new(4, 4), &[]), Err(Error::NoMaps)));
    }

    #[test]
    fn placements_without_area_or_beside_the_picture_are_refused() {
        let grid = array![[1.0]];
        for sides in [
            [0.0, 0.0, 0.0, 4.0],
            [0.0, 4.0, 4.0, 0.0],
            [0.0, f64::NAN, 4.0, 4.0],
            [f64::NEG_INFINITY, 0.0, 4.0, 4.0],
            [-f64::MAX, 0.0, f64::MAX, 4.0],
        ] {
            assert!(matches!(refused((4, 4), &grid, sides), Error::BadPlacement { .. }));
        }
        assert!(matches!(
            refused((4, 4), &grid, [4.0, 0.0, 8.0, 4.0]),
            Error::PlacementOutside { .. }
        ));
    }

    #[test]
    fn cells_in_the_padding_do_not_set_the_scale() {
        let grid = array![[9.0, 9.0], [1.0, 2.0], [3.0, 4.0], [8.0, 8.0]];
        let placement = Placement { x0: 0.0, y0: -5.0, x1: 20.0, y1: 15.0 };
        let map = GridMap { grid: grid.view(), placement };
        assert!((map.largest_visible(20, 10) - 4.0).abs() < 1e-6);
        assert!((map.largest_visible(20, 11) - 8.0).abs() < 1e-6);
    }
}
