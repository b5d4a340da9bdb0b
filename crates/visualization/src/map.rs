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

    /// The same placement after the picture was resized by these factors, along x and along y.
    pub(crate) fn scaled(self, [fx, fy]: [f64; 2]) -> Self {
        Self { x0: self.x0 * fx, y0: self.y0 * fy, x1: self.x1 * fx, y1: self.y1 * fy }
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
    /// `[rows, columns]`, row 0 at the top and column 0 at the left; finite, and not negative unless the colour map is
    /// diverging.
    pub grid: ArrayView2<'a, f32>,
    /// Where the whole grid lies.
    pub placement: Placement,
}

impl<'a> GridMap<'a> {
    /// A grid that covers the whole picture, as when the picture was resized without padding.
    pub fn whole(grid: ArrayView2<'a, f32>, picture: &RgbImage) -> Self {
        Self { grid, placement: Placement::whole(picture) }
    }

    /// The same map for a shorter time: views of arrays do not shorten by themselves.
    pub(crate) fn reborrow(&self) -> GridMap<'_> {
        GridMap { grid: self.grid.reborrow(), placement: self.placement }
    }

    /// The cells that reach into a picture of this size.
    pub(crate) fn visible(&self, width: u32, height: u32) -> ArrayView2<'a, f32> {
        let (rows, columns) = self.grid.dim();
        let p = self.placement;
        let rows = visible_cells((p.y0, p.y1), rows, height);
        let columns = visible_cells((p.x0, p.x1), columns, width);
        self.grid.slice_move(s![rows, columns])
    }

    /// The smallest and the largest of the [visible](Self::visible) cells.
    pub(crate) fn bounds(&self, width: u32, height: u32) -> (f32, f32) {
        let start = (f32::INFINITY, f32::NEG_INFINITY);
        self.visible(width, height).iter().fold(start, |(l, h), &v| (v.min(l), v.max(h)))
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

/// Checks everything that drawing relies on. `signed`: negative values are allowed.
pub(crate) fn check(picture: &RgbImage, maps: &[GridMap<'_>], signed: bool) -> Result<(), Error> {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::EmptyPicture { width, height });
    }
    if maps.is_empty() {
        return Err(Error::NoMaps);
    }
    maps.iter()
        .enumerate()
        .try_for_each(|(index, map)| check_map(index, map, (width, height), signed))
}

/// Checks one map, number `index`, over a picture of this size.
pub(crate) fn check_map(
    index: usize,
    map: &GridMap<'_>,
    size: (u32, u32),
    signed: bool,
) -> Result<(), Error> {
    check_values(index, map, signed)?;
    check_placement(index, map.placement, size)
}

fn check_values(
    map: usize,
    &GridMap { grid, .. }: &GridMap<'_>,
    signed: bool,
) -> Result<(), Error> {
    let (rows, columns) = grid.dim();
    if grid.is_empty() {
        return Err(Error::EmptyGrid { map, rows, columns });
    }
    for ((row, column), &value) in grid.indexed_iter() {
        if !value.is_finite() {
            return Err(Error::NotFinite { map, row, column, value });
        }
        if value < 0.0 && !signed {
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
        check(&RgbImage::new(picture.0, picture.1), &[map], false).unwrap_err()
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
        let signed = array![[0.0], [-0.1]];
        let picture = RgbImage::new(4, 4);
        assert!(matches!(
            refused((4, 4), &signed, sides),
            Error::Negative { row: 1, column: 0, .. }
        ));
        assert!(check(&picture, &[GridMap::whole(signed.view(), &picture)], true).is_ok());
        assert!(matches!(check(&RgbImage::new(4, 4), &[], false), Err(Error::NoMaps)));
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
        assert_eq!(map.bounds(20, 10), (1.0, 4.0));
        assert_eq!(map.bounds(20, 11), (1.0, 8.0));
    }
}
