//! A hand-made map over a hand-made picture: `cargo run -p relevancy-visualization --example overlay [FOLDER]`.
//!
//! Writes `overlay.png` (heat only) and `figure.png` (with title and colour bar) into FOLDER, by default the current one.

use std::path::PathBuf;

use relevancy_visualization::image::{Rgb, RgbImage};
use relevancy_visualization::ndarray::Array2;
use relevancy_visualization::{
    Caption, Error, GridMap, OverlayOptions, Placement, overlay, overlay_figure, save_png,
};

fn main() -> Result<(), Error> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let picture = chest(760, 896);
    let relevancy = relevancy();

    // The model saw the picture padded left and right to a square of 896 pixels.
    let placement = Placement { x0: -68.0, y0: 0.0, x1: 828.0, y1: 896.0 };
    let maps = [GridMap { grid: relevancy.view(), placement }];
    let options = OverlayOptions::default();
    let caption =
        Caption { subtitle: "token 271 of the answer".to_owned(), ..Caption::new("effusion") };

    save_png(&overlay(&picture, &maps, &options)?, folder.join("overlay.png"))?;
    save_png(&overlay_figure(&picture, &maps, &caption, &options)?, folder.join("figure.png"))
}

/// 16 × 16 cells with a peak at the lower right of the picture and faint noise elsewhere.
fn relevancy() -> Array2<f32> {
    let peak = |r: f32, c: f32, row: f32, column: f32, width: f32| {
        (-((r - row).powi(2) + (c - column).powi(2)) / (2.0 * width * width)).exp()
    };
    Array2::from_shape_fn((16, 16), |(row, column)| {
        let (r, c) = (row as f32, column as f32);
        let noise = ((row * 7 + column * 13) % 11) as f32 / 11.0;
        0.021 * peak(r, c, 11.0, 11.2, 1.3) + 0.008 * peak(r, c, 6.0, 4.5, 1.6) + 0.001 * noise
    })
}

/// Something like a chest radiograph: soft body, two dark lungs, ribs, spine and heart.
fn chest(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 / width as f32 * 2.0 - 1.0, y as f32 / height as f32 * 2.0 - 1.0);
        Rgb([(255.0 * tissue(x, y).clamp(0.0, 1.0)) as u8; 3])
    })
}

fn tissue(x: f32, y: f32) -> f32 {
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
}
