//! Randomness that belongs to a place: the same place has the same value, whatever is drawn around it.

/// Mixes the bits of a number (the finaliser of `MurmurHash3`, by Austin Appleby, public domain).
#[inline]
fn scramble(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

#[inline]
fn at(seed: u64, x: i32, y: i32) -> u64 {
    let place = (u64::from(x as u32) << 32) | u64::from(y as u32);
    scramble(place.wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// Grain of one pixel: close to a normal distribution of deviation 1, within ±3.5.
#[inline]
pub(crate) fn grain(seed: u64, x: u32, y: u32) -> f32 {
    let bits = at(seed, x as i32, y as i32);
    let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
    // Four uniform numbers have a variance of 4/12.
    (sum as f32 / 65535.0 - 2.0) * 1.732_050_8
}

/// Smooth hills and valleys, from −1 to 1, one per unit or so.
#[inline]
pub(crate) fn hills(seed: u64, x: f32, y: f32) -> f32 {
    let (i, j) = (floor(x), floor(y));
    let (left, top) = (i as f32, j as f32);
    let corner = |i, j| (at(seed, i, j) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let (s, t) = (ease(x - left), ease(y - top));
    let above = corner(i, j) + (corner(i + 1, j) - corner(i, j)) * s;
    let below = corner(i, j + 1) + (corner(i + 1, j + 1) - corner(i, j + 1)) * s;
    above + (below - above) * t
}

/// `f32::floor` is a call into the system's library on the plain x86-64 that releases are built for.
#[inline]
fn floor(x: f32) -> i32 {
    let whole = x as i32;
    whole - i32::from((whole as f32) > x)
}

#[inline]
fn ease(x: f32) -> f32 {
    x * x * (3.0 - 2.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grain_has_mean_0_and_deviation_1() {
        let values: Vec<f32> = (0..10_000).map(|i| grain(5, i % 100, i / 100)).collect();
        let mean = values.iter().sum::<f32>() / 1e4;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / 1e4;
        // Four standard errors of 10 000 values.
        assert!(mean.abs() < 0.04 && (variance - 1.0).abs() < 0.06, "{mean} {variance}");
    }

    #[test]
    fn hills_are_continuous() {
        for step in 0..1000 {
            let x = step as f32 * 0.01 - 5.0;
            assert!((hills(1, x, 0.3) - hills(1, x + 0.001, 0.3)).abs() < 0.01);
            assert!(hills(1, x, 0.3).abs() <= 1.0);
        }
    }
}
