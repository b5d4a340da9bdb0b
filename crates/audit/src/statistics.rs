//! Means with intervals that know that cases of one patient are not independent, and tests that know that several are made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Times that patients are drawn again.
const RESAMPLES: usize = 2000;
/// Times that signs are drawn where there are too many to try all.
const FLIPS: usize = 10_000;
/// Differences of which all signs are tried: 2¹² ways.
const FEW: usize = 12;
/// The 0.975 quantile of the normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// A mean over items, and between which bounds it lies with 95 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
    /// Items.
    pub items: usize,
    /// Patients (or pictures) that the items are of.
    pub clusters: usize,
}

impl Estimate {
    /// Of items that each belong to a cluster, such as a patient; none of no item.
    ///
    /// The percentile bootstrap (Efron and Tibshirani 1993) with 2000 draws of whole clusters: items of one cluster are not independent.
    pub fn of(items: &[(u64, f64)]) -> Option<Self> {
        let mut clusters: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
        for &(cluster, value) in items {
            let sum = clusters.entry(cluster).or_default();
            *sum = (sum.0 + value, sum.1 + 1);
        }
        let clusters: Vec<(f64, usize)> = clusters.into_values().collect();
        let mean = |sums: (f64, usize)| sums.0 / sums.1 as f64;
        let add = |a: (f64, usize), b: &(f64, usize)| (a.0 + b.0, a.1 + b.1);
        let whole = clusters.iter().fold((0.0, 0), add);
        if whole.1 == 0 {
            return None;
        }
        let mut random = Random(1);
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let drawn = (0..clusters.len()).map(|_| random.below(clusters.len()));
                mean(drawn.fold((0.0, 0), |sum, at| add(sum, &clusters[at])))
            })
            .collect();
        means.sort_by(f64::total_cmp);
        let quantile = |share: f64| means[(share * (RESAMPLES - 1) as f64).round() as usize];
        Some(Self {
            mean: mean(whole),
            low: quantile(0.025),
            high: quantile(0.975),
            items: whole.1,
            clusters: clusters.len(),
        })
    }

    /// A share for people: `40 % (20 to 61)`.
    pub fn percent_text(&self) -> String {
        let of = |share: f64| unsigned_zero(format!("{:.0}", 100.0 * share));
        format!("{} % ({} to {})", of(self.mean), of(self.low), of(self.high))
    }

    /// A number for people, with so many decimals: `7.9 (6.3 to 9.5)`.
    pub fn text(&self, decimals: usize) -> String {
        let of = |value: f64| unsigned_zero(format!("{value:.decimals$}"));
        format!("{} ({} to {})", of(self.mean), of(self.low), of(self.high))
    }

    /// The share of items that are 1, for a case where something happened, and not 0.
    ///
    /// The bootstrap knows nothing where all cases are alike: of ten cases that all came out the same it is sure. So the interval is no
    /// narrower than that of Wilson (1927) with as many cases as there are clusters.
    pub fn of_shares(items: &[(u64, f64)]) -> Option<Self> {
        let found = Self::of(items)?;
        let [low, high] = wilson(found.mean, found.clusters as f64);
        Some(Self { low: found.low.min(low), high: found.high.max(high), ..found })
    }
}

/// With a real minus sign, which zero has not.
fn unsigned_zero(number: String) -> String {
    if number.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        number.replace('-', "−")
    } else {
        number.replace('-', "")
    }
}

/// The interval of a share that was `mean` among `count`.
fn wilson(mean: f64, count: f64) -> [f64; 2] {
    let square = NORMAL * NORMAL / count;
    let middle = mean + square / 2.0;
    let half = (square * (mean * (1.0 - mean) + square / 4.0)).sqrt();
    let bound = |of: f64| (of / (1.0 + square)).clamp(0.0, 1.0);
    [bound(middle - half), bound(middle + half)]
}

