//! From cells to pixels, and which cells matter most.

use ndarray::Array2;

use super::{FrameMap, source::Source, spread::cells_along};

/// Which cell lies over each pixel of a picture.
pub(super) struct Cover<'a> {
    values: &'a Array2<f32>,
    rows: Vec<Option<usize>>,
    columns: Vec<Option<usize>>,
}

impl<'a> Cover<'a> {
    pub(super) fn new(map: &'a FrameMap, source: &Source) -> Self {
        let (rows, columns) = map.values.dim();
        let area = map.area;
        Self {
            values: &map.values,
            rows: cells_along(source.rows, area.top, area.bottom, rows),
            columns: cells_along(source.columns, area.left, area.right, columns),
        }
    }

    /// Values of all pixels, row by row; none where there is no map.
    pub(super) fn pixels(&self) -> impl Iterator<Item = Option<f32>> + '_ {
        self.rows.iter().flat_map(move |row| {
            self.columns.iter().map(move |column| Some(self.values[[(*row)?, (*column)?]]))
        })
    }

    /// Whether any pixel lies under a cell that is above the threshold.
    pub(super) fn reaches_above(&self, threshold: f32) -> bool {
        let used = |cells: &[Option<usize>]| -> Vec<usize> {
            let mut used: Vec<_> = cells.iter().flatten().copied().collect();
            used.dedup();
            used
        };
        let (rows, columns) = (used(&self.rows), used(&self.columns));
        let above =
            |row: &usize| columns.iter().any(|column| self.values[[*row, *column]] > threshold);
        rows.iter().any(above)
    }
}

/// The value below which this share of the numbers lies, between neighbours in proportion. There must be numbers.
pub(super) fn quantile(values: impl Iterator<Item = f32>, share: f64) -> f32 {
    let mut sorted: Vec<f32> = values.collect();
    sorted.sort_by(f32::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    let [low, high] = [low, high].map(|index| f64::from(sorted[index]));
    (low + (high - low) * place.fract()) as f32
}

/// A rectangle of cells: ends are the first cell that is not inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) top: usize,
    pub(super) bottom: usize,
    pub(super) left: usize,
    pub(super) right: usize,
}

impl Cells {
    /// The rectangle around the cells that are above the threshold and joined, side by side, with the largest one.
    pub(super) fn around_top(values: &Array2<f32>, threshold: f32) -> Self {
        let largest = values.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1));
        let (row, column) = largest.map_or((0, 0), |(place, _)| place);
        let mut found = Self { top: row, bottom: row + 1, left: column, right: column + 1 };
        let mut seen = Array2::from_elem(values.dim(), false);
        seen[[row, column]] = true;
        let mut open = vec![(row, column)];
        while let Some((row, column)) = open.pop() {
            found = found.with(row, column);
            for near in neighbours(row, column) {
                let above = values.get(near).is_some_and(|value| *value > threshold);
                if above && !seen[near] {
                    seen[near] = true;
                    open.push(near);
                }
            }
        }
        found
    }

    fn with(self, row: usize, column: usize) -> Self {
        Self {
            top: self.top.min(row),
            bottom: self.bottom.max(row + 1),
            left: self.left.min(column),
            right: self.right.max(column + 1),
        }
    }

    /// Whether a cell is inside.
    pub(super) fn holds(&self, row: usize, column: usize) -> bool {
        (self.top..self.bottom).contains(&row) && (self.left..self.right).contains(&column)
    }

    /// Left, top, right and bottom in pixels of the picture, cut off at its edges. The upper left corner of the first pixel
    /// is 0, 0 (PS3.3 C.18.6.1.1).
    pub(super) fn edges(&self, map: &FrameMap, source: &Source) -> [f64; 4] {
        let (rows, columns) = map.values.dim();
        let area = map.area;
        let along = |cell: usize, cells: usize, from: f64, to: f64, pixels: usize| {
            let place = from + (to - from) * cell as f64 / cells as f64;
            (place * pixels as f64).clamp(0.0, pixels as f64)
        };
        let x = |cell| along(cell, columns, area.left, area.right, source.columns);
        let y = |cell| along(cell, rows, area.top, area.bottom, source.rows);
        [x(self.left), y(self.top), x(self.right), y(self.bottom)]
    }
}

fn neighbours(row: usize, column: usize) -> [(usize, usize); 4] {
    let before = |index: usize| index.wrapping_sub(1);
    [(before(row), column), (row + 1, column), (row, before(column)), (row, column + 1)]
}

/// How much of a map's relevancy lies in the cells that `inside` names: sums of what is above zero.
pub(super) fn share<'a>(
    frames: impl Iterator<Item = &'a FrameMap>,
    inside: impl Fn(&FrameMap, (usize, usize), f32) -> bool,
) -> f64 {
    let (mut held, mut all) = (0.0, 0.0);
    for frame in frames {
        for (cell, &value) in frame.values.indexed_iter() {
            let value_above = f64::from(value.max(0.0));
            all += value_above;
            if inside(frame, cell, value) {
                held += value_above;
            }
        }
    }
    if all > 0.0 { held / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_top_region_is_joined() {
        let values = array![[9.0, 8.0, 0.0, 7.0], [0.0, 6.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0]];
        let found = Cells::around_top(&values, 5.0);
        assert_eq!(found, Cells { top: 0, bottom: 2, left: 0, right: 2 });
    }

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let values = || [3.0, 1.0, 2.0, 4.0].into_iter();
        assert!((quantile(values(), 0.5) - 2.5).abs() < 1e-6);
        assert!((quantile(values(), 0.9) - 3.7).abs() < 1e-6);
    }
}
