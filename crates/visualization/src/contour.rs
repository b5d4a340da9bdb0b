//! Lines of one value through a map, and the outline of a mask.

use contour::ContourBuilder;

use crate::GridMap;
use crate::upsample::{Interpolation, Sampler, UNCOVERED};

/// Closed lines, in pixels.
pub(crate) type Rings = Vec<Vec<[f64; 2]>>;

/// Points of the lattice along the longer side of a picture that lines are sought on.
///
/// A multiple of usual numbers of cells, so that lines between cells run where the cells meet.
const LATTICE: u32 = 192;

/// The quantile `q` of the values, between two of them interpolated as numpy does; none without values.
pub(crate) fn quantile(values: impl IntoIterator<Item = f32>, q: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().map(f64::from).collect();
    values.sort_unstable_by(f64::total_cmp);
    let position = q.clamp(0.0, 1.0) * values.len().checked_sub(1)? as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    Some(values[below] + (values[above] - values[below]) * position.fract())
}

/// A line is drawn only where its level is at least this part of the largest visible value: a quantile of a map that is nearly zero
/// almost everywhere would draw outlines in air.
const FLOOR: f64 = 0.1;

/// What the contour lines of a figure are, for people; `None` where there are none.
pub(crate) fn note(quantiles: &[f64]) -> Option<String> {
    let hottest = |q: &f64| format!("{} %", (1e4 * (1.0 - q)).round() / 100.0);
    let all: Vec<String> = quantiles.iter().map(hottest).collect();
    (!all.is_empty()).then(|| {
        let all = all.join(", ");
        format!("contours: hottest {all} of the cells, where above 10 % of the maximum")
    })
}

