//! Where the body lies in the picture.
//!
//! Places of the body are `[u, v]` in sides of the picture: u from the middle line, positive towards the patient's left (the
//! picture's right), v from the top. The body may be tilted, shifted and magnified a little.

use crate::anatomy::Anatomy;

/// The map between places of the body and pixels.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) size: u32,
    /// Length of a pixel in the body.
    pub(crate) pixel: f32,
    cosine: f32,
    sine: f32,
    shift: [f32; 2],
    zoom: f32,
}

impl Frame {
    pub(crate) fn new(anatomy: &Anatomy, size: u32) -> Self {
        let (sine, cosine) = anatomy.tilt.sin_cos();
        let pixel = 1.0 / (size as f32 * anatomy.zoom);
        Self { size, pixel, cosine, sine, shift: anatomy.shift, zoom: anatomy.zoom }
    }

    /// The place of the body at a place of the picture, in sides of the picture from its upper left corner.
    pub(crate) fn body(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (x, y) = ((x - 0.5) / self.zoom, (y - 0.5) / self.zoom);
        let (u, v) = (x * self.cosine + y * self.sine, y * self.cosine - x * self.sine);
        [u - self.shift[0], v + 0.5 - self.shift[1]]
    }

    /// The place of the body at the centre of a pixel.
    #[inline]
    pub(crate) fn at(&self, x: u32, y: u32) -> [f32; 2] {
        let side = self.size as f32;
        self.body([(x as f32 + 0.5) / side, (y as f32 + 0.5) / side])
    }

    /// The place in the picture, in pixels from its upper left corner.
    pub(crate) fn pixel(&self, [u, v]: [f32; 2]) -> [f32; 2] {
        let (u, v) = (u + self.shift[0], v + self.shift[1] - 0.5);
        let (x, y) = (u * self.cosine - v * self.sine, v * self.cosine + u * self.sine);
        let side = self.size as f32;
        [(x * self.zoom + 0.5) * side, (y * self.zoom + 0.5) * side]
    }

    /// A width that is at least one pixel: a sharper edge would only make steps.
    pub(crate) fn soft(&self, width: f32) -> f32 {
        width.max(1.2 * self.pixel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    #[test]
    fn there_and_back() {
        for seed in 0..20 {
            let frame = Frame::new(&Anatomy::random(&mut Draw::new(seed, 0)), 320);
            let [x, y] = frame.pixel(frame.at(17, 201));
            assert!((x - 17.5).abs() < 1e-2 && (y - 201.5).abs() < 1e-2, "{x} {y}");
        }
    }
}
