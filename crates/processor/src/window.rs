//! 16-bit grey to 8 bits: the window is given or chosen, applied once, and remembered.

use image::{GrayImage, ImageBuffer, Luma};

use crate::Error;

/// Which grey values of a 16-bit picture become black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Window {
    /// From the smallest value that occurs to the largest.
    MinMax,
    /// Between two percentiles of the values, `0.0..=100.0`: the smallest value that at least so many are not above.
    Percentile(f64, f64),
    /// Between two values.
    Range {
        /// This and less is black.
        low: u16,
        /// This and more is white.
        high: u16,
    },
}

impl Window {
    /// What is chosen, with a warning, where none is given.
    pub const DEFAULT: Self = Self::Percentile(0.5, 99.5);
}

/// The window that was applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AppliedWindow {
    /// The rule.
    pub window: Window,
    /// The value that became black.
    pub low: u16,
    /// The value that became white. Equal to `low` where the picture has one value only; then all is black.
    pub high: u16,
    /// Whether the rule was chosen here, and not by the user.
    pub chosen: bool,
}

/// 16-bit grey samples.
pub(crate) type Grey16 = ImageBuffer<Luma<u16>, Vec<u16>>;

/// `round((v − low) / (high − low) · 255)`, clipped.
pub(crate) fn apply(
    picture: &Grey16,
    given: Option<Window>,
) -> Result<(GrayImage, AppliedWindow), Error> {
    let window = given.unwrap_or(Window::DEFAULT);
    let (low, high) = ends(picture.as_raw(), window)?;
    let table = table(low, high);
    let bytes = picture.as_raw().iter().map(|&value| table[usize::from(value)]).collect();
    // One byte per sample, so the length always fits.
    let grey = GrayImage::from_raw(picture.width(), picture.height(), bytes)
        .expect("as many bytes as samples");
    Ok((grey, AppliedWindow { window, low, high, chosen: given.is_none() }))
}

fn ends(values: &[u16], window: Window) -> Result<(u16, u16), Error> {
    match window {
        Window::Range { low, high } if low < high => Ok((low, high)),
        Window::Range { low, high } => Err(Error::Window { low: low.into(), high: high.into() }),
        Window::MinMax => Ok(percentiles(values, 0.0, 100.0)),
        Window::Percentile(low, high) if 0.0 <= low && low < high && high <= 100.0 => {
            Ok(percentiles(values, low, high))
        }
        Window::Percentile(low, high) => Err(Error::Window { low, high }),
    }
}

/// Nearest-rank percentiles by counting.
fn percentiles(values: &[u16], low: f64, high: f64) -> (u16, u16) {
    let mut counts = vec![0_usize; 1 << 16];
    for &value in values {
        counts[usize::from(value)] += 1;
    }
    let at = |percent: f64| {
        let rank = ((percent / 100.0 * values.len() as f64).ceil() as usize).max(1);
        let mut seen = 0;
        let reached = counts.iter().position(|&count| {
            seen += count;
            seen >= rank
        });
        reached.unwrap_or(usize::from(u16::MAX)) as u16
    };
    (at(low), at(high))
}

fn table(low: u16, high: u16) -> Vec<u8> {
    let width = f64::from(high.saturating_sub(low)).max(1.0);
    let byte = |value: u16| ((f64::from(value) - f64::from(low)) / width * 255.0).round();
    (0..=u16::MAX)
        .map(|value| if low == high { 0 } else { byte(value).clamp(0.0, 255.0) as u8 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(values: &[u16]) -> Grey16 {
        Grey16::from_raw(values.len() as u32, 1, values.to_vec()).unwrap()
    }

    #[test]
    fn a_range_is_clipped_and_rounded() {
        let window = Window::Range { low: 100, high: 200 };
        let (grey, applied) = apply(&picture(&[0, 100, 150, 200, 65_535]), Some(window)).unwrap();
        assert_eq!(grey.as_raw(), &[0, 0, 128, 255, 255]);
        assert_eq!((applied.low, applied.high, applied.chosen), (100, 200, false));
    }

    #[test]
    fn percentiles_leave_out_the_rare() {
        let mut values: Vec<u16> = (0..1000).map(|i| 1000 + i % 100).collect();
        values[0] = 0;
        values[1] = 65_535;
        let (_, applied) = apply(&picture(&values), None).unwrap();
        assert!(applied.chosen);
        assert_eq!((applied.low, applied.high), (1000, 1099));
        let (_, applied) = apply(&picture(&values), Some(Window::MinMax)).unwrap();
        assert_eq!((applied.low, applied.high), (0, 65_535));
    }

    #[test]
    fn a_flat_picture_is_black_and_a_wrong_window_an_error() {
        assert_eq!(apply(&picture(&[7, 7]), None).unwrap().0.as_raw(), &[0, 0]);
        for wrong in [
            Window::Range { low: 5, high: 5 },
            Window::Percentile(50.0, 10.0),
            Window::Percentile(f64::NAN, 10.0),
            Window::Percentile(0.0, 101.0),
        ] {
            assert!(matches!(apply(&picture(&[7]), Some(wrong)), Err(Error::Window { .. })));
        }
    }
}
