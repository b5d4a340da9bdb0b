//! Antialiased bilinear resizing of 8-bit pictures, bit-equal to torchvision and to Pillow.
//!
//! Both work in integers, one axis after the other, with bytes in between. They differ in how finely the weights
//! are rounded and, since Pillow 13, in which axis comes first. A float resize rounded once at the end differs
//! from either by one on a tenth of the bytes, and no crate at hand equals them.

use std::fmt;

use image::RgbImage;
use rayon::prelude::*;

use crate::Error;

/// Whose arithmetic resizes the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Resize {
    /// torchvision's `resize(uint8, bilinear, antialias)` on a CPU: what transformers 5 does.
    #[default]
    TorchVision,
    /// Pillow 13's `BILINEAR`: what transformers up to 4.57 did, with the Pillow of today.
    Pillow,
}

/// The name in lower case: `torchvision`, `pillow`.
impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TorchVision => "torchvision",
            Self::Pillow => "pillow",
        })
    }
}

/// `picture` at another size; bilinear, antialiased when shrinking.
///
/// # Errors
/// [`Error::ZeroSize`] when a side of the picture or of the result is zero.
pub fn resize(
    picture: &RgbImage,
    [width, height]: [u32; 2],
    how: Resize,
) -> Result<RgbImage, Error> {
    for (name, [w, h]) in [
        ("picture to resize", [picture.width(), picture.height()]),
        ("resized picture", [width, height]),
    ] {
        if w == 0 || h == 0 {
            return Err(Error::ZeroSize { name: name.into(), width: w, height: h });
        }
    }
    Ok(if vertical_first(picture, [width, height], how) {
        horizontal(&vertical(picture, height, how), width, how)
    } else {
        vertical(&horizontal(picture, width, how), height, how)
    })
}

/// Pillow 13 starts with the rows when they shrink by more than twice what the columns do.
fn vertical_first(picture: &RgbImage, [width, height]: [u32; 2], how: Resize) -> bool {
    let shrink_x = i64::from(picture.width()) - i64::from(width);
    let shrink_y = i64::from(picture.height()) - i64::from(height);
    how == Resize::Pillow && shrink_y > 0 && shrink_y > 2 * shrink_x
}

fn horizontal(picture: &RgbImage, width: u32, how: Resize) -> RgbImage {
    if picture.width() == width {
        return picture.clone();
    }
    let kernel = Kernel::new(picture.width() as usize, width as usize, how);
    let mut out = RgbImage::new(width, picture.height());
    let from = picture.as_raw().par_chunks_exact(3 * picture.width() as usize);
    let to = out.par_chunks_exact_mut(3 * width as usize);
    to.zip(from).for_each(|(to, from)| kernel.row(from, to));
    out
}

fn vertical(picture: &RgbImage, height: u32, how: Resize) -> RgbImage {
    if picture.height() == height {
        return picture.clone();
    }
    let kernel = Kernel::new(picture.height() as usize, height as usize, how);
    let stride = 3 * picture.width() as usize;
    let mut out = RgbImage::new(picture.width(), height);
    out.par_chunks_exact_mut(stride)
        .zip(&kernel.taps)
        .for_each(|(to, taps)| kernel.blend_rows(picture.as_raw(), taps, to));
    out
}

/// The integer weights of one axis.
struct Kernel {
    /// Weights are multiples of `2^-bits`.
    bits: u32,
    taps: Vec<Taps>,
}

/// What makes one output position: inputs from `start` on with their weights.
struct Taps {
    start: usize,
    weights: Vec<i32>,
}

impl Kernel {
    fn new(n_in: usize, n_out: usize, how: Resize) -> Self {
        let exact: Vec<_> = (0..n_out).map(|o| triangle(n_in, n_out, o)).collect();
        let bits = match how {
            Resize::Pillow => 22,
            Resize::TorchVision => i16_bits(exact.iter().flat_map(|(_, weights)| weights)),
        };
        let scale = f64::from(1_u32 << bits);
        let integer = |w: &f64| (0.5 + w * scale) as i32;
        let taps = exact
            .iter()
            .map(|(start, w)| Taps { start: *start, weights: w.iter().map(integer).collect() });
        Self { bits, taps: taps.collect() }
    }

