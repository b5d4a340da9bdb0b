//! From cells to pixels.
//!
//! One convention: values live at centres. The centre of pixel x is at x + ½; a grid of n cells over [start, end) has the
//! centre of cell i at start + (i + ½)·(end − start)/n. With u(x) = (x + ½ − start)·n/(end − start), the position of a pixel
//! centre in cells, `Cells` takes cell ⌊u⌋; `Bilinear` and `Bicubic` blend the two or four cells around u − ½, as
//! `align_corners=False` does in `PyTorch`. Both axes are independent, so they are worked out once per column and once per row.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use ndarray::ArrayView2;

use crate::map::visible_cells;
use crate::{Error, GridMap};

/// How the value of a pixel follows from the cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interpolation {
    /// Each pixel takes the cell whose rectangle holds its centre: the resolution the model has, unembellished.
    Cells,
    /// Linear between the centres of the cells, constant outside the outermost centres. Cells wholly within the padding take
    /// no part.
    #[default]
    Bilinear,
    /// Cubic convolution (Keys 1981, a = −½, also named Catmull-Rom), the outermost cells repeated. Where it would swing past
    /// the smallest or largest visible cell it is cut there: no colour stands for a value that no cell has.
    Bicubic,
}

impl Interpolation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cells, Self::Bilinear, Self::Bicubic];

    /// The name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cells => "cells",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        }
    }
}

impl FromStr for Interpolation {
    type Err = Error;

    /// Reads `cells`, `bilinear` or `bicubic`.
    fn from_str(name: &str) -> Result<Self, Error> {
        crate::error::by_name("interpolation", name, &Self::ALL, Self::name)
    }
}

impl fmt::Display for Interpolation {
    /// As [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Four neighbouring cells of one axis; weights of all but the second, which takes the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    cells: [u32; 4],
    weights: [f32; 3],
}

impl Tap {
    /// The blend. Exactly the common value where all cells are equal, so a constant map stays constant.
    fn blend(self, value: impl Fn(usize) -> f32) -> f32 {
        let [before, base, next, after] = self.cells.map(|cell| value(cell as usize));
        let [b, n, a] = self.weights;
        base + (b * (before - base) + n * (next - base) + a * (after - base))
    }
}

/// The pixels of one axis whose centres a placement holds, and their cells.
#[derive(Debug)]
struct Axis {
    first: usize,
    taps: Vec<Tap>,
}

impl Axis {
    fn new(span: (f64, f64), cells: usize, pixels: u32, interpolation: Interpolation) -> Self {
        let (start, end) = span;
        // Pixel x is held when start ≤ x + ½ < end.
        let bound = |edge: f64| (edge - 0.5).ceil().clamp(0.0, f64::from(pixels)) as usize;
        let first = bound(start);
        let position = |x: usize| (x as f64 + 0.5 - start) * cells as f64 / (end - start);
        let visible = visible_cells(span, cells, pixels);
        let taps = (first..bound(end)).map(|x| interpolation.tap(position(x), &visible)).collect();
        Self { first, taps }
    }

    fn tap(&self, pixel: usize) -> Option<Tap> {
        self.taps.get(pixel.checked_sub(self.first)?).copied()
    }
}

impl Interpolation {
    /// The cells of a pixel centre at `u`, in cells from the start of the grid.
    fn tap(self, u: f64, visible: &Range<usize>) -> Tap {
        let (first, last) = (visible.start, visible.end - 1);
        if self == Self::Cells {
            let cell = (u as usize).clamp(first, last) as u32;
            return Tap { cells: [cell; 4], weights: [0.0; 3] };
        }
        let u = (u - 0.5).clamp(first as f64, last as f64);
        let base = u as usize;
        let (next, t) = ((base + 1).min(last), u - base as f64);
        if self == Self::Bilinear {
            let cells = [base, base, next, next].map(|cell| cell as u32);
            return Tap { cells, weights: [0.0, t as f32, 0.0] };
        }
        let cells = [base.saturating_sub(1).max(first), base, next, (base + 2).min(last)];
        let (t2, t3) = (t * t, t * t * t);
        let weights = [-0.5 * t + t2 - 0.5 * t3, 0.5 * t + 2.0 * t2 - 1.5 * t3, 0.5 * (t3 - t2)];
        Tap { cells: cells.map(|cell| cell as u32), weights: weights.map(|w| w as f32) }
    }
}

/// A map made ready to be read pixel row by pixel row.
#[derive(Debug)]
pub(crate) struct Sampler<'a> {
    grid: ArrayView2<'a, f32>,
    columns: Axis,
    rows: Axis,
    /// The smallest and largest visible cell.
    bounds: (f32, f32),
}

impl<'a> Sampler<'a> {
    /// `map` was checked: it has cells, and its placement is a rectangle.
    pub(crate) fn new(
        map: &GridMap<'a>,
        (width, height): (u32, u32),
        interpolation: Interpolation,
    ) -> Self {
        let GridMap { grid, placement: p } = *map;
        let (rows, columns) = grid.dim();
        Self {
            grid,
            columns: Axis::new((p.x0, p.x1), columns, width, interpolation),
            rows: Axis::new((p.y0, p.y1), rows, height, interpolation),
            bounds: map.bounds(width, height),
        }
    }

