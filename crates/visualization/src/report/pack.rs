//! Rows as compact numbers.
//!
//! A value is stored as a whole number from 0 to 65 535 of the largest value of its part of the row: the cells of one grid, or
//! the tokens of text; where the method has signs, from −32 767 to 32 767 of the largest magnitude. Rounding changes it by no more
//! than 1/131 070 of that largest value (1/65 534 with signs). Self terms, often a thousand times as large as the rest, are stored
//! apart and so cost the others no precision. Shares are worked out here, from the raw values, those of signed rows from their
//! magnitudes. What a method has nothing to say of takes no room. Everything is little-endian and in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ndarray::{ArrayView1, ArrayView2};

use super::Report;
use crate::bytes::{Character, characters};

/// The largest stored number, without and with signs.
const STEPS: f64 = 65_535.0;
const SIGNED_STEPS: f64 = 32_767.0;

/// All rows of a report: for each target, for each method that says something of it, the result and then its layers.
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
    /// Sum of each row without self terms, `[rows]`.
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
            for (method, attribution) in report.methods.iter().zip(&target.attributions) {
                let Ok(attribution) = attribution else { continue };
                let (signed, selves) = (method.signs.is_some(), target.self_positions.as_slice());
                let rows = [attribution.row].into_iter().chain(attribution.layers.iter().copied());
                for (index, row) in rows.enumerate() {
                    let parts = if index == 0 { attribution.parts.as_slice() } else { &[] };
                    packed.push_row(report, Row { selves, values: row, signed }, parts);
                }
                packed.push_text(&text, Row { selves, values: attribution.row, signed });
            }
        }
        packed
    }

    /// `parts`: finer values for each grid, or none.
    fn push_row(&mut self, report: &Report<'_>, row: Row<'_>, parts: &[ArrayView2<'_, f32>]) {
        let total = row.sum_without_self();
        for (index, grid) in report.grids.iter().enumerate() {
            let mut values: Vec<f32> = // [cells]
                grid.positions().map(|position| row.without_self(position)).collect();
            let sum: f64 = values.iter().map(|value| f64::from(value.abs())).sum();
            if let Some(parts) = parts.get(index) {
                values = parts.iter().copied().collect();
            }
            self.scales.push(row.quantise(&values, &mut self.cells));
            self.shares.push(if total > 0.0 { (sum / total) as f32 } else { 0.0 });
        }
        self.totals.push(clamped(total));
    }

    fn push_text(&mut self, text: &[usize], row: Row<'_>) {
        let values: Vec<f32> = text.iter().map(|&position| row.without_self(position)).collect();
        let length = values.iter().rposition(|&value| value != 0.0).map_or(0, |last| last + 1);
        self.text_scales.push(row.quantise(&values[..length], &mut self.text));
        self.text_lengths.push(length);
        let everything: f64 = row.values.iter().map(|value| f64::from(value.abs())).sum();
        self.selves.push(clamped(everything - row.sum_without_self()));
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

/// What stands for each token of text: a character that byte tokens make stands for the first of them, and nothing for the others.
pub(super) fn shown_texts(report: &Report<'_>) -> Vec<String> {
    let mut texts: Vec<String> =
        text_positions(report).iter().map(|&at| report.tokens[at].text.clone()).collect();
    for Character { tokens, text } in byte_characters(report) {
        texts[tokens.clone()].fill(String::new());
        texts[tokens.start] = text.to_string();
    }
    texts
}

/// The characters of byte tokens, as indices into the tokens of text.
pub(super) fn byte_characters(report: &Report<'_>) -> Vec<Character> {
    let texts = text_positions(report);
    characters(&texts.iter().map(|&at| report.tokens[at].text.as_str()).collect::<Vec<_>>())
}

/// Weights within 0 and 1 as bytes.
pub(super) fn weights<'a>(weights: impl Iterator<Item = &'a f32>) -> String {
    base64(weights.map(|weight| (weight * 255.0).round() as u8))
}

/// A row `[S]` of a target, whose self terms stand at the positions `selves`.
#[derive(Clone, Copy)]
struct Row<'a> {
    selves: &'a [usize],
    values: ArrayView1<'a, f32>,
    signed: bool,
}

impl Row<'_> {
    fn without_self(&self, position: usize) -> f32 {
        if self.selves.contains(&position) { 0.0 } else { self.values[position] }
    }

    /// Of the magnitudes.
    fn sum_without_self(&self) -> f64 {
        (0..self.values.len()).map(|position| f64::from(self.without_self(position).abs())).sum()
    }

    fn quantise(&self, values: &[f32], out: &mut Vec<u16>) -> f32 {
        if self.signed { quantise_signed(values, out) } else { quantise(values, out) }
    }
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

/// The same for values with signs, as two's complement; returns the largest magnitude.
fn quantise_signed(values: &[f32], out: &mut Vec<u16>) -> f32 {
    let largest = values.iter().map(|value| value.abs()).fold(0.0, f32::max);
    let per_value = if largest > 0.0 { SIGNED_STEPS / f64::from(largest) } else { 0.0 };
    let step = |value: &f32| ((f64::from(*value) * per_value).round() as i16).cast_unsigned();
    out.extend(values.iter().map(step));
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
    fn signs_are_kept() {
        let mut stored = Vec::new();
        let largest = quantise_signed(&[-2.0, 0.0, 1.0, 2.0], &mut stored);
        assert_eq!(largest.to_bits(), 2f32.to_bits());
        let read: Vec<i16> = stored.iter().map(|step| step.cast_signed()).collect();
        assert_eq!(read, [-32_767, 0, 16_384, 32_767]);
    }

    #[test]
    fn nothing_stays_nothing() {
        let mut stored = Vec::new();
        assert_eq!(quantise(&[0.0, 0.0], &mut stored).to_bits(), 0);
        assert_eq!(quantise(&[], &mut stored).to_bits(), 0);
        assert_eq!(stored, [0, 0]);
    }
}
