//! What can go wrong between a map and a picture on disk.

use std::path::PathBuf;

use crate::Placement;

/// Why a picture could not be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The picture has no pixel.
    #[error("picture has no pixels: {width} x {height}")]
    EmptyPicture {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// No map was given.
    #[error("no map to draw: give at least one grid with its placement")]
    NoMaps,
    /// A grid has no cell.
    #[error("map {map} has no cells: {rows} rows, {columns} columns")]
    EmptyGrid {
        /// Index in the list of maps.
        map: usize,
        /// Rows of the grid.
        rows: usize,
        /// Columns of the grid.
        columns: usize,
    },
    /// A cell is NaN or infinite.
    #[error(
        "map {map} holds {value} at row {row}, column {column}: only finite values can be drawn"
    )]
    NotFinite {
        /// Index in the list of maps.
        map: usize,
        /// Row of the cell, from the top.
        row: usize,
        /// Column of the cell, from the left.
        column: usize,
        /// The value found.
        value: f32,
    },
    /// A cell is negative; every colour map of this crate is sequential and starts at zero.
    #[error(
        "map {map} holds {value} at row {row}, column {column}: a sequential colour map starts at zero, \
         draw positive and negative parts apart"
    )]
    Negative {
        /// Index in the list of maps.
        map: usize,
        /// Row of the cell, from the top.
        row: usize,
        /// Column of the cell, from the left.
        column: usize,
        /// The value found.
        value: f32,
    },
    /// A placement is no rectangle: not finite, or without width or height.
    #[error("map {map} has no rectangle: {placement:?} must be finite with x0 < x1 and y0 < y1")]
    BadPlacement {
        /// Index in the list of maps.
        map: usize,
        /// The placement found.
        placement: Placement,
    },
    /// A placement does not touch the picture.
    #[error(
        "map {map} lies beside the picture: {placement:?} does not touch {width} x {height} pixels"
    )]
    PlacementOutside {
        /// Index in the list of maps.
        map: usize,
        /// The placement found.
        placement: Placement,
        /// Width of the picture in pixels.
        width: u32,
        /// Height of the picture in pixels.
        height: u32,
    },
    /// An opacity is not within 0 and 1.
    #[error("opacity {value} is not within 0 and 1")]
    BadOpacity {
        /// The opacity found.
        value: f32,
    },
    /// The end of a shared scale is negative or not finite.
    #[error("scale ends at {max}: it must be finite and not negative")]
    BadScale {
        /// The end found.
        max: f32,
    },
    /// A colour map of this name does not exist.
    #[error("unknown colour map {name:?}: expected one of {expected}")]
    UnknownColormap {
        /// The name asked for.
        name: String,
        /// The names that exist.
        expected: String,
    },
    /// The figure would be too large to draw.
    #[error(
        "figure of {width} x {height} pixels exceeds {limit} pixels: make the picture smaller first"
    )]
    FigureTooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// The largest number of pixels.
        limit: u64,
    },
    /// A report could not be made.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// The text of a figure could not be drawn.
    #[error("cannot draw the text of the figure")]
    Svg(#[from] resvg::usvg::Error),
    /// A picture could not be encoded.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The file wanted.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file wanted.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
