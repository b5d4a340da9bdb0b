//! A hand-made picture.

use relevancy_visualization::image::{Rgb, RgbImage};

/// Something like a chest radiograph: soft body, two dark lungs, ribs, spine and heart; `opacity` is how plain a shadow in the lower
/// lung on the picture's right is, 0 for none.
pub(crate) fn chest(width: u32, height: u32, opacity: f32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 / width as f32 * 2.0 - 1.0, y as f32 / height as f32 * 2.0 - 1.0);
        Rgb([(255.0 * tissue(x, y, opacity).clamp(0.0, 1.0)) as u8; 3])
    })
}

fn tissue(x: f32, y: f32, opacity: f32) -> f32 {
    let inside = |cx: f32, cy: f32, rx: f32, ry: f32| {
        let d = ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2);
        1.0 / (1.0 + ((d - 1.0) * 6.0).exp())
    };
    let lungs = inside(-0.42, -0.05, 0.3, 0.62) + inside(0.42, -0.05, 0.3, 0.62);
    let ribs = (18.0 * (y + 0.35 * x * x)).sin().max(0.0) * lungs;
    let spine = (-(x / 0.09).powi(2)).exp();
    0.62 * inside(0.0, 0.25, 0.95, 1.3) - 0.45 * lungs
        + 0.1 * ribs
        + 0.16 * spine
        + 0.12 * inside(0.14, 0.3, 0.26, 0.3)
        + opacity * inside(0.5, 0.5, 0.2, 0.13)
}
