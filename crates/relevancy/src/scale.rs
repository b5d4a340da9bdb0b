//! Bringing values to a common range, beside the raw ones and never in their place.

use ndarray::{Array, ArrayView, Dimension};

use crate::{Error, ErrorKind};

/// A line `x ↦ (x − offset)/range` fitted to some values and applied to any.
///
/// Fit once and apply to many: maps of several images, or of several words, then share one scale and can be compared.
///
/// ```
/// use attention_relevancy::{Scale, ndarray::array};
///
/// let (one, other) = (array![[0.0, 1.0]], array![[2.0, 4.0]]);
/// let scale = Scale::min_max(one.iter().chain(&other).copied())?;
/// assert_eq!(scale.apply(one.view()), array![[0.0, 0.25]]);
/// assert_eq!(scale.apply(other.view()), array![[0.5, 1.0]]);
/// # Ok::<(), attention_relevancy::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    offset: f64,
    range: f64,
}

impl Scale {
    /// Takes the smallest value to 0 and the largest to 1.
    ///
    /// Fails with [`ErrorKind::NoValues`], [`ErrorKind::NotFinite`], or [`ErrorKind::Flat`] if all values are equal.
    pub fn min_max(values: impl IntoIterator<Item = f32>) -> Result<Self, Error> {
        let values = finite(values)?;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self::new(least, most - least)
    }

    /// Divides by the sum: shares of the whole.
    ///
    /// Fails with [`ErrorKind::NoValues`], [`ErrorKind::NotFinite`], or [`ErrorKind::Flat`] if the sum is not above zero.
    pub fn sum(values: impl IntoIterator<Item = f32>) -> Result<Self, Error> {
        Self::new(0.0, finite(values)?.iter().sum())
    }

    /// Divides by the quantile `q`, between 0 and 1, of the values: with 0.995 a few extreme cells do not darken all others.
    /// Values above it come out above 1. Between two values the quantile is interpolated, as numpy does.
    ///
    /// Fails with [`ErrorKind::NoValues`], [`ErrorKind::NotFinite`], [`ErrorKind::Quantile`], or [`ErrorKind::Flat`] if the quantile is not above
    /// zero, as for a map with one bright cell; [`Scale::min_max`] shows such a one.
    pub fn quantile(values: impl IntoIterator<Item = f32>, q: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&q) {
            return Err(ErrorKind::Quantile { found: q }.into());
        }
        let mut values = finite(values)?;
        values.sort_unstable_by(f64::total_cmp);
        Self::new(0.0, interpolate(&values, q))
    }

    /// The scaled values, in a new array.
    pub fn apply<D: Dimension>(&self, values: ArrayView<'_, f32, D>) -> Array<f32, D> {
        values.mapv(|value| self.value(value))
    }

    /// The scaled values cut to 0…1, in a new array: what a colour map takes.
    pub fn apply_clamped<D: Dimension>(&self, values: ArrayView<'_, f32, D>) -> Array<f32, D> {
        values.mapv(|value| self.value(value).clamp(0.0, 1.0))
    }

    /// One scaled value.
    pub fn value(&self, value: f32) -> f32 {
        ((f64::from(value) - self.offset) / self.range) as f32
    }

    /// The raw value that is scaled to 0.
    pub fn offset(&self) -> f64 {
        self.offset
    }

    /// What raw differences are divided by; `offset + range` is scaled to 1.
    pub fn range(&self) -> f64 {
        self.range
    }

    fn new(offset: f64, range: f64) -> Result<Self, Error> {
        if range <= 0.0 {
            return Err(ErrorKind::Flat { range }.into());
        }
        Ok(Self { offset, range })
    }
}

/// The values in double precision, at least one and all finite.
fn finite(values: impl IntoIterator<Item = f32>) -> Result<Vec<f64>, Error> {
    let check = |value: f32| {
        if value.is_finite() { Ok(f64::from(value)) } else { Err(ErrorKind::NotFinite { value }) }
    };
    let values: Vec<f64> = values.into_iter().map(check).collect::<Result<_, _>>()?;
    if values.is_empty() { Err(ErrorKind::NoValues.into()) } else { Ok(values) }
}

/// The quantile `q` of sorted values, linear between neighbours.
fn interpolate(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    #[test]
    fn each_rule_by_hand() {
        let raw = array![1.0, 3.0, 0.0, 4.0];
        let scaled = |scale: Result<Scale, Error>| scale.unwrap().apply(raw.view());
        assert_eq!(scaled(Scale::min_max(raw.iter().copied())), array![0.25, 0.75, 0.0, 1.0]);
        assert_eq!(scaled(Scale::sum(raw.iter().copied())), array![0.125, 0.375, 0.0, 0.5]);
        assert_eq!(scaled(Scale::quantile(raw.iter().copied(), 0.5)), array![0.5, 1.5, 0.0, 2.0]);
        let clamped = Scale::quantile(raw.iter().copied(), 0.5).unwrap().apply_clamped(raw.view());
        assert_eq!(clamped, array![0.5, 1.0, 0.0, 1.0]);
        assert_eq!(raw, array![1.0, 3.0, 0.0, 4.0]);
    }

    #[test]
    fn quantile_interpolates() {
        let values = Array1::from_iter((0..256).map(|i| i as f32));
        let scale = Scale::quantile(values.iter().copied(), 0.995).unwrap();
        approx::assert_relative_eq!(scale.range(), 253.725, max_relative = 1e-12); // numpy.quantile(arange(256), 0.995)
        assert_eq!(scale.offset().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn what_cannot_be_scaled_is_told() {
        assert_eq!(Scale::min_max([]), Err(ErrorKind::NoValues.into()));
        assert_eq!(Scale::min_max([2.0, 2.0]), Err(ErrorKind::Flat { range: 0.0 }.into()));
        assert_eq!(
            Scale::sum([1.0, f32::INFINITY]),
            Err(ErrorKind::NotFinite { value: f32::INFINITY }.into())
        );
        assert_eq!(Scale::sum([1.0, -2.0]), Err(ErrorKind::Flat { range: -1.0 }.into()));
        assert_eq!(Scale::quantile([1.0], 1.5), Err(ErrorKind::Quantile { found: 1.5 }.into()));
        assert!(Scale::quantile([1.0], f64::NAN).is_err());
        assert_eq!(
            Scale::quantile([0.0, 0.0, 0.0, 9.0], 0.5),
            Err(ErrorKind::Flat { range: 0.0 }.into())
        );
    }
}
