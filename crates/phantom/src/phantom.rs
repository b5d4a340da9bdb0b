//! A drawn scene: picture and masks.

use image::{GrayImage, ImageBuffer, Luma};

use crate::mask::Mask;
use crate::scene::Scene;
use crate::truth::Truth;

/// A picture with what is known about it.
#[derive(Clone, Debug)]
pub struct Phantom {
    pub(crate) scene: Scene,
    pub(crate) size: u32,
    pub(crate) values: Vec<f32>,
    pub(crate) masks: Vec<Mask>,
    pub(crate) side_letter: Mask,
    pub(crate) portable: Mask,
}

impl Phantom {
    /// The scene that was drawn.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Pixels along each side.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Grey values from 0, black, to 1, white, row by row from the top.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One mask per finding, in the order of [`Scene::findings`].
    ///
    /// A pixel belongs to a finding if the finding alone, grain aside, changes the grey value of the healthy chest there by more
    /// than [`THRESHOLD`](crate::THRESHOLD). So the mask does not depend on what else is found; what is hidden behind bone or
    /// heart is not in it, and a faint finding may have holes. [`margin`](crate::margin) says how far beyond its mask a finding
    /// can change anything at all.
    pub fn masks(&self) -> &[Mask] {
        &self.masks
    }

    /// The mask of the tag `PORTABLE`, empty where there is none.
    pub fn portable_mask(&self) -> &Mask {
        &self.portable
    }

    /// The mask of the side letter, empty where there is none.
    pub fn side_letter_mask(&self) -> &Mask {
        &self.side_letter
    }

    /// What is known, ready to be written; it names no files.
    pub fn truth(&self) -> Truth {
        Truth::of(self)
    }

    /// The picture with 8 bits.
    pub fn grey8(&self) -> GrayImage {
        let mut image = GrayImage::new(self.size, self.size);
        for (pixel, value) in image.iter_mut().zip(&self.values) {
            *pixel = (value * 255.0 + 0.5) as u8;
        }
        image
    }

    /// The picture with 16 bits.
    pub fn grey16(&self) -> ImageBuffer<Luma<u16>, Vec<u16>> {
        let mut image = ImageBuffer::new(self.size, self.size);
        for (pixel, value) in image.iter_mut().zip(&self.values) {
            *pixel = (value * 65535.0 + 0.5) as u16;
        }
        image
    }
}
