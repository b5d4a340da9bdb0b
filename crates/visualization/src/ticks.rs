//! Where a colour bar or an axis has its ticks, and what they say.

/// A tick.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// 0 at the low end, 1 at the high end.
    pub(crate) position: f64,
    /// The value, divided by the power of ten that all of them share.
    pub(crate) label: String,
}

/// The ticks of one colour bar or axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ticks {
    /// From low to high.
    pub(crate) ticks: Vec<Tick>,
    /// `×10⁻⁵`, where labels are given in such units.
    pub(crate) unit: Option<String>,
}

impl Ticks {
    /// Ticks for values from zero to `max`, no more than `most` (at least two): round numbers, and the end itself to three
    /// digits. `exceeded` marks the end with ≥.
    pub(crate) fn new(max: f32, exceeded: bool, most: usize) -> Self {
        let sign = if exceeded { "≥" } else { "" };
        if max <= 0.0 {
            let label = format!("{sign}0");
            return Self { ticks: vec![Tick { position: 0.0, label }], unit: None };
        }
        let max = f64::from(max);
        let exponent = unit_exponent(max);
        let end = max / 10f64.powi(exponent);
        let step = round_step(end, most.max(2));
        let decimals = decimals_of(step);
        // A round tick so close to the end that the labels would touch is left out.
        let round = (0..)
            .map(|i| f64::from(i) * step)
            .take_while(|value| *value <= end - 0.6 * end / most.max(2) as f64)
            .map(|value| Tick { position: value / end, label: label(value, decimals) });
        let last = Tick { position: 1.0, label: format!("{sign}{}", three_digits(end)) };
        let unit = (exponent != 0).then(|| format!("×10{}", superscript(exponent)));
        Self { ticks: round.chain([last]).collect(), unit }
    }

    /// Ticks for values from −`max` to `max`: those of [`Ticks::new`] for half as many, on both sides of zero.
    pub(crate) fn diverging(max: f32, exceeded: bool, most: usize) -> Self {
        let Self { ticks, unit } = Self::new(max, exceeded, most / 2);
        let negative = ticks.iter().rev().filter(|tick| tick.position > 0.0).map(|tick| Tick {
            position: 0.5 - 0.5 * tick.position,
            label: match tick.label.strip_prefix('≥') {
                Some(end) => format!("≤−{end}"),
                None => format!("−{}", tick.label),
            },
        });
        let positive = ticks
            .iter()
            .map(|tick| Tick { position: 0.5 + 0.5 * tick.position, label: tick.label.clone() });
        Self { ticks: negative.chain(positive).collect(), unit }
    }

    /// Round numbers from `low` to `high`, with no more than `most` steps (at least two) between them. The two must be finite, and
    /// further apart than a millionth of the larger.
    pub(crate) fn between([low, high]: [f64; 2], most: usize) -> Self {
        let exponent = unit_exponent(low.abs().max(high.abs()));
        let [low, high] = [low, high].map(|end| end / 10f64.powi(exponent));
        let step = round_step(high - low, most.max(2));
        let decimals = decimals_of(step);
        // An end that is a round number has a tick, whatever its last binary digit is.
        let [first, last] = [(low / step - 1e-6).ceil(), (high / step + 1e-6).floor()];
        let ticks = (first as i64..=last as i64).map(|i| {
            let value = i as f64 * step;
            let position = ((value - low) / (high - low)).clamp(0.0, 1.0);
            Tick { position, label: label(value, decimals).replace('-', "−") }
        });
        let unit = (exponent != 0).then(|| format!("×10{}", superscript(exponent)));
        Self { ticks: ticks.collect(), unit }
    }
}

/// A number to three digits: `0.0123`, `1.23×10⁻⁵`, `0`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || !size.is_finite() {
        return format!("{value}").replace('-', "−");
    }
    let sign = if value < 0.0 { "−" } else { "" };
    match unit_exponent(size) {
        0 => format!("{sign}{}", three_digits(size)),
        exponent => {
            let digits = three_digits(size / 10f64.powi(exponent));
            format!("{sign}{digits}×10{}", superscript(exponent))
        }
    }
}

/// 0 for numbers that read well as they are, the decimal exponent for the others.
fn unit_exponent(max: f64) -> i32 {
    let exponent = max.log10().floor() as i32;
    if (-3..4).contains(&exponent) { 0 } else { exponent }
}

/// The smallest of 1, 2, 2.5, 5, 10 times a power of ten that needs at most `most` steps.
fn round_step(end: f64, most: usize) -> f64 {
    let raw = end / most as f64;
    let power = 10f64.powi(raw.log10().floor() as i32);
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|f| f * power >= raw).unwrap_or(10.0);
    factor * power
}

/// Decimals that show every multiple of `step` exactly.
fn decimals_of(step: f64) -> usize {
    (0..9).find(|d| is_whole(step * 10f64.powi(*d))).unwrap_or(9) as usize
}

