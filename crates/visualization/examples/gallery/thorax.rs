//! Slices of a hand-made chest.

use relevancy_visualization::image::{Rgb, RgbImage};

/// Where the nodule is: as a part of the series, and in parts of a slice.
pub(crate) const NODULE: (f32, f32, f32) = (0.62, 0.69, 0.42);

/// A slice of a chest at `z` from the feet (0) to the head (1): body, lungs, spine, heart, and the nodule.
pub(crate) fn chest_slice(size: u32, z: f32, with_nodule: bool) -> RgbImage {
    let soft = |d: f32, edge: f32| 1.0 / (1.0 + ((d - 1.0) * edge).exp());
    RgbImage::from_fn(size, size, |px, py| {
        let (x, y) = ((px as f32 + 0.5) / size as f32, (py as f32 + 0.5) / size as f32);
        let ellipse = |cx: f32, cy: f32, rx: f32, ry: f32, edge: f32| {
            soft(((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2), edge)
        };
        let open = (1.0 - (2.0 * z - 1.0).powi(2)).max(0.0).sqrt();
        let lung = |cx: f32| ellipse(cx, 0.48, 0.02 + 0.14 * open, 0.02 + 0.22 * open, 12.0);
        let lungs = lung(0.32) + lung(0.68);
        let heart = ellipse(0.55, 0.42, 0.15, 0.13, 10.0) * soft(((z - 0.35) / 0.28).powi(2), 10.0);
        let spine = ellipse(0.5, 0.76, 0.055, 0.06, 14.0);
        let r = 0.045;
        let d = ((x - NODULE.1) / r).powi(2) + ((y - NODULE.2) / r).powi(2);
        let nodule = soft(d + ((z - NODULE.0) / r).powi(2), 8.0);
        let vessels = 0.1 * (60.0 * x + 25.0 * (9.0 * y).sin()).sin().max(0.0).powi(4);
        let mut grey = 0.5 * ellipse(0.5, 0.5, 0.46, 0.36, 20.0);
        grey += lungs.min(1.0) * (vessels - 0.42) + 0.36 * heart + 0.4 * spine;
        if with_nodule {
            grey += 0.55 * nodule;
        }
        Rgb([(255.0 * grey.clamp(0.0, 1.0)) as u8; 3])
    })
}
