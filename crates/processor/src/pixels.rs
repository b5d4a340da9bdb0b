//! Bytes to the numbers the vision tower takes.

use image::RgbImage;
use rayon::prelude::*;

use crate::resize::Resize;

/// Normalised pixels `[channels, height, width]`, row-major.
#[derive(Clone, PartialEq)]
pub struct Pixels {
    /// The numbers.
    pub values: Vec<f32>,
    /// Always 3: red, green, blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = [self.channels, self.height, self.width];
        f.debug_struct("Pixels").field("shape", &shape).finish_non_exhaustive()
    }
}

/// `(x · rescale − mean) / std` per channel, each step optional.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    pub(crate) rescale: Option<f64>,
    pub(crate) normalize: Option<([f64; 3], [f64; 3])>,
}

impl Scaling {
    /// Every byte has one value, so a table per channel holds exactly what transformers computes.
    pub(crate) fn apply(&self, picture: &RgbImage, how: Resize) -> Pixels {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let mut values = vec![0.0; 3 * width * height];
        values.par_chunks_exact_mut(width * height).enumerate().for_each(|(channel, plane)| {
            let table = self.table(channel, how);
            for (value, pixel) in plane.iter_mut().zip(picture.as_raw().chunks_exact(3)) {
                *value = table[usize::from(pixel[channel])];
            }
        });
        Pixels { values, channels: 3, height, width }
    }

    fn table(&self, channel: usize, how: Resize) -> [f32; 256] {
        std::array::from_fn(|byte| match how {
            Resize::TorchVision => self.fused(byte as f32, channel),
            Resize::Pillow => self.stepwise(byte as f32, channel),
        })
    }

    /// transformers' torchvision backend: mean and std take up the scale, all in `f32`
    /// (`image_processing_backends.py`, `_fuse_mean_std_and_rescale_factor`).
    fn fused(&self, x: f32, channel: usize) -> f32 {
        match (self.rescale, self.normalize) {
            (Some(scale), Some((mean, std))) => {
                let inverse = (1.0 / scale) as f32;
                (x - mean[channel] as f32 * inverse) / (std[channel] as f32 * inverse)
            }
            (None, Some((mean, std))) => (x - mean[channel] as f32) / std[channel] as f32,
            (Some(scale), None) => x * scale as f32,
            (None, None) => x,
        }
    }

    /// transformers' Pillow backend: the scale in `f64`, then mean and std in `f32` (`image_transforms.py`).
    fn stepwise(&self, x: f32, channel: usize) -> f32 {
        let x = self.rescale.map_or(x, |scale| (f64::from(x) * scale) as f32);
        match self.normalize {
            Some((mean, std)) => (x - mean[channel] as f32) / std[channel] as f32,
            None => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_maps_bytes_to_minus_one_to_one() {
        let family = Scaling {
            rescale: Some(0.003_921_568_627_450_98),
            normalize: Some(([0.5; 3], [0.5; 3])),
        };
        for byte in 0..=255_u8 {
            let x = f32::from(byte);
            assert_eq!(family.fused(x, 0).to_bits(), ((x - 127.5) / 127.5).to_bits());
            let step = (f64::from(x) * 0.003_921_568_627_450_98) as f32;
            assert_eq!(family.stepwise(x, 0).to_bits(), ((step - 0.5) / 0.5).to_bits());
        }
    }

    #[test]
    fn channels_become_planes() {
        let picture = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let plain = Scaling { rescale: None, normalize: None };
        let pixels = plain.apply(&picture, Resize::TorchVision);
        assert_eq!(pixels.values, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!([pixels.channels, pixels.height, pixels.width], [3, 1, 2]);
    }
}
