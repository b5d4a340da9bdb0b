//! From density to grey.

use crate::noise::grain;

/// The characteristic curve of the film: density to grey, steepest in the middle, never quite black or white.
#[inline]
pub(crate) fn develop(density: f32) -> f32 {
    let square = density * density;
    square / (square + 1.0)
}

/// Grain at a pixel. Few quanta come through what is dense, so grain grows with the grey value; it depends on the place and on
/// this value alone, so a twin has the same grain wherever it has the same density.
#[inline]
pub(crate) fn grained(grey: f32, amount: f32, seed: u64, [x, y]: [u32; 2]) -> f32 {
    let deviation = amount * (0.25 + grey * (1.6 - grey));
    (grey + deviation * grain(seed, x, y)).clamp(0.0, 1.0)
}

/// Deviation of the grain at a size: a larger pixel collects more quanta.
pub(crate) fn grain_at(size: u32) -> f32 {
    0.0045 + 0.0085 * (size as f32 / 896.0).sqrt().min(1.3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denser_is_whiter() {
        let greys: Vec<f32> = (0..50).map(|step| develop(step as f32 * 0.1)).collect();
        assert!(greys.windows(2).all(|pair| pair[0] < pair[1]) && greys[49] < 1.0);
    }
}
