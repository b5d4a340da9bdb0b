//! Functions of one number, made once and read per pixel.

/// How many points a curve is kept at: enough that no step is seen at the largest size.
const POINTS: usize = 1024;

/// A function over a range, kept at equal distances and read with linear interpolation; constant beyond the range.
pub(crate) struct Curve {
    from: f32,
    per_unit: f32,
    values: Vec<f32>,
}

impl Curve {
    pub(crate) fn new(from: f32, to: f32, function: impl Fn(f32) -> f32) -> Self {
        let step = (to - from) / (POINTS - 1) as f32;
        let values = (0..POINTS).map(|i| function(from + step * i as f32)).collect();
        Self { from, per_unit: 1.0 / step, values }
    }

    /// 1 / √(1 + f′²): turns a distance along the other axis into one across the curve.
    pub(crate) fn steepness(&self) -> Self {
        let slope = |i: usize| {
            let (low, high) = (i.saturating_sub(1), (i + 1).min(POINTS - 1));
            (self.values[high] - self.values[low]) * self.per_unit / (high - low) as f32
        };
        let values = (0..POINTS).map(|i| 1.0 / (1.0 + slope(i) * slope(i)).sqrt()).collect();
        Self { values, ..*self }
    }

    #[inline]
    pub(crate) fn at(&self, x: f32) -> f32 {
        let place = ((x - self.from) * self.per_unit).clamp(0.0, (POINTS - 1) as f32);
        let index = (place as usize).min(POINTS - 2);
        let (low, high) = (self.values[index], self.values[index + 1]);
        low + (high - low) * (place - index as f32)
    }
}

/// 0 below 0, 1 above 1, smooth between.
#[inline]
pub(crate) fn smooth(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// A soft step of the given width where `distance` passes 0: 0 outside, below it, and 1 inside.
#[inline]
pub(crate) fn inside(distance: f32, width: f32) -> f32 {
    smooth(distance / width + 0.5)
}

#[inline]
pub(crate) fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_follows_its_function() {
        let curve = Curve::new(-1.0, 2.0, |x| x * x);
        assert!([-1.0, -0.3, 0.0, 1.234, 2.0].iter().all(|x| (curve.at(*x) - x * x).abs() < 1e-5));
        assert!((curve.at(5.0) - 4.0).abs() < 1e-6 && (curve.at(-5.0) - 1.0).abs() < 1e-6);
        assert!((curve.steepness().at(1.0) - 0.2f32.sqrt()).abs() < 1e-3);
    }

    #[test]
    fn a_step_is_half_at_the_edge() {
        assert!((inside(0.0, 0.1) - 0.5).abs() < 1e-6);
        assert!(inside(-0.05, 0.1) <= 0.0 && inside(0.05, 0.1) >= 1.0);
    }
}
