//! A hand-made map over a hand-made picture: `cargo run -p relevancy-visualization --example overlay [FOLDER]`.
//!
//! Writes `overlay.png` (heat only) and `figure.png` (with title and colour bar) into FOLDER, by default the current one.

#[path = "gallery/chest.rs"]
mod chest;
#[path = "gallery/peak.rs"]
mod peak;

use std::path::PathBuf;

use chest::chest;
use peak::peak;
use relevancy_visualization::{
    Caption, Error, GridMap, OverlayOptions, Placement, overlay, overlay_figure, save_png,
};

fn main() -> Result<(), Error> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let picture = chest(760, 896, 0.0);
    let relevancy = peak(11.0, 11.2, 0.021);

    // The model saw the picture padded left and right to a square of 896 pixels.
    let placement = Placement { x0: -68.0, y0: 0.0, x1: 828.0, y1: 896.0 };
    let maps = [GridMap { grid: relevancy.view(), placement }];
    let options = OverlayOptions::default();
    let caption = Caption::new("effusion").subtitled("token 271 of the answer");

    save_png(&overlay(&picture, &maps, &options)?, folder.join("overlay.png"))?;
    save_png(&overlay_figure(&picture, &maps, &caption, &options)?, folder.join("figure.png"))
}