/// The lines along which maps over a picture of this size have the quantiles `quantiles` of their visible cells, one entry
/// per quantile; closed along the border. A level that nothing lies below, or that is below [`FLOOR`], has no line.
pub(crate) fn contours(
    maps: &[GridMap<'_>],
    (width, height): (u32, u32),
    interpolation: Interpolation,
    quantiles: &[f64],
) -> Vec<Rings> {
    let values: Vec<f32> =
        maps.iter().flat_map(|map| map.visible(width, height)).copied().collect();
    let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let least = FLOOR * f64::from(values.iter().copied().fold(0.0, |max: f32, v| max.max(v.abs())));
    let side = width.max(height);
    let points = |pixels: u32| {
        let points = u64::from(pixels) * u64::from(LATTICE.min(side)) / u64::from(side);
        (points as u32).max(1)
    };
    let lattice =
        Lattice::new(maps, (width, height), (points(width), points(height)), interpolation);
    let smooth = interpolation != Interpolation::Cells;
    let level = |&q: &f64| match quantile(values.iter().copied(), q) {
        Some(level) if level > f64::from(lowest) && level >= least => lattice.rings(level, smooth),
        _ => Rings::new(),
    };
    quantiles.iter().map(level).collect()
}

/// The outline of the pixels that are set in a mask `[height · width]`, row by row.
pub(crate) fn mask_outline(mask: &[bool], (width, height): (u32, u32)) -> Rings {
    if mask.is_empty() {
        return Rings::new();
    }
    let values = mask.iter().map(|&set| if set { 1.0 } else { 0.0 }).collect();
    Lattice { values, columns: width, rows: height, step: [1.0, 1.0] }.rings(0.5, true)
}

/// Values at the centres of a lattice over a picture.
struct Lattice {
    values: Vec<f64>,
    columns: u32,
    rows: u32,
    /// Pixels of the picture between two points, along x and y.
    step: [f64; 2],
}

impl Lattice {
    fn new(
        maps: &[GridMap<'_>],
        (width, height): (u32, u32),
        (columns, rows): (u32, u32),
        interpolation: Interpolation,
    ) -> Self {
        let step = [f64::from(width) / f64::from(columns), f64::from(height) / f64::from(rows)];
        let scaled = maps.iter().map(|map| GridMap {
            placement: map.placement.scaled(step.map(|step| 1.0 / step)),
            ..*map
        });
        let samplers: Vec<_> =
            scaled.map(|map| Sampler::new(&map, (columns, rows), interpolation)).collect();
        let mut values = Vec::with_capacity(columns as usize * rows as usize);
        let mut line = vec![UNCOVERED; columns as usize];
        for y in 0..rows as usize {
            line.fill(UNCOVERED);
            for sampler in &samplers {
                sampler.raise(y, &mut line);
            }
            // Below every value: no line runs where no map lies.
            values.extend(line.iter().map(|v| if v.is_nan() { f64::MIN } else { f64::from(*v) }));
        }
        Self { values, columns, rows, step }
    }

    fn rings(&self, level: f64, smooth: bool) -> Rings {
        let builder = ContourBuilder::new(self.columns as usize, self.rows as usize, smooth);
        // It fails only where values and size disagree.
        let lines = builder.lines(&self.values, &[level]).unwrap_or_default();
        let rings = lines.iter().flat_map(|line| &line.geometry().0);
        let [dx, dy] = self.step;
        rings.map(|ring| ring.0.iter().map(|c| [c.x * dx, c.y * dy]).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use ndarray::array;

    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        assert_eq!(quantile([4.0, 1.0, 2.0, 3.0], 0.5), Some(2.5));
        assert_eq!(quantile([4.0, 1.0], 1.0), Some(4.0));
        assert_eq!(quantile([], 0.5), None);
    }

    #[test]
    fn a_line_runs_around_the_hot_cell() {
        let picture = RgbImage::new(300, 300);
        let grid = array![[0.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 0.0]];
        let maps = [GridMap::whole(grid.view(), &picture)];
        let rings = &contours(&maps, (300, 300), Interpolation::Cells, &[0.95])[0];
        assert_eq!(rings.len(), 1);
        for axis in 0..2 {
            let values = || rings[0].iter().map(move |point| point[axis]);
            assert!((values().fold(f64::INFINITY, f64::min) - 100.0).abs() < 1.0);
            assert!((values().fold(0.0, f64::max) - 200.0).abs() < 1.0);
        }
    }

    #[test]
    fn no_line_runs_where_there_is_nearly_nothing() {
        let picture = RgbImage::new(300, 300);
        let grid = array![[0.0, 0.05, 0.0], [0.0, 8.0, 0.0], [0.0, 0.05, 0.0]];
        let maps = [GridMap::whole(grid.view(), &picture)];
        let lines = |q: f64| contours(&maps, (300, 300), Interpolation::Cells, &[q])[0].len();
        // Of nine cells, the quantile 0.75 is 0.05, far below a tenth of the largest.
        assert_eq!([lines(0.75), lines(0.99)], [0, 1]);
        let note = note(&[0.9, 0.999]).unwrap();
        assert!(note.contains("hottest 10 %, 0.1 % of the cells"), "{note}");
        assert_eq!(super::note(&[]), None);
    }

    #[test]
    fn a_flat_map_and_a_picture_of_one_pixel_have_no_line() {
        let picture = RgbImage::new(1, 1);
        let grid = array![[1.0, 1.0]];
        let maps = [GridMap::whole(grid.view(), &picture)];
        assert!(contours(&maps, (1, 1), Interpolation::Bilinear, &[0.5, 1.0]).concat().is_empty());
    }

    #[test]
    fn narrow_pictures_and_masks_have_lines_or_none() {
        let grid = array![[1.0, 2.0], [3.0, 4.0]];
        for (width, height) in [(1, 1), (1, 9), (20_000, 3), (3, 20_000)] {
            let maps = [GridMap::whole(grid.view(), &RgbImage::new(width, height))];
            for how in [Interpolation::Cells, Interpolation::Bicubic] {
                let rings = contours(&maps, (width, height), how, &[0.0, 0.5, 1.0]).concat();
                assert!(rings.iter().flatten().flatten().all(|v| v.is_finite()));
            }
        }
        assert!(mask_outline(&[], (0, 0)).is_empty());
        assert!(mask_outline(&[false; 6], (2, 3)).is_empty());
        for size in [(1, 1), (6, 1), (1, 6)] {
            assert_eq!(mask_outline(&vec![true; (size.0 * size.1) as usize], size).len(), 1);
        }
    }
}
