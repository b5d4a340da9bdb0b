//! Relevancy maps as pictures: heat over the original picture, in its own geometry; figures, regions, text, terminals.
//!
//! A map is a grid of finite values and a [`Placement`]: the rectangle of the original picture that the grid covers. Nothing
//! here knows a model: arrays, strings and a picture go in; pictures, SVG and text come out.
//!
//! # Overview
//! - [`GridMap`] is a map, [`Panel`] a picture with its maps, outlines and words: the unit of every figure.
//! - [`OverlayOptions`] says how heat is drawn: [`Colormap`], [`Interpolation`], [`Opacity`], [`Scale`], grid lines, contours, and
//!   by [`Orientation`] the letters R and L. [`overlay()`] and [`Panel::draw`] draw it in the picture's own size.
//! - A [`Figure`] is one description of a whole figure, saved as PNG or SVG: [`single_figure`], [`three_panel_figure`],
//!   [`comparison_figure`], [`layers_figure`], [`heads_figure`], [`grid_figure`] for a contact sheet, [`side_by_side_figure`],
//!   [`difference_figure`] for two maps and their signed difference, [`regions_figure`], [`removal_figure`] for what is left of a score
//!   as cells are taken away ([`RemovalChart`]), [`volume_figure`] for a series of slices ([`Stack`]).
//! - [`volume_projections`], [`volume_shares`] and [`top_slices`] are the arithmetic of a series, on an array of its maps.
//! - [`RegionSpec`] names parts of a picture, [`region_scores`] says how much of a map lies in each, [`answer_boxes`] finds the
//!   boxes that a model wrote and [`localization`] compares one with a map.
//! - [`TextRelevancy`] is text by token and by word, as HTML, for a terminal, or plain.
//! - [`terminal_view`] shows a map in a terminal; [`escape_controls`] makes text harmless there.
//! - [`report::Report`] is an interactive page of one file, for all words of an answer.
//! - [`dossier::Dossier`] is a page of findings about a whole data set, of one file too, without a script.
//! - [`save_png`] and [`Figure::save`] write a file whole or not at all.
//!
//! # Features
//! `svg` (on by default) has the figures, everything that is drawn as text, and lines, outlines and letters over a picture; it brings
//! resvg and what reads fonts. Without it heat over pictures, PNG files, scores by region, text, terminal, report and dossier are left, and a
//! panel that asks for lines or letters is refused.
//!
//! Left stays left and top stays top: the crate never flips a picture.
//!
#![cfg_attr(feature = "svg", doc = "```")]
#![cfg_attr(not(feature = "svg"), doc = "```ignore")]
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
pub use controls::{escape_controls, escape_json_controls};
pub use error::Error;
#[cfg(feature = "svg")]
pub use figure::{
    Caption, ComparisonRow, Figure, Section, comparison_figure, difference_figure, grid_figure,
    heads_figure, layers_figure, overlay_figure, regions_figure, removal_figure,
    side_by_side_figure, single_figure, three_panel_figure, volume_figure,
};
pub use map::{GridMap, Placement};
pub use options::{Opacity, OverlayOptions, Scale};
pub use orientation::{Orientation, PictureSide, Sides};
pub use overlay::overlay;
pub use panel::{Outline, Panel};
pub use png::save_png;
pub use regions::{
    AnswerBox, AnswerBoxes, Frame, HOT_QUANTILE, Localization, Mask, Region, RegionScore,
    RegionSpec, Shape, answer_boxes, localization, region_scores, region_table, region_weights,
};
pub use removal::RemovalChart;
pub use terminal::terminal_view;
pub use upsample::Interpolation;
pub use volume::{Projections, Stack, top_slices, volume_projections, volume_shares};
pub use words::{ColorDepth, Piece, TextRelevancy, word_ranges};

mod error;
mod map;
mod upsample;

mod colormap;
mod options;
mod orientation;
mod overlay;
mod panel;

#[cfg_attr(not(feature = "svg"), allow(dead_code, reason = "lines through a map are drawn as SVG"))]
mod contour;
#[cfg(feature = "svg")]
mod marks;

mod controls;
mod regions;
mod removal;
mod terminal;
mod volume;
mod words;

mod bytes;
mod escape;
mod setters;

#[cfg(feature = "svg")]
mod colorbar;
#[cfg(feature = "svg")]
mod figure;
#[cfg(feature = "svg")]
mod fonts;
#[cfg(feature = "svg")]
mod raster;
#[cfg(feature = "svg")]
mod scene;
#[cfg(feature = "svg")]
mod text;
#[cfg_attr(
    not(feature = "svg"),
    allow(dead_code, reason = "colour bars are drawn as SVG; axes of pages are not")
)]
mod ticks;

mod files;
mod png;

mod pages;

pub mod dossier;
pub mod report;

/// Runs the example of the README as a doc test.
#[cfg(all(doctest, feature = "svg"))]
#[doc = include_str!("../README.md")]
struct Readme;
