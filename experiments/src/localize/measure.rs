//! How well a map shows where a finding is.

use attention_relevancy::by_value;

/// The part of a picture that a mask covers, cut into the cells of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The covered share of each cell.
    cells: Vec<f32>,
}

/// A map against the mask of the finding that its word tells of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// Pointing game (Zhang et al. 2016): the largest cell touches the mask.
    pub pointing: bool,
    /// Share of the map's values inside the mask, divided by the mask's share of the picture: 1 is chance.
    pub mass: f64,
    /// Area of the tenth of the cells with the largest values that the mask covers, divided by the area of both together.
    pub iou: f64,
    /// Relevance rank accuracy (Arras, Osman and Samek 2022): of as many cells with the largest values as the mask touches, the share that
    /// touch it.
    pub rank_accuracy: f64,
    /// Whether the largest cell touches another finding and not this one; `None` where there is no other.
    pub confused: Option<bool>,
    /// Whether all cells that touch this finding have more of the map's values together than those of any other; `None` where there is no
    /// other. The largest cell favours what is small.
    pub outweighs: Option<bool>,
    /// Share of the map's values on other findings where this one is not; `None` where there is no other.
    pub elsewhere: Option<f64>,
}

/// The share of cells that count as shown: those above the 0.9 quantile.
const SHOWN: f64 = 0.1;

impl Region {
    /// From the covered share of each cell.
    pub fn new(cells: Vec<f32>) -> Self {
        Self { cells }
    }

    /// The covered share of each cell.
    pub fn cells(&self) -> &[f32] {
        &self.cells
    }

    /// The covered share of the picture.
    pub fn share(&self) -> f64 {
        self.area() / self.cells.len() as f64
    }

    fn area(&self) -> f64 {
        self.cells.iter().map(|&cell| f64::from(cell)).sum()
    }

    /// The share of a map's values that lies inside; 0 of a map of zeros.
    pub fn mass(&self, map: &[f32]) -> f64 {
        let (mut inside, mut all) = (0.0, 0.0);
        for (&value, &cell) in map.iter().zip(&self.cells) {
            inside += f64::from(value) * f64::from(cell);
            all += f64::from(value);
        }
        if all > 0.0 { inside / all } else { 0.0 }
    }

    /// The sum of a map's values on the cells that it touches.
    fn sum(&self, map: &[f32]) -> f64 {
        let on = map.iter().zip(&self.cells).filter(|(_, cell)| **cell > 0.0);
        on.map(|(&value, _)| f64::from(value)).sum()
    }

    fn touches(&self, cell: Option<usize>) -> bool {
        cell.is_some_and(|cell| self.cells[cell] > 0.0)
    }
}

impl Measure {
    /// Of a map whose word tells of what is in `region`; `others` are the other findings. What is below zero speaks against the word and
    /// counts as zero; a map of zeros shows nothing.
    pub fn of(map: &[f32], region: &Region, others: &[&Region]) -> Self {
        let map = &map.iter().map(|value| value.max(0.0)).collect::<Vec<_>>();
        let order = by_value(map);
        let largest = order.first().copied().filter(|&cell| map[cell] > 0.0);
        let pointing = region.touches(largest);
        let elsewhere = others.iter().any(|other| other.touches(largest));
        let count = (SHOWN * map.len() as f64).round() as usize;
        let shown = || order[..count].iter().filter(|&&cell| map[cell] > 0.0);
        let both: f64 = shown().map(|&cell| f64::from(region.cells[cell])).sum();
        let either = shown().count() as f64 + region.area() - both;
        let touched = region.cells.iter().filter(|cell| **cell > 0.0).count();
        let first = order.iter().take(touched).filter(|&&cell| map[cell] > 0.0);
        let hits = first.filter(|&&cell| region.touches(Some(cell))).count();
        let all: f64 = map.iter().map(|&value| f64::from(value)).sum();
        let beside = |cell: usize| {
            !region.touches(Some(cell)) && others.iter().any(|other| other.touches(Some(cell)))
        };
        let on_others: f64 =
            (0..map.len()).filter(|&cell| beside(cell)).map(|cell| f64::from(map[cell])).sum();
        let own = region.sum(map);
        let has_others = !others.is_empty();
        Self {
            pointing,
            rank_accuracy: hits as f64 / touched.max(1) as f64,
            outweighs: has_others.then(|| others.iter().all(|other| other.sum(map) < own)),
            elsewhere: has_others.then(|| if all > 0.0 { on_others / all } else { 0.0 }),
            mass: region.mass(map) / region.share().max(f64::MIN_POSITIVE),
            iou: if either > 0.0 { both / either } else { 0.0 },
            confused: has_others.then_some(elsewhere && !pointing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty cells; the finding covers cell 3 wholly and half of cell 4, another one cell 10.
    fn regions() -> [Region; 2] {
        let mut cells = [vec![0.0; 20], vec![0.0; 20]];
        (cells[0][3], cells[0][4], cells[1][10]) = (1.0, 0.5, 1.0);
        cells.map(Region::new)
    }

    fn map(values: &[(usize, f32)]) -> Vec<f32> {
        let mut map = vec![0.0; 20];
        for &(cell, value) in values {
            map[cell] = value;
        }
        map
    }

    #[test]
    fn a_map_of_the_mask_is_right() {
        let [region, other] = regions();
        let found = Measure::of(&map(&[(3, 1.0), (4, 0.5)]), &region, &[&other]);
        assert!(found.pointing && found.confused == Some(false));
        // 1·1 + 0.5·0.5 of 1.5, against 1.5 of 20 cells.
        assert!((found.mass - 1.25 / 1.5 / 0.075).abs() < 1e-9);
        assert_eq!((found.rank_accuracy, found.outweighs), (1.0, Some(true)));
        assert_eq!(found.elsewhere, Some(0.0));
        // Two cells are shown, 1.5 of them are covered.
        assert!((found.iou - 1.5 / 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_speaks_against_the_word_counts_as_nothing() {
        let [region, other] = regions();
        let values = [(3, 1.0), (10, 0.5), (0, -2.0)];
        let found = Measure::of(&map(&values), &region, &[&other]);
        assert_eq!(found, Measure::of(&map(&values[..2]), &region, &[&other]));
    }

    #[test]
    fn pointing_at_another_finding_is_confusion() {
        let [region, other] = regions();
        let found = Measure::of(&map(&[(10, 1.0), (4, 0.5)]), &region, &[&other]);
        assert!(!found.pointing && found.confused == Some(true));
        assert_eq!((found.rank_accuracy, found.outweighs), (0.5, Some(false)));
        assert!((found.elsewhere.unwrap() - 2.0 / 3.0).abs() < 1e-9);
        let elsewhere = Measure::of(&map(&[(0, 1.0)]), &region, &[&other]);
        assert!(!elsewhere.pointing && elsewhere.confused == Some(false));
        assert_eq!(Measure::of(&map(&[(0, 1.0)]), &region, &[]).confused, None);
    }

    #[test]
    fn a_constant_map_is_chance_and_an_empty_one_shows_nothing() {
        let [region, other] = regions();
        assert!((Measure::of(&[0.3; 20], &region, &[&other]).mass - 1.0).abs() < 1e-9);
        let empty = Measure::of(&[0.0; 20], &region, &[&other]);
        assert_eq!((empty.pointing, empty.mass, empty.iou), (false, 0.0, 0.0));
    }
}
