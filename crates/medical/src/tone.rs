//! From values to 8 bits: straight lines, an S, a table; the arithmetic is that of the program whose recipe it is.

use crate::{Channel, ChannelWindow, Recipe, WindowOrigin, WindowShape};

/// How bytes come of values. All round halves to even, as `NumPy` does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Curve {
    /// `(v − low) / (high − low) · 255`, in double precision.
    Line { low: f64, high: f64 },
    /// The same in single precision, as the notebook computes it.
    Single { low: f64, high: f64 },
    /// `(v − low) · (255 / (high − low))`, as `numpy.interp` computes it for the server.
    Interp { low: f64, high: f64 },
    /// `255 / (1 + exp(−4 (v − centre) / width))` (PS3.3 C.11.2.1.3.1).
    #[cfg_attr(not(feature = "dicom"), allow(dead_code, reason = "NIfTI has none"))]
    Sigmoid { centre: f64, width: f64 },
    /// The table's byte at the rounded value; its ends beyond them.
    Table { first: f64, bytes: Vec<u8> },
}

impl Curve {
    pub(crate) fn byte(&self, value: f64) -> u8 {
        match self {
            Self::Line { low, high } => {
                byte((clip(value, *low, *high) - low) / (high - low) * 255.0)
            }
            Self::Single { low, high } => {
                let part = (clip(value, *low, *high) as f32 - *low as f32) / (high - low) as f32;
                byte(f64::from(part * 255.0))
            }
            Self::Interp { low, high } => {
                byte((clip(value, *low, *high) - low) * (255.0 / (high - low)))
            }
            Self::Sigmoid { centre, width } => {
                byte(255.0 / (1.0 + (-4.0 * (value - centre) / width).exp()))
            }
            Self::Table { first, bytes } => {
                let place = (value - first).round_ties_even().clamp(0.0, bytes.len() as f64 - 1.0);
                bytes[place as usize]
            }
        }
    }

    /// Its lowest and highest value, and its shape, for the record.
    fn ends(&self) -> (f64, f64, WindowShape) {
        match self {
            Self::Line { low, high } | Self::Single { low, high } | Self::Interp { low, high } => {
                (*low, *high, WindowShape::Linear)
            }
            Self::Sigmoid { centre, width } => {
                (centre - width / 2.0, centre + width / 2.0, WindowShape::Sigmoid)
            }
            Self::Table { first, bytes } => {
                (*first, first + bytes.len() as f64 - 1.0, WindowShape::Table)
            }
        }
    }

    /// This curve as the window of a channel.
    pub(crate) fn window(
        &self,
        channel: Channel,
        unit: &str,
        origin: WindowOrigin,
    ) -> ChannelWindow {
        let (low, high, shape) = self.ends();
        ChannelWindow { channel, shape, ..ChannelWindow::grey(low, high, unit, origin) }
    }
}

/// Curves of all channels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tone {
    Grey(Curve),
    Colours([Curve; 3]),
}

impl Tone {
    /// Three windows of HU, in the arithmetic of the recipe's program.
    pub(crate) fn of_ct(recipe: Recipe) -> Self {
        let windows = recipe.channel_windows().unwrap_or([(-1024.0, 1024.0); 3]);
        Self::Colours(windows.map(|(low, high)| match recipe {
            Recipe::CtServer => Curve::Interp { low, high },
            _ => Curve::Single { low, high },
        }))
    }

    pub(crate) fn bytes(&self, value: f64) -> [u8; 3] {
        match self {
            Self::Grey(curve) => [curve.byte(value); 3],
            Self::Colours(curves) => [0, 1, 2].map(|i| curves[i].byte(value)),
        }
    }

    /// The windows of the record.
    pub(crate) fn windows(&self, unit: &str, origin: WindowOrigin) -> Vec<ChannelWindow> {
        match self {
            Self::Grey(curve) => vec![curve.window(Channel::Grey, unit, origin)],
            Self::Colours(curves) => [Channel::Red, Channel::Green, Channel::Blue]
                .into_iter()
                .zip(curves)
                .map(|(channel, curve)| curve.window(channel, unit, origin))
                .collect(),
        }
    }
}

/// The line from the least to the greatest value. Where they are one, all of that value is white, as the server has it.
pub(crate) fn full_range(low: f64, high: f64) -> Curve {
    if low < high {
        Curve::Line { low, high }
    } else {
        Curve::Table { first: low, bytes: vec![255] }
    }
}

fn clip(value: f64, low: f64, high: f64) -> f64 {
    value.clamp(low, high)
}

fn byte(value: f64) -> u8 {
    // A value that is no number becomes black.
    value.round_ties_even().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_to_even() {
        for curve in [
            Curve::Single { low: -135.0, high: 215.0 },
            Curve::Line { low: -135.0, high: 215.0 },
            Curve::Interp { low: -135.0, high: 215.0 },
        ] {
            // 35/350 · 255 = 25.5 and 105/350 · 255 = 76.5.
            assert_eq!(
                [-200.0, -100.0, -30.0, 215.0, 900.0].map(|v| curve.byte(v)),
                [0, 26, 76, 255, 255]
            );
        }
        let wide = Curve::Single { low: -1024.0, high: 1024.0 };
        assert_eq!([-1024.0, 0.0, 1023.0].map(|v| wide.byte(v)), [0, 128, 255]);
    }

    #[test]
    fn all_bytes_are_those_of_numpy() {
        // Sums of byte · place over −1100…1099, from NumPy 2.4 with the lines of the notebook and of the server.
        let sum = |curve: Curve| -> i64 {
            (0..2200).map(|i| i * i64::from(curve.byte(i as f64 - 1100.0))).sum()
        };
        assert_eq!(sum(Curve::Single { low: -1024.0, high: 1024.0 }), 417_986_074);
        assert_eq!(sum(Curve::Single { low: -135.0, high: 215.0 }), 449_819_670);
        assert_eq!(sum(Curve::Single { low: 0.0, high: 80.0 }), 451_053_120);
        assert_eq!(sum(Curve::Interp { low: -1024.0, high: 1024.0 }), 417_986_074);
        assert_eq!(sum(Curve::Interp { low: 135.0, high: 215.0 }), 409_485_000);
    }

    #[test]
    fn an_s_and_a_table() {
        let s = Curve::Sigmoid { centre: 100.0, width: 40.0 };
        // 255 / (1 + e²) = 30.4 and 255 / (1 + e⁻²) = 224.6.
        assert_eq!([80.0, 100.0, 120.0].map(|v| s.byte(v)), [30, 128, 225]);
        let table = Curve::Table { first: 10.0, bytes: vec![1, 5, 9] };
        assert_eq!([-4.0, 10.0, 11.2, 40.0].map(|v| table.byte(v)), [1, 1, 5, 9]);
        assert_eq!(full_range(3.0, 3.0).byte(3.0), 255);
        assert_eq!(Curve::Line { low: 0.0, high: 1.0 }.byte(f64::NAN), 0);
    }
}
