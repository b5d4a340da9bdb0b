//! Rows as compact numbers.
//!
//! A value is stored as a whole number from 0 to 65 535 of the largest value of its part of the row: the cells of one grid, or
//! the tokens of text. Rounding changes it by no more than 1/131 070 of that largest value. Self terms, often a thousand times as
//! large as the rest, are stored apart and so cost the others no precision. Shares are worked out here, from the raw values.
//! Everything is little-endian and in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ndarray::{ArrayView1, ArrayView2};

use super::{Report, Target};

/// The largest stored number.
const STEPS: f64 = 65_535.0;

/// All rows of a report: for each target, for each method, the result and then its layers.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// `[rows][cells of all grids]`, or their parts where a method has finer ones.
    cells: Vec<u16>,
    /// Largest value of each grid, `[rows][grids]`.
    scales: Vec<f32>,
    /// Share of each grid in the row without self terms, `[rows][grids]`.
    shares: Vec<f32>,
    /// Values at the text positions, for results only, each cut after its last value above zero.
    text: Vec<u16>,
    /// How many of them each result has.
    pub(super) text_lengths: Vec<usize>,
    /// The largest of them, by result.
    text_scales: Vec<f32>,
    /// Sum of each result without self terms.
    totals: Vec<f32>,
    /// Sum of the values at the self positions, by result.
    selves: Vec<f32>,
}

impl Packed {
    /// `report` was checked: rows have a finite value that is not negative for every token.
    pub(super) fn new(report: &Report<'_>) -> Self {
        let text = text_positions(report);
        let mut packed = Self::default();
        for target in &report.targets {
            for attribution in &target.attributions {
                packed.push_row(report, target, attribution.row, &attribution.parts);
                packed.push_text(target, &text, attribution.row);
                for &layer in &attribution.layers {
                    packed.push_row(report, target, layer, &[]);
                }
            }
        }
        packed
    }

    /// `parts`: finer values for each grid, or none.
    fn push_row(
        &mut self,
        report: &Report<'_>,
        target: &Target<'_>,
        row: ArrayView1<'_, f32>,
        parts: &[ArrayView2<'_, f32>],
    ) {
        let total = sum_without_self(target, row);
        for (index, grid) in report.grids.iter().enumerate() {
            let mut values: Vec<f32> = // [cells]
                grid.positions().map(|position| without_self(target, row, position)).collect();
            let sum: f64 = values.iter().copied().map(f64::from).sum();
            if let Some(parts) = parts.get(index) {
                values = parts.iter().copied().collect();
            }
            self.scales.push(quantise(&values, &mut self.cells));
            self.shares.push(if total > 0.0 { (sum / total) as f32 } else { 0.0 });
        }
    }

    fn push_text(&mut self, target: &Target<'_>, text: &[usize], row: ArrayView1<'_, f32>) {
        let values: Vec<f32> =
            text.iter().map(|&position| without_self(target, row, position)).collect();
        let length = values.iter().rposition(|&value| value > 0.0).map_or(0, |last| last + 1);
        self.text_scales.push(quantise(&values[..length], &mut self.text));
        self.text_lengths.push(length);
        let total = sum_without_self(target, row);
        self.totals.push(clamped(total));
        let everything: f64 = row.iter().copied().map(f64::from).sum();
        self.selves.push(clamped(everything - total));
    }

    pub(super) fn cells(&self) -> String {
        base64(self.cells.iter().flat_map(|value| value.to_le_bytes()))
    }

    pub(super) fn text(&self) -> String {
        base64(self.text.iter().flat_map(|value| value.to_le_bytes()))
    }

    pub(super) fn scales(&self) -> String {
        floats(&self.scales)
    }

    pub(super) fn shares(&self) -> String {
        floats(&self.shares)
    }

    pub(super) fn text_scales(&self) -> String {
        floats(&self.text_scales)
    }

    pub(super) fn totals(&self) -> String {
        floats(&self.totals)
    }

    pub(super) fn selves(&self) -> String {
        floats(&self.selves)
    }
}

/// Positions that are no cell of any grid, in order.
pub(super) fn text_positions(report: &Report<'_>) -> Vec<usize> {
    let mut is_text = vec![true; report.tokens.len()];
    report.grids.iter().for_each(|grid| is_text[grid.positions()].fill(false));
    (0..is_text.len()).filter(|&position| is_text[position]).collect()
}

/// Weights within 0 and 1 as bytes.
pub(super) fn weights<'a>(weights: impl Iterator<Item = &'a f32>) -> String {
    base64(weights.map(|weight| (weight * 255.0).round() as u8))
}

fn without_self(target: &Target<'_>, row: ArrayView1<'_, f32>, position: usize) -> f32 {
    if target.self_positions.contains(&position) { 0.0 } else { row[position] }
}

fn sum_without_self(target: &Target<'_>, row: ArrayView1<'_, f32>) -> f64 {
    (0..row.len()).map(|position| f64::from(without_self(target, row, position))).sum()
}

/// Many large values can add up to more than a float holds; the page shall not read infinity.
fn clamped(sum: f64) -> f32 {
    sum.clamp(0.0, f64::from(f32::MAX)) as f32
}

/// Appends `values` as parts of the largest one, and returns that.
fn quantise(values: &[f32], out: &mut Vec<u16>) -> f32 {
    let largest = values.iter().copied().fold(0.0, f32::max);
    let per_value = if largest > 0.0 { STEPS / f64::from(largest) } else { 0.0 };
    out.extend(values.iter().map(|&value| (f64::from(value) * per_value).round() as u16));
    largest
}

fn floats(values: &[f32]) -> String {
    base64(values.iter().flat_map(|value| value.to_le_bytes()))
}

fn base64(bytes: impl Iterator<Item = u8>) -> String {
    STANDARD.encode(bytes.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_stays_within_half_a_step() {
        for scale in [1.0_f32, 3.7e-6, 1e-42, f32::MAX] {
            let values: Vec<f32> = (0..1000).map(|i| scale * (i as f32 / 999.0).powi(3)).collect();
            let mut stored = Vec::new();
            let largest = f64::from(quantise(&values, &mut stored));
            for (&value, &stored) in values.iter().zip(&stored) {
                let error = (f64::from(stored) / STEPS * largest - f64::from(value)).abs();
                assert!(error <= largest / 131_070.0 * (1.0 + 1e-9), "{value} is off by {error}");
            }
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        let mut stored = Vec::new();
        assert_eq!(quantise(&[0.0, 0.0], &mut stored).to_bits(), 0);
        assert_eq!(quantise(&[], &mut stored).to_bits(), 0);
        assert_eq!(stored, [0, 0]);
    }
}
