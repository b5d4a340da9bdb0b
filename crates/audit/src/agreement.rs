//! A map beside the part of the picture that a word is about, and beside what maps that know nothing come to.

use serde::{Deserialize, Serialize};

/// How well a map agrees with the relevant part of a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Whether the largest cell touches the part (pointing game); of a map that knows nothing the chance of it.
    pub pointing: f64,
    /// The share of the map inside the part (relevance mass accuracy).
    pub mass: f64,
    /// The same over the part's share of the picture: 1 is what an even map has.
    pub mass_over_chance: f64,
    /// The share of the largest cells inside the part, as many as the part touches (relevance rank accuracy).
    pub rank_accuracy: f64,
    /// The largest cells, as many as the part is large, against the part: both over either.
    pub iou: f64,
}

/// A map beside those that know nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodAgreement {
    /// The name of the method.
    pub method: String,
    /// Its map; none where it has nothing to say.
    pub own: Option<Agreement>,
    /// The mean over its map moved over the edges to other places: as smooth, and knows nothing.
    pub shifted: Option<Agreement>,
}

/// A part of a picture on a grid of cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// `[rows · columns]`, how much of each cell is inside, from 0 to 1.
    pub covered: Vec<f32>,
    /// Rows and columns.
    pub grid: [usize; 2],
}

impl Part {
    /// The part's share of the cells.
    pub fn share(&self) -> f64 {
        self.area() / self.covered.len().max(1) as f64
    }

    fn area(&self) -> f64 {
        self.covered.iter().map(|&cell| f64::from(cell)).sum()
    }

    /// The cells that it touches.
    pub fn touched(&self) -> Vec<usize> {
        (0..self.covered.len()).filter(|&cell| 0.0 < self.covered[cell]).collect()
    }

    /// How a map agrees with it: cells in the order of the grid. What is below zero speaks against the word and counts as zero; a map
    /// without anything above zero has nothing to say.
    pub fn agreement(&self, map: &[f32]) -> Option<Agreement> {
        let map: Vec<f64> = map.iter().map(|&value| f64::from(value).max(0.0)).collect();
        let sum: f64 = map.iter().sum();
        if map.len() != self.covered.len() || sum <= 0.0 || !sum.is_finite() {
            return None;
        }
        let mut order: Vec<usize> = (0..map.len()).collect();
        order.sort_by(|&a, &b| map[b].total_cmp(&map[a]));
        let covered = |cell: usize| f64::from(self.covered[cell]);
        let touches = |cell: usize| 0.0 < self.covered[cell];
        let touched = self.touched().len();
        let hits = order.iter().take(touched).filter(|&&cell| touches(cell)).count();
        let mass =
            map.iter().enumerate().map(|(cell, value)| value * covered(cell)).sum::<f64>() / sum;
        let count = (self.area().round() as usize).max(1);
        let both: f64 = order.iter().take(count).map(|&cell| covered(cell)).sum();
        let either = count as f64 + self.area() - both;
        Some(Agreement {
            pointing: f64::from(u8::from(touches(order[0]))),
            mass,
            mass_over_chance: mass / self.share().max(f64::MIN_POSITIVE),
            rank_accuracy: hits as f64 / touched.max(1) as f64,
            iou: both / either.max(f64::MIN_POSITIVE),
        })
    }

    /// What a constant map comes to, whose cells stand in any order: the chance of each.
    pub fn constant(&self) -> Agreement {
        let (cells, area) = (self.covered.len().max(1) as f64, self.area());
        let touched = self.touched().len() as f64 / cells;
        let count = area.round().max(1.0);
        let both = count * area / cells; // in the mean
        Agreement {
            pointing: touched,
            mass: self.share(),
            mass_over_chance: 1.0,
            rank_accuracy: touched,
            iou: both / (count + area - both),
        }
    }

    /// The mean over the map moved over the edges by thirds of each side.
    pub fn shifted(&self, map: &[f32]) -> Option<Agreement> {
        let [rows, columns] = self.grid;
        if map.len() != rows * columns {
            return None;
        }
        let moved = |[down, right]: [usize; 2]| -> Vec<f32> {
            let from = |at: usize, by: usize, of: usize| (at + of - by) % of;
            let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            cells
                .map(|(row, column)| {
                    map[from(row, down, rows) * columns + from(column, right, columns)]
                })
                .collect()
        };
        let by = |third: usize, side: usize| third * side / 3;
        let moves = (1..9).map(|way| [by(way / 3, rows), by(way % 3, columns)]);
        let found: Vec<Agreement> = moves.filter_map(|way| self.agreement(&moved(way))).collect();
        let mean =
            |of: fn(&Agreement) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
        (!found.is_empty()).then(|| Agreement {
            pointing: mean(|it| it.pointing),
            mass: mean(|it| it.mass),
            mass_over_chance: mean(|it| it.mass_over_chance),
            rank_accuracy: mean(|it| it.rank_accuracy),
            iou: mean(|it| it.iou),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 6 × 6 cells; cell 7 is inside, and half of cell 8.
    fn part() -> Part {
        let mut covered = vec![0.0; 36];
        (covered[7], covered[8]) = (1.0, 0.5);
        Part { covered, grid: [6, 6] }
    }

    fn map(values: &[(usize, f32)]) -> Vec<f32> {
        let mut map = vec![0.0; 36];
        for &(cell, value) in values {
            map[cell] = value;
        }
        map
    }

    #[test]
    fn a_map_of_the_part_is_right() {
        let found = part().agreement(&map(&[(7, 1.0), (8, 0.5), (30, -9.0)])).unwrap();
        assert_eq!((found.pointing, found.rank_accuracy), (1.0, 1.0));
        assert!((found.mass - 1.25 / 1.5).abs() < 1e-9);
        assert!((found.mass_over_chance - 1.25 / 1.5 / (1.5 / 36.0)).abs() < 1e-9);
        // The two largest cells: 1.5 of both, 2 + 1.5 − 1.5 of either.
        assert!((found.iou - 0.75).abs() < 1e-9);
    }

    #[test]
    fn a_moved_map_knows_nothing() {
        let map = map(&[(7, 1.0), (8, 0.5)]);
        let found = part().shifted(&map).unwrap();
        assert_eq!((found.pointing, found.mass, found.rank_accuracy), (0.0, 0.0, 0.0));
        assert!(part().agreement(&[0.0; 36]).is_none() && part().shifted(&[0.0; 36]).is_none());
        assert!(part().agreement(&[1.0; 35]).is_none() && part().shifted(&[1.0; 35]).is_none());
    }

    /// The formulas of the constant map are the means over maps in random order.
    #[test]
    fn chance_is_the_mean_of_maps_in_any_order() {
        let part = part();
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 + 1.0
        };
        let count = 20_000;
        let mut sums = [0.0; 3];
        for _ in 0..count {
            let map: Vec<f32> = (0..36).map(|_| random()).collect();
            let found = part.agreement(&map).unwrap();
            for (sum, value) in
                sums.iter_mut().zip([found.pointing, found.mass, found.rank_accuracy])
            {
                *sum += value / f64::from(count);
            }
        }
        let chance = part.constant();
        let expected = [chance.pointing, chance.mass, chance.rank_accuracy];
        for (found, expected) in sums.into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.005, "{found} and {expected}");
        }
    }
}
