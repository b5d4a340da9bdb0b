//! Numbers of a map by region.

use std::fmt::Write;

use ndarray::Array2;

use super::Region;
use super::coverage::Cells;
use crate::contour::quantile;
use crate::map::check_map;
use crate::{Error, GridMap, escape_controls};

/// What a map gives to one region.
///
/// A cell's value is an amount, spread evenly over the part of the cell within the picture; a cell that the region's border
/// cuts counts by the covered part. So regions that divide a picture divide the whole of its visible cells.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionScore {
    /// The region's name.
    pub name: String,
    /// Mean value per cell, weighted by the covered parts.
    pub mean: f64,
    /// The amount within the region.
    pub sum: f64,
    /// The amount over that of all visible cells; `None` where the latter is not above zero.
    pub share: Option<f64>,
    /// The share over the region's part of the mapped area: 1 is what an even map gives, above 1 is more.
    pub density: Option<f64>,
    /// The region's part of the mapped area, within 0 and 1.
    pub area: f64,
}

/// The numbers of each region, in order, for a map over a picture of `size` (width, height). The map may be signed.
///
/// # Errors
/// A map that cannot be drawn, and [`Error::EmptyRegion`] for a region without area within picture and map.
pub fn region_scores(
    map: &GridMap<'_>,
    size: (u32, u32),
    regions: &[Region],
) -> Result<Vec<RegionScore>, Error> {
    check_map(0, map, size, true)?;
    let cells = Cells::new(map, size);
    let areas = cells.areas();
    let total_area = areas.sum();
    let total: f64 = sum_visible(map, &areas);
    let score = |region: &Region| {
        let covered = covered(&cells, region)?;
        let area = covered.sum();
        let (mut sum, mut count) = (0.0, 0.0);
        for ((&value, covered), &whole) in map.grid.iter().zip(&covered).zip(&areas) {
            if *covered > 0.0 {
                sum += f64::from(value) * covered / whole;
                count += covered / whole;
            }
        }
        let share = (total > 0.0).then_some(sum / total);
        let area = area / total_area;
        let density = share.map(|share| share / area);
        Ok(RegionScore { name: region.name.clone(), mean: sum / count, sum, share, density, area })
    };
    regions.iter().map(score).collect()
}

fn covered(cells: &Cells, region: &Region) -> Result<Array2<f64>, Error> {
    region.check()?;
    let covered = cells.covered(&region.shape);
    let empty = !covered.iter().any(|&area| area > 0.0);
    if empty { Err(Error::EmptyRegion { name: region.name.clone() }) } else { Ok(covered) }
}

/// How much of each cell of a map over a picture of `size` lies in a region: `[rows, columns]` of parts of the cell's area within
/// the picture, each within 0 and 1.
///
/// # Errors
/// [`Error::BadRegion`] for an invalid shape. A region that covers nothing scores zero.
pub fn region_weights(
    map: &GridMap<'_>,
    size: (u32, u32),
    region: &Region,
) -> Result<Array2<f32>, Error> {
    check_map(0, map, size, true)?;
    region.check()?;
    let cells = Cells::new(map, size);
    let (mut weights, areas) = (cells.covered(&region.shape), cells.areas());
    weights.zip_mut_with(&areas, |covered, &whole| {
        *covered = if whole > 0.0 { (*covered / whole).min(1.0) } else { 0.0 };
    });
    Ok(weights.mapv(|weight| weight as f32))
}

/// The sum of the cells that have a part within the picture.
fn sum_visible(map: &GridMap<'_>, areas: &Array2<f64>) -> f64 {
    let visible = map.grid.iter().zip(areas).filter(|(_, area)| **area > 0.0);
    visible.map(|(&value, _)| f64::from(value)).sum()
}

/// The quantile from which on a cell counts as hot.
pub const HOT_QUANTILE: f64 = 0.9;

/// How well a map and a region agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Localization {
    /// The share of the map within the region, as [`RegionScore::share`].
    pub share: Option<f64>,
    /// Area of the hot cells within the region over the area of both together, within 0 and 1. Hot are the visible cells at
    /// or above the quantile; of a flat map all are.
    pub iou: f64,
}

/// How well a map over a picture of `size` agrees with a region, for instance a box that the model wrote; `hot` is the quantile
/// of the visible cells from which on one is hot, [`HOT_QUANTILE`] unless there is a reason.
///
/// # Errors
/// As [`region_scores`], and [`Error::BadQuantile`].
pub fn localization(
    map: &GridMap<'_>,
    size: (u32, u32),
    region: &Region,
    hot: f64,
) -> Result<Localization, Error> {
    if !(0.0..=1.0).contains(&hot) {
        return Err(Error::BadQuantile { value: hot });
    }
    let share = region_scores(map, size, std::slice::from_ref(region))?[0].share;
    let cells = Cells::new(map, size);
    let (areas, covered) = (cells.areas(), covered(&cells, region)?);
    let threshold = quantile(map.visible(size.0, size.1).iter().copied(), hot).unwrap_or_default();
    let (mut both, mut either) = (0.0, 0.0);
    for ((&value, covered), &whole) in map.grid.iter().zip(&covered).zip(&areas) {
        if f64::from(value) >= threshold {
            both += covered;
            either += whole;
        } else {
            either += covered;
        }
    }
    Ok(Localization { share, iou: both / either })
}

