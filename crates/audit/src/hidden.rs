//! A part of a picture hidden behind another place of the same picture.

use relevancy_visualization::image::RgbImage;

use crate::fill::fill;
use crate::mask::{Mask, Place, Purpose};

/// A part of a picture with what is shown in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// What is changed: the part with a margin.
    mask: Mask,
    by: Place,
}

impl Hidden {
    /// The part `mask` of a picture, hidden behind another place that is not among those to `avoid`; none where there is no room for one.
    ///
    /// # Panics
    /// For a picture of another size.
    pub fn new(mask: &Mask, picture: &RgbImage, avoid: &[&Mask], seed: u64) -> Option<Self> {
        let by = mask.elsewhere(picture, avoid, Purpose::StandIn, seed)?;
        Some(Self { mask: mask.widened(), by })
    }

    /// The picture with what the other place shows in the place of the part: its differences, with the brightness of what is around the part
    /// (seamless cloning: Pérez, Gangnet and Blake 2003, equation 4, here with the weights of [`fill`]). So no edge is seen, and there is the
    /// texture that a picture has; a smooth filling has none, which is itself a finding to a model of radiographs.
    ///
    /// # Panics
    /// For a picture of another size.
    #[must_use]
    pub fn picture(&self, picture: &RgbImage) -> RgbImage {
        let (width, height) = picture.dimensions();
        assert_eq!([width as usize, height as usize], self.mask.size());
        let Some([left, top, right, bottom]) = self.mask.bounds() else { return picture.clone() };
        // With a border of what stays.
        let (left, top) = (left.saturating_sub(1), top.saturating_sub(1));
        let (right, bottom) = ((right + 2).min(width as usize), (bottom + 2).min(height as usize));
        let size = [bottom - top, right - left];
        let place = |at: usize| [left + at % size[1], top + at / size[1]];
        let middle = |[x, y]: [usize; 2]| [x as f64 + 0.5, y as f64 + 0.5];
        let gone: Vec<bool> = (0..size[0] * size[1])
            .map(|at| {
                let [x, y] = middle(place(at));
                self.mask.holds(x, y)
            })
            .collect();
        // What reaches over the border of the picture shows what is there.
        let clamp = |at: f64, end: u32| at.floor().clamp(0.0, f64::from(end - 1)) as u32;
        let source = |at: usize| {
            let [x, y] = self.by.point(middle(place(at)));
            picture.get_pixel(clamp(x, width), clamp(y, height)).0
        };
        let sources: Vec<[u8; 3]> = (0..gone.len()).map(source).collect();
        let mut changed = picture.clone();
        for channel in [0_usize, 1, 2] {
            let own = |at: usize| {
                let [x, y] = place(at);
                picture.get_pixel(x as u32, y as u32).0[channel]
            };
            // In units of the whole scale, for which the solver's tolerance is meant.
            let apart = |at: usize| (f32::from(own(at)) - f32::from(sources[at][channel])) / 255.0;
            let mut difference: Vec<f32> = (0..gone.len()).map(apart).collect();
            fill(&mut difference, &gone, size);
            for at in (0..gone.len()).filter(|&at| gone[at]) {
                let [x, y] = place(at);
                let value = f32::from(sources[at][channel]) + 255.0 * difference[at];
                changed.get_pixel_mut(x as u32, y as u32).0[channel] = value.round() as u8;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stripes on a slope; a bright square on the left.
    fn picture() -> RgbImage {
        RgbImage::from_fn(64, 48, |x, y| {
            let square = (10..20).contains(&x) && (16..26).contains(&y);
            let value = 40 + x + if y % 4 < 2 { 12 } else { 0 } + if square { 90 } else { 0 };
            [value as u8; 3].into()
        })
    }

    #[test]
    fn what_hides_a_part_has_the_texture_of_one_place_and_the_brightness_of_the_other() {
        let picture = picture();
        let mask = Mask::of_boxes([64, 48], &[[10.0, 16.0, 20.0, 26.0]]).unwrap();
        let found = Hidden::new(&mask, &picture, &[], 0).unwrap().picture(&picture);
        for (x, y, pixel) in found.enumerate_pixels() {
            let near = (8..22).contains(&x) && (14..28).contains(&y);
            if !near {
                assert_eq!(pixel, picture.get_pixel(x, y));
                continue;
            }
            // The mirror image slopes the other way; in the part the slope is that of what is around it, but for what the mirror adds.
            let wanted = 40.0 + f64::from(x) + if y % 4 < 2 { 12.0 } else { 0.0 };
            assert!((f64::from(pixel[0]) - wanted).abs() < 16.0, "{x} {y}: {}", pixel[0]);
        }
        let stripes =
            |x: u32| f64::from(found.get_pixel(x, 21)[0]) - f64::from(found.get_pixel(x, 23)[0]);
        assert!((stripes(15) - 12.0).abs() < 3.0, "{}", stripes(15));
    }

    #[test]
    fn a_part_that_fills_the_picture_cannot_be_hidden() {
        let mask = Mask::of_boxes([64, 48], &[[0.0, 0.0, 64.0, 48.0]]).unwrap();
        assert!(Hidden::new(&mask, &picture(), &[], 0).is_none());
    }
}