fn is_whole(x: f64) -> bool {
    (x - x.round()).abs() < 1e-6
}

fn label(value: f64, decimals: usize) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.decimals$}") }
}

/// Three significant digits.
fn three_digits(value: f64) -> String {
    // The exponent after rounding: 0.009999 is 0.0100.
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    let decimals = (2 - rounded.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

fn superscript(exponent: i32) -> String {
    let digit = |c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' => '⁰',
        c => char::from_u32('⁴' as u32 + (c as u32 - '4' as u32)).unwrap_or(c),
    };
    exponent.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(max: f32, most: usize) -> (Vec<String>, Option<String>) {
        let Ticks { ticks, unit } = Ticks::new(max, false, most);
        (ticks.into_iter().map(|t| t.label).collect(), unit)
    }

    #[test]
    fn labels_are_round_and_the_end_is_stated() {
        assert_eq!(labels(0.0137, 6).0, ["0", "0.0025", "0.0050", "0.0075", "0.0100", "0.0137"]);
        assert_eq!(labels(1.0, 5).0, ["0", "0.2", "0.4", "0.6", "0.8", "1.00"]);
        assert_eq!(labels(1234.5, 4).0, ["0", "500", "1000", "1234"]);
    }

    #[test]
    fn small_and_large_values_share_a_power_of_ten() {
        assert_eq!(
            labels(3.2e-5, 4),
            (vec!["0".into(), "1".into(), "2".into(), "3.20".into()], Some("×10⁻⁵".into()))
        );
        assert_eq!(labels(6.5e15, 2).1, Some("×10¹⁵".into()));
        assert_eq!(labels(f32::from_bits(1), 4).1, Some("×10⁻⁴⁵".into()));
        assert_eq!(labels(f32::MAX, 4).1, Some("×10³⁸".into()));
    }

    #[test]
    fn nothing_and_too_much() {
        assert_eq!(labels(0.0, 5), (vec!["0".into()], None));
        let ticks = Ticks::new(0.5, true, 5).ticks;
        assert_eq!(ticks.last().unwrap().label, "≥0.500");
    }

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.0123, -1.234e-5, 0.0, 65.02, f64::from(0.01_f32)].map(short);
        assert_eq!(numbers, ["0.0123", "−1.23×10⁻⁵", "0", "65.0", "0.0100"]);
    }

    #[test]
    fn a_diverging_bar_is_symmetric_about_zero() {
        let ticks = Ticks::diverging(0.5, true, 6).ticks;
        assert_eq!((ticks[0].label.as_str(), ticks[0].position), ("≤−0.500", 0.0));
        assert_eq!(ticks.iter().map(|t| t.label.as_str()).nth(ticks.len() / 2), Some("0"));
        assert_eq!(ticks.len() % 2, 1);
        assert_eq!(Ticks::diverging(0.0, false, 6).ticks.len(), 1);
    }

    #[test]
    fn an_axis_has_round_numbers() {
        let labels = |axis| {
            let Ticks { ticks, unit } = Ticks::between(axis, 4);
            (ticks.into_iter().map(|t| (t.label, t.position)).collect::<Vec<_>>(), unit)
        };
        let tick = |label: &str, position| (label.to_owned(), position);
        let (found, unit) = labels([-0.25, 0.75]);
        assert_eq!(found[0], tick("−0.25", 0.0));
        assert_eq!(found[1..3], [tick("0", 0.25), tick("0.25", 0.5)]);
        assert_eq!((found.len(), unit), (5, None));
        assert_eq!(labels([3.0, 98.0]).0.len(), 3, "25, 50, 75");
        assert_eq!(labels([0.0, 2e-5]).1, Some("×10⁻⁵".into()));
        for axis in [
            [-f64::MAX / 4.0, f64::MAX / 4.0],
            [0.0, f64::MIN_POSITIVE],
            [1.0, 1.0 + 1e-6],
            [-1e300, -0.999_999e300],
        ] {
            let found = labels(axis).0;
            assert!((1..=5).contains(&found.len()), "{axis:?} {found:?}");
        }
    }

    #[test]
    fn positions_fit_the_values_and_never_crowd() {
        for (max, most) in [(0.0137_f32, 6), (7.77, 3), (99.9, 8), (1e-30, 2), (0.001, 12)] {
            let ticks = Ticks::new(max, false, most).ticks;
            assert!(ticks.len() <= most + 1, "{max} {ticks:?}");
            let gaps = ticks.windows(2).map(|w| w[1].position - w[0].position);
            assert!(gaps.fold(f64::INFINITY, f64::min) > 0.55 / most as f64, "{max} {ticks:?}");
            assert_eq!((ticks[0].position, ticks.last().unwrap().position), (0.0, 1.0));
        }
    }
}