    /// Sets each value of the pixel row `y` to the map's, where the map covers it and what stands there is [`UNCOVERED`] or
    /// smaller in magnitude.
    ///
    /// # Shapes
    /// `row`: one value per pixel of the picture's width.
    pub(crate) fn raise(&self, y: usize, row: &mut [f32]) {
        let Some(tap) = self.rows.tap(y) else { return };
        let columns = self.grid.ncols();
        let line: Vec<f32> = // [columns]
            (0..columns).map(|column| tap.blend(|row| self.grid[[row, column]])).collect();
        let (low, high) = self.bounds;
        for (value, tap) in row[self.columns.first..].iter_mut().zip(&self.columns.taps) {
            let new = tap.blend(|column| line[column]).max(low).min(high);
            if value.is_nan() || value.abs() < new.abs() {
                *value = new;
            }
        }
    }
}

/// The value of a pixel that no map covers.
pub(crate) const UNCOVERED: f32 = f32::NAN;

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::Placement;

    /// The whole field; −1 where the map does not reach.
    fn field(
        grid: &Array2<f32>,
        sides: [f64; 4],
        size: (u32, u32),
        how: Interpolation,
    ) -> Array2<f32> {
        let [x0, y0, x1, y1] = sides;
        let map = GridMap { grid: grid.view(), placement: Placement { x0, y0, x1, y1 } };
        let sampler = Sampler::new(&map, size, how);
        let mut field = Array2::from_elem((size.1 as usize, size.0 as usize), UNCOVERED);
        for (y, mut row) in field.rows_mut().into_iter().enumerate() {
            sampler.raise(y, row.as_slice_mut().unwrap());
        }
        field.mapv(|v| if v.is_nan() { -1.0 } else { v })
    }

    /// `torch.nn.functional.interpolate([[[[0, 1], [2, 3]]]], size=(4, 4), mode="bilinear", align_corners=False)`
    #[test]
    fn bilinear_equals_half_pixel_centres() {
        let grid = array![[0.0, 1.0], [2.0, 3.0]];
        let expected = array![
            [0.0, 0.25, 0.75, 1.0],
            [0.5, 0.75, 1.25, 1.5],
            [1.5, 1.75, 2.25, 2.5],
            [2.0, 2.25, 2.75, 3.0]
        ];
        assert_eq!(field(&grid, [0.0, 0.0, 4.0, 4.0], (4, 4), Interpolation::Bilinear), expected);
    }

    #[test]
    fn bilinear_in_a_padded_placement() {
        // Two cells, each two pixels high; the upper pixel row of the first lies above the picture.
        let grid = array![[0.0], [4.0]];
        let field = field(&grid, [0.0, -1.0, 1.0, 3.0], (1, 3), Interpolation::Bilinear);
        assert_eq!(field, array![[1.0], [3.0], [4.0]]);
    }

    #[test]
    fn cells_take_the_rectangle_that_holds_the_centre() {
        let grid = array![[1.0, 2.0, 3.0]];
        // Edges at 0, 5/3 and 10/3: centres ½ and 1½ | 2½ | 3½ and 4½.
        let field = field(&grid, [0.0, 0.0, 5.0, 1.0], (5, 1), Interpolation::Cells);
        assert_eq!(field, array![[1.0, 1.0, 2.0, 3.0, 3.0]]);
    }

    #[test]
    fn edges_belong_to_the_cell_they_begin() {
        let grid = array![[1.0, 2.0]];
        let field = field(&grid, [0.5, 0.0, 2.5, 1.0], (4, 1), Interpolation::Cells);
        assert_eq!(field, array![[1.0, 2.0, -1.0, -1.0]]);
    }

    #[test]
    fn cells_in_the_padding_do_not_bleed_in() {
        let grid = array![[100.0], [1.0], [1.0], [100.0]];
        let field = field(&grid, [0.0, -8.0, 1.0, 24.0], (1, 16), Interpolation::Bilinear);
        assert!(field.iter().all(|v| v.to_bits() == 1f32.to_bits()));
    }

    #[test]
    fn a_grid_finer_than_the_picture_is_sampled_at_pixel_centres() {
        let grid = Array2::from_shape_fn((1, 8), |(_, c)| c as f32);
        let cells = field(&grid, [0.0, 0.0, 2.0, 1.0], (2, 1), Interpolation::Cells);
        assert_eq!(cells, array![[2.0, 6.0]]);
        let bilinear = field(&grid, [0.0, 0.0, 2.0, 1.0], (2, 1), Interpolation::Bilinear);
        assert_eq!(bilinear, array![[1.5, 5.5]]);
    }

    #[test]
    fn constant_stays_constant_and_extremes_stay_finite() {
        let grid = array![[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]];
        let constant = field(&grid, [-3.3, 0.2, 40.7, 31.1], (37, 29), Interpolation::Bilinear);
        assert!(constant.iter().all(|v| v.to_bits() == 0.1f32.to_bits()));
        let grid = array![[f32::MAX, 0.0], [0.0, f32::MAX]];
        let extreme = field(&grid, [0.0, 0.0, 9.0, 9.0], (9, 9), Interpolation::Bilinear);
        assert!(extreme.iter().all(|v| v.is_finite()));
    }
}
