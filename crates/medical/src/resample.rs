//! Pixels that are no squares become squares.

use image::RgbImage;
use image::imageops::{FilterType, resize};

/// Less than this share away from a square nobody sees.
const TOLERANCE: f64 = 0.01;

/// The picture with the shorter side of its pixels, where `aspect` is the height of a pixel by its width; `None` where they are squares.
pub(crate) fn to_squares(picture: &RgbImage, aspect: f64) -> Option<RgbImage> {
    if (aspect - 1.0).abs() < TOLERANCE {
        return None;
    }
    let (width, height) = picture.dimensions();
    let longer = |side: u32, by: f64| ((f64::from(side) * by).round() as u32).max(1);
    let (new_width, new_height) = if 1.0 < aspect {
        (width, longer(height, aspect))
    } else {
        (longer(width, 1.0 / aspect), height)
    };
    Some(resize(picture, new_width, new_height, FilterType::Triangle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_grows_along_the_longer_side_of_its_pixels() {
        let picture = RgbImage::new(10, 4);
        assert_eq!(to_squares(&picture, 2.5).unwrap().dimensions(), (10, 10));
        assert_eq!(to_squares(&picture, 0.5).unwrap().dimensions(), (20, 4));
        assert!(to_squares(&picture, 1.004).is_none());
    }
}