    /// One row of RGB pixels, horizontally.
    fn row(&self, from: &[u8], to: &mut [u8]) {
        for (pixel, taps) in to.chunks_exact_mut(3).zip(&self.taps) {
            let mut sums = [1_i32 << (self.bits - 1); 3];
            for (input, &weight) in from[3 * taps.start..].chunks_exact(3).zip(&taps.weights) {
                for (sum, &byte) in sums.iter_mut().zip(input) {
                    *sum += i32::from(byte) * weight;
                }
            }
            for (byte, sum) in pixel.iter_mut().zip(sums) {
                *byte = (sum >> self.bits).clamp(0, 255) as u8;
            }
        }
    }

    /// One output row as the weighted sum of input rows.
    fn blend_rows(&self, from: &[u8], taps: &Taps, to: &mut [u8]) {
        let stride = to.len();
        let mut sums = vec![1_i32 << (self.bits - 1); stride];
        let rows = from[stride * taps.start..].chunks_exact(stride);
        for (row, &weight) in rows.zip(&taps.weights) {
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += i32::from(byte) * weight;
            }
        }
        for (byte, sum) in to.iter_mut().zip(sums) {
            *byte = (sum >> self.bits).clamp(0, 255) as u8;
        }
    }
}

/// The triangle filter at output position `o`: first input and weights that sum to one.
fn triangle(n_in: usize, n_out: usize, o: usize) -> (usize, Vec<f64>) {
    let scale = n_in as f64 / n_out as f64;
    let support = scale.max(1.0);
    let center = (o as f64 + 0.5) * scale;
    let lo = (center - support + 0.5).max(0.0) as usize;
    let hi = ((center + support + 0.5) as usize).min(n_in);
    let weight = |i: usize| {
        let distance = (i as f64 - center + 0.5) * (1.0 / support);
        (1.0 - distance.abs()).max(0.0)
    };
    let weights: Vec<f64> = (lo..hi).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    (lo, weights.iter().map(|w| w / sum).collect())
}

/// torchvision keeps weights in 16 bits: the finest step at which the largest still fits, at most `2^-22`.
fn i16_bits<'a>(weights: impl Iterator<Item = &'a f64>) -> u32 {
    let largest = weights.fold(0.0_f64, |a, &b| a.max(b));
    let fits = |bits: &u32| 0.5 + largest * f64::from(1_u32 << bits) < 32_768.0;
    (1..=22).rev().find(fits).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_plain_picture_stays_plain(
            [w, h, ow, oh] in proptest::array::uniform4(1_u32..40), value: u8, pillow: bool
        ) {
            let how = if pillow { Resize::Pillow } else { Resize::TorchVision };
            let plain = RgbImage::from_pixel(w, h, image::Rgb([value; 3]));
            let out = resize(&plain, [ow, oh], how).unwrap();
            prop_assert!(out.iter().all(|&byte| byte.abs_diff(value) <= 1));
        }

        #[test]
        fn the_same_size_changes_nothing(w in 1_u32..20, h in 1_u32..20, seed: u8) {
            let picture = RgbImage::from_fn(w, h, |x, y| image::Rgb([seed, x as u8, y as u8]));
            prop_assert_eq!(resize(&picture, [w, h], Resize::Pillow).unwrap(), picture);
        }
    }

    #[test]
    fn weights_fit_sixteen_bits() {
        assert_eq!(i16_bits([1.0].iter()), 14);
        assert_eq!(i16_bits([0.49].iter()), 16);
        assert_eq!(i16_bits([1e-6].iter()), 22);
    }

    #[test]
    fn no_pixels_are_an_error() {
        assert!(resize(&RgbImage::new(0, 3), [1, 1], Resize::Pillow).is_err());
        assert!(resize(&RgbImage::new(3, 3), [0, 1], Resize::Pillow).is_err());
    }
}
