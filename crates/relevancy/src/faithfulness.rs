//! Evidence for a map: what a score loses when the cells that the map puts first, or last, are taken away, beside what it loses by orders
//! that know nothing.
//!
//! Nothing here runs a model. Whoever has one takes the cells away that an [`Order`] names and tells the scores: log-probabilities in nats.
//! Two curves over the share of cells that are gone, most relevant first (`MoRF`) and least relevant first (`LeRF`), give one number, the
//! symmetric relevance gain (Blücher, Vielhaben and Strodthoff, "Decoupling pixel flipping and occlusion strategy for consistent XAI
//! benchmarks", TMLR 2024): how much longer the score lasts when what the map calls unimportant goes first. [`Standing`] says how that
//! number stands among those of [`moved`] copies of the map, a [`blob`] and [shuffled](Order::shuffled) orders.
//!
//! ```
//! use attention_relevancy::faithfulness::{Curve, Order, gain, standing};
//!
//! // Four cells of which the first is worth two nats and the second one.
//! let worth = [2.0, 1.0, 0.0, 0.0];
//! let without = |gone: &[usize]| 3.0 - gone.iter().map(|&cell| worth[cell]).sum::<f64>();
//! let fractions = [0.25, 0.5, 0.75];
//! let gain_of = |order: &Order| {
//!     let curve = |order: &Order| {
//!         let scores = fractions.map(|fraction| without(order.first(fraction)));
//!         Curve::new(&fractions, &scores, 3.0, 0.0).unwrap()
//!     };
//!     gain(&curve(order), &curve(&order.reversed()))
//! };
//! let mut never = |_: usize| 0; // no ties to break
//! let right = gain_of(&Order::of_map(&[0.9, 0.5, 0.2, 0.1], &mut never));
//! let wrong = gain_of(&Order::of_map(&[0.1, 0.2, 0.5, 0.9], &mut never));
//! assert!(right > 0.5 && (right + wrong).abs() < 1e-12);
//! // Better than all of three controls: no better p can be had from so few.
//! assert_eq!(standing(right, &[0.1, -0.2, 0.0]).unwrap().p, 0.25);
//! ```

use crate::by_value;

/// Shares of the cells that are taken away, between none and all.
pub const FRACTIONS: [f64; 8] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.75];

/// A picture that is worth fewer nats than this has no curve: what is divided by it is noise.
pub const LEAST_WORTH: f64 = 0.1;

/// Cells in the order in which they are taken away: each of them once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order(Vec<usize>);

impl Order {
    /// The most relevant cell first. Equal values, as the zeros of many maps are, stand in an order that `below` draws: `below(n)` is a random
    /// number under n.
    pub fn of_map(map: &[f32], below: &mut impl FnMut(usize) -> usize) -> Self {
        let places = Self::shuffled(map.len(), below).0;
        let shuffled: Vec<f32> = places.iter().map(|&cell| map[cell]).collect();
        Self(by_value(&shuffled).into_iter().map(|place| places[place]).collect())
    }

    /// Any order of so many cells, each as likely as any other (Fisher and Yates).
    pub fn shuffled(cells: usize, below: &mut impl FnMut(usize) -> usize) -> Self {
        let mut order: Vec<usize> = (0..cells).collect();
        for at in (1..cells).rev() {
            order.swap(at, below(at + 1));
        }
        Self(order)
    }

    /// The same cells from the last to the first.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self(self.0.iter().rev().copied().collect())
    }

    /// So large a share of the cells, from the first on, to the nearest whole cell; of any share above zero at least one.
    pub fn first(&self, fraction: f64) -> &[usize] {
        let count = (fraction * self.0.len() as f64).round() as usize;
        let least = usize::from(0.0 < fraction);
        &self.0[..count.max(least).min(self.0.len())]
    }

    /// All of them.
    pub fn cells(&self) -> &[usize] {
        &self.0
    }
}

