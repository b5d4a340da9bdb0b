//! How much of each cell a region covers.

use ndarray::Array2;

use super::{Mask, Shape};
use crate::GridMap;

/// Cells over a picture: where their edges are, cut at the picture's border.
pub(super) struct Cells {
    /// `columns + 1` and `rows + 1` edges, in pixels of the picture.
    xs: Vec<f64>,
    ys: Vec<f64>,
}

impl Cells {
    pub(super) fn new(map: &GridMap<'_>, (width, height): (u32, u32)) -> Self {
        let (rows, columns) = map.grid.dim();
        let p = map.placement;
        let edges = |start: f64, end: f64, cells: usize, pixels: u32| {
            let edge = |i: usize| start + (end - start) * i as f64 / cells as f64;
            (0..=cells).map(|i| edge(i).clamp(0.0, f64::from(pixels))).collect()
        };
        Self { xs: edges(p.x0, p.x1, columns, width), ys: edges(p.y0, p.y1, rows, height) }
    }

    /// The area of each cell within the picture, `[rows, columns]`, in square pixels.
    pub(super) fn areas(&self) -> Array2<f64> {
        self.each(|[x0, y0, x1, y1]| (x1 - x0) * (y1 - y0))
    }

    /// The area of each cell that a shape covers within the picture, `[rows, columns]`, in square pixels.
    pub(super) fn covered(&self, shape: &Shape) -> Array2<f64> {
        match shape {
            Shape::Rectangle(sides) => self.each(|cell| overlap(cell, *sides)),
            Shape::Polygon(corners) => self.each(|cell| clipped_area(corners, cell)),
            Shape::Mask(mask) => self.each(|cell| set_area(mask, cell)),
        }
    }

    fn each(&self, area: impl Fn([f64; 4]) -> f64) -> Array2<f64> {
        let (ys, xs) = (&self.ys, &self.xs);
        Array2::from_shape_fn((ys.len() - 1, xs.len() - 1), |(row, column)| {
            area([xs[column], ys[row], xs[column + 1], ys[row + 1]])
        })
    }
}

fn overlap([ax0, ay0, ax1, ay1]: [f64; 4], [bx0, by0, bx1, by1]: [f64; 4]) -> f64 {
    (ax1.min(bx1) - ax0.max(bx0)).max(0.0) * (ay1.min(by1) - ay0.max(by0)).max(0.0)
}

/// The area of a polygon within a rectangle: clipped at one side after the other (Sutherland and Hodgman 1974), measured by the
/// shoelace formula. Where a polygon that is not convex falls apart, the edges that join its parts run both ways and cancel.
fn clipped_area(corners: &[[f64; 2]], [x0, y0, x1, y1]: [f64; 4]) -> f64 {
    let mut polygon = corners.to_vec();
    for (axis, side, sign) in [(0, x0, 1.0), (0, x1, -1.0), (1, y0, 1.0), (1, y1, -1.0)] {
        polygon = clip(&polygon, |point| sign * (point[axis] - side));
        if polygon.is_empty() {
            return 0.0;
        }
    }
    let next = polygon.iter().cycle().skip(1);
    let twice: f64 = polygon.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
    0.5 * twice.abs()
}

/// The part of a polygon where `inside` is not negative; `inside` is linear.
fn clip(polygon: &[[f64; 2]], inside: impl Fn([f64; 2]) -> f64) -> Vec<[f64; 2]> {
    let mut kept = Vec::with_capacity(polygon.len() + 4);
    for (&a, &b) in polygon.iter().zip(polygon.iter().cycle().skip(1)) {
        let (da, db) = (inside(a), inside(b));
        if da >= 0.0 {
            kept.push(a);
        }
        if (da >= 0.0) != (db >= 0.0) {
            let t = da / (da - db);
            kept.push([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
        }
    }
    kept
}

/// The area of the set pixels within a rectangle.
fn set_area(mask: &Mask, [x0, y0, x1, y1]: [f64; 4]) -> f64 {
    let pixels = |from: f64, to: f64, end: u32| from.floor() as u32..(to.ceil() as u32).min(end);
    let part = |pixel: u32, from: f64, to: f64| {
        (to.min(f64::from(pixel) + 1.0) - from.max(f64::from(pixel))).max(0.0)
    };
    pixels(y0, y1, mask.height)
        .map(|y| {
            let set = pixels(x0, x1, mask.width).filter(|&x| mask.holds(x, y));
            part(y, y0, y1) * set.map(|x| part(x, x0, x1)).sum::<f64>()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_polygon_is_cut_at_the_cell() {
        let square = [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]];
        assert!(near(clipped_area(&square, [2.0, 2.0, 6.0, 6.0]), 4.0));
        let triangle = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]];
        assert!(near(clipped_area(&triangle, [0.0, 0.0, 2.0, 2.0]), 4.0));
        assert!(near(clipped_area(&triangle, [2.0, 0.0, 4.0, 2.0]), 2.0));
        assert!(near(clipped_area(&triangle, [3.0, 3.0, 4.0, 4.0]), 0.0));
        // A U, whose two arms alone reach into the cell.
        let u = [
            [0.0, 0.0],
            [1.0, 0.0],
            [1.0, 3.0],
            [2.0, 3.0],
            [2.0, 0.0],
            [3.0, 0.0],
            [3.0, 4.0],
            [0.0, 4.0],
        ];
        assert!(near(clipped_area(&u, [0.0, 0.0, 3.0, 2.0]), 4.0));
    }

    #[test]
    fn a_mask_counts_parts_of_pixels() {
        let mask = Mask::from_fn(4, 2, |x, _| x > 1);
        assert!(near(set_area(&mask, [1.5, 0.5, 2.5, 2.0]), 0.75));
        assert!(near(set_area(&mask, [0.0, 0.0, 4.0, 2.0]), 4.0));
    }
}
