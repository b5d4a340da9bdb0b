//! Relevancy maps as pictures: heat over the original picture, in its own geometry.
//!
//! A map is a grid of finite, non-negative values and a [`Placement`]: the rectangle of the original picture that the grid
//! covers. Nothing here knows a model. In the order of the work:
//!
//! 1. a [`GridMap`] is checked against the picture;
//! 2. [`Interpolation`] turns cells into a value per pixel, at pixel centres;
//! 3. [`Scale`], [`Colormap`] and [`Opacity`] turn values into colours: [`overlay()`];
//! 4. [`overlay_figure`] adds the explained word and a colour bar with the real values;
//! 5. [`save_png`] writes a file whole or not at all.
//!
//! [`report::Report`] is the other way out: an interactive page of one file, for all words of an answer.
//!
//! Left stays left and top stays top: the crate never flips a picture.
//!
//! ```
//! use relevancy_visualization::{Caption, GridMap, OverlayOptions, Placement, overlay_figure};
//! use relevancy_visualization::{image::RgbImage, ndarray::array};
//!
//! let picture = RgbImage::from_pixel(640, 480, [90; 3].into());
//! let relevancy = array![[0.0, 0.1, 0.0], [0.0, 0.8, 0.3]];
//! let map = GridMap { grid: relevancy.view(), placement: Placement::whole(&picture) };
//! let figure =
//!     overlay_figure(&picture, &[map], &Caption::new("effusion"), &OverlayOptions::default())?;
//! assert!(figure.width() > 640 && figure.height() > 480);
//! # Ok::<(), relevancy_visualization::Error>(())
//! ```

pub use image;
pub use ndarray;

pub use colormap::{Colormap, Rgb8};
pub use error::Error;
pub use figure::{Caption, overlay_figure};
pub use map::{GridMap, Placement};
pub use overlay::{Opacity, OverlayOptions, Scale, overlay};
pub use png::save_png;
pub use upsample::Interpolation;

mod error;
mod map;
mod upsample;

mod colormap;
mod overlay;

mod figure;
mod layout;
mod svg;
mod text;
mod ticks;

mod png;

pub mod report;
