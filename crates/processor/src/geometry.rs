//! Where a cell of the model's grid lies in the picture.

/// A rectangle in pixels of the original picture, after EXIF orientation; `x` runs right, `y` down, pixel `n`
/// covers `n..n + 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Extent to the right.
    pub width: f64,
    /// Extent downwards.
    pub height: f64,
}

impl Rect {
    /// The part inside `0..width`, `0..height`; without extent where nothing is inside.
    #[must_use]
    pub fn clipped(self, width: u32, height: u32) -> Self {
        let clip = |start: f64, extent: f64, side: u32| {
            let side = f64::from(side);
            let low = start.clamp(0.0, side);
            (low, (start + extent).clamp(0.0, side) - low)
        };
        let (x, width) = clip(self.x, self.width, width);
        let (y, height) = clip(self.y, self.height, height);
        Self { x, y, width, height }
    }
}

/// The affine map from model cell to picture.
///
/// Padding, cropping and resizing keep the axes, so the map is a scale and a shift: the model's whole input shows
/// `region` of the picture, and a cell is its share of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Columns and rows of the picture.
    pub picture: [u32; 2],
    /// The part of the picture that the model's input shows; reaches outside where the picture was padded.
    pub region: Rect,
    /// Rows and columns of cells.
    pub grid: [usize; 2],
}

impl Geometry {
    /// The rectangle of the cell in `row` and `column`; outside the picture where it was padded.
    pub fn cell(&self, row: usize, column: usize) -> Rect {
        let height = self.region.height / self.grid[0] as f64;
        let width = self.region.width / self.grid[1] as f64;
        Rect {
            x: self.region.x + column as f64 * width,
            y: self.region.y + row as f64 * height,
            width,
            height,
        }
    }

    /// Row and column of the cell that shows the point, or `None` outside the region.
    pub fn cell_at(&self, x: f64, y: f64) -> Option<[usize; 2]> {
        let at = |point: f64, start: f64, extent: f64, n: usize| {
            let cell = ((point - start) / extent * n as f64).floor();
            (cell >= 0.0 && cell < n as f64).then_some(cell as usize)
        };
        let row = at(y, self.region.y, self.region.height, self.grid[0])?;
        let column = at(x, self.region.x, self.region.width, self.grid[1])?;
        Some([row, column])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_tile_the_region_and_may_lie_outside() {
        let region = Rect { x: -10.0, y: 0.0, width: 40.0, height: 40.0 };
        let map = Geometry { picture: [20, 40], region, grid: [4, 4] };
        assert_eq!(map.cell(0, 0), Rect { x: -10.0, y: 0.0, width: 10.0, height: 10.0 });
        assert_eq!(
            map.cell(0, 0).clipped(20, 40),
            Rect { x: 0.0, y: 0.0, width: 0.0, height: 10.0 }
        );
        assert_eq!(map.cell(3, 2), Rect { x: 10.0, y: 30.0, width: 10.0, height: 10.0 });
        assert_eq!(map.cell_at(-10.5, 1.0), None);
        assert_eq!(map.cell_at(30.0, 1.0), None);
    }

    proptest! {
        #[test]
        fn the_middle_of_a_cell_is_in_it(
            x in -50.0..50.0_f64, width in 1.0..900.0_f64, n in 1_usize..20, row in 0_usize..20, column in 0_usize..20
        ) {
            let region = Rect { x, y: -x, width, height: 2.0 * width };
            let map = Geometry { picture: [1, 1], region, grid: [n, n] };
            let (row, column) = (row % n, column % n);
            let cell = map.cell(row, column);
            let middle = map.cell_at(cell.x + cell.width / 2.0, cell.y + cell.height / 2.0);
            prop_assert_eq!(middle, Some([row, column]));
        }
    }
}