/// The scores as a table of plain text: name, mean, sum, share and density, one region a line. Control characters
/// of names are escaped.
pub fn region_table(scores: &[RegionScore]) -> String {
    let names: Vec<_> = scores.iter().map(|score| escape_controls(&score.name, &[])).collect();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
    let mut table = format!(
        "{:<name_width$}  {:>10}  {:>10}  {:>7}  {:>7}\n",
        "region", "mean", "sum", "share", "density"
    );
    for (score, name) in scores.iter().zip(&names) {
        let share = score.share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let density = score.density.map_or("-".to_owned(), |density| format!("{density:.2}"));
        writeln!(
            table,
            "{name:<name_width$}  {:>10.3e}  {:>10.3e}  {share:>7}  {density:>7}",
            score.mean, score.sum
        )
        .expect("writing to a String does not fail");
    }
    table
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use ndarray::array;

    use super::super::Shape;
    use super::*;
    use crate::Placement;

    #[test]
    fn a_cut_cell_counts_by_the_covered_part() {
        let picture = RgbImage::new(4, 2);
        let grid = array![[1.0, 3.0]];
        let map = GridMap::whole(grid.view(), &picture);
        let region = Region::rectangle("left three quarters", [-9.0, 0.0, 3.0, 2.0]);
        let score = &region_scores(&map, (4, 2), &[region]).unwrap()[0];
        assert_eq!((score.sum, score.share), (2.5, Some(0.625)));
        let region = Region::rectangle("left three quarters", [-9.0, 0.0, 3.0, 2.0]);
        assert_eq!(region_weights(&map, (4, 2), &region).unwrap(), array![[1.0, 0.5]]);
        let beside = Region::rectangle("beside", [9.0, 0.0, 12.0, 2.0]);
        assert_eq!(region_weights(&map, (4, 2), &beside).unwrap(), array![[0.0, 0.0]]);
        assert!((score.mean - 2.5 / 1.5).abs() < 1e-12 && (score.area - 0.75).abs() < 1e-12);
        assert!((score.density.unwrap() - 0.625 / 0.75).abs() < 1e-12);
    }

    #[test]
    fn regions_that_divide_a_picture_divide_its_visible_cells() {
        let grid = array![[90.0, 90.0], [1.0, 2.0], [3.0, 4.0], [90.0, 90.0]];
        let placement = Placement { x0: 0.0, y0: -5.0, x1: 20.0, y1: 15.0 };
        let map = GridMap { grid: grid.view(), placement };
        let half = |x0, x1| Region::rectangle("half", [x0, 0.0, x1, 10.0]);
        let scores = region_scores(&map, (20, 10), &[half(0.0, 7.0), half(7.0, 20.0)]).unwrap();
        let share: f64 = scores.iter().map(|s| s.share.unwrap()).sum();
        assert!((share - 1.0).abs() < 1e-12);
        assert!((scores[0].sum - 0.7 * 4.0).abs() < 1e-12);
    }

    #[test]
    fn shapes_agree() {
        let picture = RgbImage::new(10, 10);
        let grid = Array2::from_shape_fn((3, 3), |(r, c)| (r * 3 + c) as f32);
        let map = GridMap::whole(grid.view(), &picture);
        let corners = vec![[2.0, 1.0], [9.0, 1.0], [9.0, 7.0], [2.0, 7.0]];
        let mask =
            super::super::Mask::from_fn(10, 10, |x, y| (2..9).contains(&x) && (1..7).contains(&y));
        let shapes =
            [Shape::Rectangle([2.0, 1.0, 9.0, 7.0]), Shape::Polygon(corners), Shape::Mask(mask)];
        let regions = shapes.map(|shape| Region { name: String::new(), shape });
        let scores = region_scores(&map, (10, 10), &regions).unwrap();
        assert!(scores.windows(2).all(|s| (s[0].sum - s[1].sum).abs() < 1e-9), "{scores:?}");
    }

    #[test]
    fn a_box_around_the_hot_cells_agrees() {
        let picture = RgbImage::new(40, 40);
        let mut grid = Array2::zeros((4, 4));
        grid[[1, 1]] = 1.0;
        let map = GridMap::whole(grid.view(), &picture);
        let of =
            |sides| localization(&map, (40, 40), &Region::rectangle("box", sides), 0.95).unwrap();
        let exact = of([10.0, 10.0, 20.0, 20.0]);
        assert_eq!((exact.share, exact.iou), (Some(1.0), 1.0));
        assert!((of([10.0, 10.0, 20.0, 30.0]).iou - 0.5).abs() < 1e-12);
        assert_eq!(of([0.0, 0.0, 10.0, 10.0]).share, Some(0.0));
    }

    #[test]
    fn empty_and_foreign_regions_are_named() {
        let picture = RgbImage::new(4, 4);
        let grid = array![[1.0]];
        let map = GridMap::whole(grid.view(), &picture);
        let refused = |shape| {
            let region = Region { name: "heart".to_owned(), shape };
            region_scores(&map, (4, 4), &[region]).unwrap_err().to_string()
        };
        assert!(refused(Shape::Rectangle([9.0, 9.0, 12.0, 12.0])).contains("\"heart\""));
        assert!(refused(Shape::Rectangle([3.0, 0.0, 1.0, 2.0])).contains("x0 < x1"));
        assert!(refused(Shape::Polygon(vec![[0.0, 0.0], [1.0, 1.0]])).contains("three"));
        assert!(refused(Shape::Polygon(vec![[f64::NAN, 0.0]; 3])).contains("finite"));
    }

    #[test]
    fn a_map_of_zeros_has_no_shares() {
        let picture = RgbImage::new(4, 4);
        let grid = array![[0.0, 0.0]];
        let map = GridMap::whole(grid.view(), &picture);
        let region = Region::rectangle("all", [0.0, 0.0, 4.0, 4.0]);
        let scores = region_scores(&map, (4, 4), &[region]).unwrap();
        assert_eq!((scores[0].share, scores[0].density, scores[0].mean), (None, None, 0.0));
        assert!(region_table(&scores).contains("all"));
    }
}