/// How often chance alone makes the mean of these differences as large in either direction, where a difference is as likely as its
/// negative: a test by signs, which are drawn for whole clusters. None where there is no difference to speak of.
///
/// All ways of giving signs are tried for up to 12 clusters, and 10 000 of them drawn for more, of which the one that was found is one
/// (Phipson and Smyth 2010).
pub fn sign_test(items: &[(u64, f64)]) -> Option<f64> {
    let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
    for &(cluster, value) in items {
        *sums.entry(cluster).or_default() += value;
    }
    let sums: Vec<f64> = sums.into_values().filter(|sum| *sum != 0.0).collect();
    if sums.is_empty() {
        return None;
    }
    let found = sums.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order differ in the last digit.
    let reaches = |sum: f64| found * (1.0 - 1e-12) <= sum.abs();
    if sums.len() <= FEW {
        let ways = 1_usize << sums.len();
        let sign = |way: usize, at: usize| if way >> at & 1 == 0 { 1.0 } else { -1.0 };
        let sum = |way: usize| (0..sums.len()).map(|at| sign(way, at) * sums[at]).sum::<f64>();
        return Some((0..ways).filter(|&way| reaches(sum(way))).count() as f64 / ways as f64);
    }
    let mut random = Random(2);
    let mut draw = |_: &usize| {
        let drawn = sums.iter().map(|sum| if random.below(2) == 0 { *sum } else { -*sum });
        reaches(drawn.sum())
    };
    let count = (0..FLIPS).filter(&mut draw).count();
    Some((1 + count) as f64 / (FLIPS + 1) as f64)
}

/// What becomes of the p-values of several tests, so that any of them is below a level by chance no oftener than that: Holm (1979). In
/// their order.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max(p[at] * (p.len() - rank) as f64).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_mean() {
        // 400 patients with one fair coin each: the deviation of the mean is 1/40.
        let items: Vec<(u64, f64)> = (0..400).map(|n| (n, (n % 2) as f64)).collect();
        let found = Estimate::of(&items).unwrap();
        assert_eq!((found.mean, found.items, found.clusters), (0.5, 400, 400));
        assert!((found.high - found.low - 2.0 * 1.96 / 40.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn items_of_one_patient_are_drawn_together() {
        // Ten alike items of each patient tell no more than one.
        let one: Vec<(u64, f64)> = (0..50).map(|n| (n, (n % 2) as f64)).collect();
        let ten: Vec<(u64, f64)> = one.iter().flat_map(|&item| [item; 10]).collect();
        for of in [Estimate::of, Estimate::of_shares] {
            let width = |items: &[(u64, f64)]| {
                let found = of(items).unwrap();
                found.high - found.low
            };
            assert!((width(&one) - width(&ten)).abs() < 1e-9);
        }
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of_shares(&[]), None);
    }

    #[test]
    fn ten_alike_cases_are_not_certainty() {
        let items: Vec<(u64, f64)> = (0..10).map(|n| (n, 0.0)).collect();
        let found = Estimate::of_shares(&items).unwrap();
        // Wilson's upper bound of none of ten: z²/(n + z²).
        let square = 1.96_f64 * 1.96;
        assert_eq!((found.mean, found.low), (0.0, 0.0));
        assert!((found.high - square / (10.0 + square)).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn estimates_are_written_for_people() {
        let found = Estimate { mean: -0.001, low: -0.304, high: 0.5, items: 3, clusters: 3 };
        assert_eq!(found.percent_text(), "0 % (−30 to 50)");
        assert_eq!(found.text(1), "0.0 (−0.3 to 0.5)");
    }

    #[test]
    fn a_test_by_signs_counts_the_ways() {
        // Of the 2⁵ ways to give signs to five ones two are as far from zero as all alike.
        let same: Vec<(u64, f64)> = (0..5).map(|n| (n, 1.0)).collect();
        assert_eq!(sign_test(&same), Some(2.0 / 32.0));
        // One patient with five items is one difference.
        let one: Vec<(u64, f64)> = (0..5).map(|_| (0, 1.0)).collect();
        assert_eq!(sign_test(&one), Some(1.0));
        assert_eq!(sign_test(&[(0, 0.0), (1, 0.0)]), None);
        // Half up and half down, many: nothing is as likely as anything.
        let even: Vec<(u64, f64)> =
            (0..40).map(|n| (n, if n % 2 == 0 { 1.0 } else { -1.0 })).collect();
        assert_eq!(sign_test(&even), Some(1.0));
        let all: Vec<(u64, f64)> = (0..40).map(|n| (n, 1.0)).collect();
        assert!(sign_test(&all).unwrap() < 0.001);
    }

    #[test]
    fn holm_by_hand() {
        // 0.01·3, then 0.03·2, then 0.04 is no less than that before it.
        let found = holm(&[0.04, 0.01, 0.03]);
        for (found, expected) in found.iter().zip([0.06, 0.03, 0.06]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