/// What is left of a score as cells are taken away: 1 with all of them, 0 without any.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Share of the cells that are gone and what is left, from (0, 1) to (1, 0).
    points: Vec<[f64; 2]>,
}

impl Curve {
    /// From the scores without each of some ascending shares of the cells, the score with all cells and the one without any. `None` where the
    /// cells together are worth less than [`LEAST_WORTH`], and where a score is no number.
    ///
    /// # Panics
    /// Where there are not as many scores as shares.
    pub fn new(fractions: &[f64], scores: &[f64], whole: f64, bare: f64) -> Option<Self> {
        assert_eq!(fractions.len(), scores.len(), "a score for each share");
        let worth = whole - bare;
        let is_finite = worth.is_finite() && scores.iter().all(|score| score.is_finite());
        if !is_finite || worth < LEAST_WORTH {
            return None;
        }
        let between = fractions.iter().zip(scores);
        let between = between.map(|(&fraction, score)| [fraction, (score - bare) / worth]);
        Some(Self {
            points: std::iter::once([0.0, 1.0]).chain(between).chain([[1.0, 0.0]]).collect(),
        })
    }

    /// Share of the cells that are gone and what is left of the score, from (0, 1) to (1, 0).
    pub fn points(&self) -> &[[f64; 2]] {
        &self.points
    }

    /// The area under it, by the trapezoidal rule.
    pub fn area(&self) -> f64 {
        let part =
            |pair: &[[f64; 2]]| (pair[1][0] - pair[0][0]) * f64::midpoint(pair[0][1], pair[1][1]);
        self.points.windows(2).map(part).sum()
    }
}

/// The symmetric relevance gain: the area under the curve where the least relevant cells go first less that where the most relevant do. 0 for
/// an order that says nothing, below it for one that is the wrong way round.
pub fn gain(most_first: &Curve, least_first: &Curve) -> f64 {
    least_first.area() - most_first.area()
}

/// The mean of `whole` less each of some scores: comprehensiveness of the scores without the most relevant cells, sufficiency of those with
/// them alone (`DeYoung` et al., "ERASER", ACL 2020); 0 of none.
pub fn mean_loss(whole: f64, scores: &[f64]) -> f64 {
    let sum: f64 = scores.iter().map(|score| whole - score).sum();
    if scores.is_empty() { 0.0 } else { sum / scores.len() as f64 }
}

/// How a number stands among those of controls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Standard deviations of the controls above their mean; `None` where they are all alike.
    pub z: Option<f64>,
    /// `(1 + #{controls that are as large}) / (K + 1)`: how often a control would do as well by chance, the number itself counted among them.
    pub p: f64,
}

