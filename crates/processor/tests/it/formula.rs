//! The pictures of `fixtures/formula.py`.

use std::fmt::Write;

use image::RgbImage;
use sha2::{Digest, Sha256};

/// The same bytes as `formula.picture` in Python.
pub(crate) fn picture(width: u32, height: u32, seed: u64) -> RgbImage {
    let n_bytes = u64::from(width) * u64::from(height) * 3;
    let byte = |n: u64| {
        let mut noise = ((n * 2_654_435_761 + seed * 40_503) % (1 << 32)) >> 13;
        noise ^= noise >> 7;
        let ramp = n * 255 / (n_bytes - 1).max(1);
        (if noise & 256 == 0 { ramp } else { noise & 255 }) as u8
    };
    RgbImage::from_raw(width, height, (0..n_bytes).map(byte).collect()).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

/// Hash of numbers as little-endian bytes.
pub(crate) fn sha256_of_floats(values: &[f32]) -> String {
    sha256(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}
