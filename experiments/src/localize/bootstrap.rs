//! Means with intervals.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::scenes::mix;

/// Times that pictures are drawn again.
const RESAMPLES: usize = 2000;

/// A mean over items, and between which bounds it lies in 95 % of the draws.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The 0.025 quantile of means.
    pub low: f64,
    /// The 0.975 quantile of means.
    pub high: f64,
    /// Items.
    pub count: usize,
}

impl Estimate {
    /// Of items that each belong to a picture; none of no item.
    ///
    /// The percentile bootstrap (Efron and Tibshirani 1993), over pictures: items of one picture are not independent.
    pub fn of(items: &[(u64, f64)]) -> Option<Self> {
        let mut pictures: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
        for &(picture, value) in items {
            let sum = pictures.entry(picture).or_default();
            *sum = (sum.0 + value, sum.1 + 1);
        }
        let pictures: Vec<(f64, usize)> = pictures.into_values().collect();
        let mean = |sums: (f64, usize)| sums.0 / sums.1 as f64;
        let add = |a: (f64, usize), b: &(f64, usize)| (a.0 + b.0, a.1 + b.1);
        let whole = pictures.iter().fold((0.0, 0), add);
        if whole.1 == 0 {
            return None;
        }
        let mut state = 1;
        let mut draw = || {
            state = mix(state);
            &pictures[(state % pictures.len() as u64) as usize]
        };
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|_| mean((0..pictures.len()).fold((0.0, 0), |sum, _| add(sum, draw()))))
            .collect();
        means.sort_by(f64::total_cmp);
        let quantile = |share: f64| means[(share * (RESAMPLES - 1) as f64).round() as usize];
        let (low, high) = (quantile(0.025), quantile(0.975));
        Some(Self { mean: mean(whole), low, high, count: whole.1 })
    }

    /// For a file.
    pub fn to_json(self) -> Value {
        json!({ "mean": self.mean, "low": self.low, "high": self.high, "items": self.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_mean() {
        // 400 pictures with one fair coin each: the deviation of the mean is 1/40.
        let items: Vec<(u64, f64)> = (0..400).map(|n| (n, (n % 2) as f64)).collect();
        let found = Estimate::of(&items).unwrap();
        assert_eq!((found.mean, found.count), (0.5, 400));
        assert!((found.high - found.low - 2.0 * 1.96 / 40.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn items_of_one_picture_are_drawn_together() {
        // Ten alike items in each picture tell no more than one.
        let one: Vec<(u64, f64)> = (0..50).map(|n| (n, (n % 2) as f64)).collect();
        let ten: Vec<(u64, f64)> = one.iter().flat_map(|&item| [item; 10]).collect();
        let width = |items: &[(u64, f64)]| {
            let found = Estimate::of(items).unwrap();
            found.high - found.low
        };
        assert!((width(&one) - width(&ten)).abs() < 1e-9);
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(Estimate::of(&[]), None);
    }
}