/// Of a number among K controls; `None` where there is none, and where something is no number.
pub fn standing(value: f64, controls: &[f64]) -> Option<Standing> {
    let is_finite = value.is_finite() && controls.iter().all(|control| control.is_finite());
    if !is_finite || controls.is_empty() {
        return None;
    }
    let count = controls.len() as f64;
    let mean = controls.iter().sum::<f64>() / count;
    let squares: f64 = controls.iter().map(|control| (control - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    let as_large = controls.iter().filter(|&&control| value <= control).count();
    Some(Standing {
        z: (0.0 < deviation).then(|| (value - mean) / deviation),
        p: (1.0 + as_large as f64) / (count + 1.0),
    })
}

/// A map on a grid, mirrored and moved over its edges, which join: as smooth as it was, and of the same values.
///
/// # Panics
/// Where the map does not have a value for each cell of the grid.
pub fn moved(
    map: &[f32],
    [rows, columns]: [usize; 2],
    [down, right]: [usize; 2],
    [upside_down, mirrored]: [bool; 2],
) -> Vec<f32> {
    assert_eq!(map.len(), rows * columns, "a value for each cell");
    let along = |place: usize, length: usize, shift: usize, turned: bool| {
        let place = (place + length - shift % length) % length;
        if turned { length - 1 - place } else { place }
    };
    let value = |cell: usize| {
        let row = along(cell / columns, rows, down, upside_down);
        let column = along(cell % columns, columns, right, mirrored);
        map[row * columns + column]
    };
    (0..map.len()).map(value).collect()
}

/// A hill in the middle of a grid, a quarter of each side wide (σ): where pictures have what they are about.
pub fn blob([rows, columns]: [usize; 2]) -> Vec<f32> {
    let square = |place: usize, length: usize| {
        let middle = (length as f64 - 1.0) / 2.0;
        ((place as f64 - middle) / (length as f64 / 4.0)).powi(2)
    };
    let height = |cell: usize| {
        (-f64::midpoint(square(cell / columns, rows), square(cell % columns, columns))).exp() as f32
    };
    (0..rows * columns).map(height).collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    /// The step of `SplitMix64` (Steele, Lea and Flood 2014).
    fn draws(seed: u64) -> impl FnMut(usize) -> usize {
        let mut state = seed;
        move |below| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = state;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((x ^ (x >> 31)) % below as u64) as usize
        }
    }

    /// A score that is the sum of what its cells are worth.
    struct Additive(Vec<f64>);

    impl Additive {
        fn without(&self, gone: &[usize]) -> f64 {
            self.0.iter().sum::<f64>() - gone.iter().map(|&cell| self.0[cell]).sum::<f64>()
        }

        fn gain(&self, order: &Order) -> f64 {
            let curve = |order: &Order| {
                let scores = FRACTIONS.map(|fraction| self.without(order.first(fraction)));
                Curve::new(&FRACTIONS, &scores, self.without(&[]), 0.0).unwrap()
            };
            gain(&curve(order), &curve(&order.reversed()))
        }
    }

    fn additive(seed: u64, cells: usize) -> Additive {
        let mut below = draws(seed);
        Additive((0..cells).map(|_| (below(1000) as f64 / 1000.0).powi(4)).collect())
    }

    #[test]
    fn orders_hold_every_cell_once_and_ties_are_drawn() {
        let map = [0.5, 0.0, 0.9, 0.0, 0.0, 0.5];
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let order = Order::of_map(&map, &mut draws(seed));
            let mut cells = order.cells().to_vec();
            assert_eq!(cells[0], 2);
            assert!([0, 5].contains(&cells[1]) && [0, 5].contains(&cells[2]));
            assert_eq!(order.reversed().cells()[5], 2);
            firsts.insert(cells[3]);
            cells.sort_unstable();
            assert_eq!(cells, [0, 1, 2, 3, 4, 5]);
        }
        assert_eq!(firsts.into_iter().collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn a_share_is_whole_cells_and_at_least_one() {
        let order = Order::shuffled(256, &mut draws(1));
        let counts = FRACTIONS.map(|fraction| order.first(fraction).len());
        assert_eq!(counts, [3, 5, 10, 20, 41, 82, 128, 192]);
        let few = Order::shuffled(10, &mut draws(1));
        assert_eq!([0.0, 0.01, 1.0].map(|fraction| few.first(fraction).len()), [0, 1, 10]);
    }

    #[test]
    fn areas_are_those_of_trapezoids() {
        let curve = Curve::new(&[0.25, 0.5], &[-1.0, -2.5], 0.0, -4.0).unwrap();
        assert_eq!(curve.points(), [[0.0, 1.0], [0.25, 0.75], [0.5, 0.375], [1.0, 0.0]]);
        let expected = 0.25 * 0.875 + 0.25 * 0.5625 + 0.5 * 0.1875;
        assert!((curve.area() - expected).abs() < 1e-12);
        assert_eq!(gain(&curve, &curve), 0.0);
        assert_eq!(Curve::new(&[0.5], &[0.0], 0.05, 0.0), None);
        assert_eq!(Curve::new(&[0.5], &[0.0], -1.0, 0.0), None);
        assert_eq!(Curve::new(&[0.5], &[f64::NAN], 1.0, 0.0), None);
        assert_eq!(mean_loss(2.0, &[1.0, 0.5]), 1.25);
    }

    #[test]
    fn no_control_is_ahead_of_the_true_drops() {
        let model = additive(3, 256);
        let truth: Vec<f32> = model.0.iter().map(|&worth| worth as f32).collect();
        let own = model.gain(&Order::of_map(&truth, &mut draws(0)));
        let shuffled = (0..20).map(|seed| Order::shuffled(256, &mut draws(100 + seed)));
        let mut below = draws(7);
        let copies = (0..19).map(|_| {
            let shift = [below(16), 1 + below(15)];
            let map = moved(&truth, [16, 16], shift, [below(2) == 0, below(2) == 0]);
            Order::of_map(&map, &mut draws(8))
        });
        let copies: Vec<Order> = copies.collect();
        let hill = Order::of_map(&blob([16, 16]), &mut draws(9));
        let controls: Vec<f64> =
            shuffled.chain(copies).chain([hill]).map(|order| model.gain(&order)).collect();
        let found = standing(own, &controls).unwrap();
        assert_eq!(found.p, 1.0 / 41.0);
        assert!(found.z.unwrap() > 3.0, "{found:?}");
        let wrong = standing(-own, &controls).unwrap();
        assert_eq!(wrong.p, 1.0);
    }

    /// What knows nothing is as often among the best twentieth of its controls as among any other.
    #[test]
    fn p_is_uniform_for_a_map_that_knows_nothing() {
        let mut counts = [0_u32; 20];
        for seed in 0..400 {
            let model = additive(seed, 64);
            let mut below = draws(seed ^ 0xabcd);
            let mut random = || model.gain(&Order::shuffled(64, &mut below));
            let own = random();
            let controls: Vec<f64> = (0..19).map(|_| random()).collect();
            let p = standing(own, &controls).unwrap().p;
            counts[(20.0 * p).round() as usize - 1] += 1;
        }
        // χ² of 19 degrees of freedom: above 43.8 in one of a thousand.
        let expected = 20.0;
        let chi: f64 = counts.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        assert!(chi < 43.8, "{chi}: {counts:?}");
    }

    #[test]
    fn a_number_stands_among_its_controls() {
        assert_eq!(standing(1.0, &[]), None);
        assert_eq!(standing(f64::NAN, &[0.0]), None);
        let found = standing(2.0, &[-1.0, 0.0, 1.0, 2.0]).unwrap();
        assert_eq!(found.p, 0.4);
        assert!((found.z.unwrap() - 1.5 / (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(standing(2.0, &[1.0, 1.0]).unwrap(), Standing { z: None, p: 1.0 / 3.0 });
        assert_eq!(standing(2.0, &[1.0]).unwrap().z, None);
    }

    #[test]
    fn a_moved_map_has_the_same_values_at_other_places() {
        let map = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let same = moved(&map, [2, 3], [0, 0], [false, false]);
        assert_eq!(same, map);
        assert_eq!(moved(&map, [2, 3], [1, 0], [false, false]), [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
        assert_eq!(moved(&map, [2, 3], [0, 1], [false, false]), [3.0, 1.0, 2.0, 6.0, 4.0, 5.0]);
        assert_eq!(moved(&map, [2, 3], [0, 0], [true, false]), [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
        assert_eq!(moved(&map, [2, 3], [0, 1], [false, true]), [1.0, 3.0, 2.0, 4.0, 6.0, 5.0]);
        let hill = blob([16, 16]);
        let (middle, corner) = (hill[7 * 16 + 7], hill[0]);
        assert!(middle > 0.9 && corner < 0.05 && (hill[7 * 16 + 8] - middle).abs() < 1e-6);
    }
}
