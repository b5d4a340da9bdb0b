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
    /// A figure was given no panel, row or region.
    #[error("nothing to draw: the figure has no panel")]
    NoPanels,
    /// A slice of a series has another size than the first.
    #[error(
        "slice {slice} has {} x {} pixels, the first one {} x {}",
        found.0, found.1, expected.0, expected.1
    )]
    SliceSize {
        /// Its number in the list of slices, from 0.
        slice: usize,
        /// Width and height of the first.
        expected: (u32, u32),
        /// Its width and height.
        found: (u32, u32),
    },
    /// Zones of the chest on a picture from the side.
    #[error(
        "regions `cxr` are zones of a frontal chest radiograph, and this picture shows the patient from the side, as its file says; ask \
         for no regions, or for those of a file of shapes"
    )]
    NotFrontal,
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
    /// A cell is negative, and the colour map is sequential.
    #[error(
        "map {map} holds {value} at row {row}, column {column}: this needs values from zero \
         on; a signed map takes a diverging colour map"
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
    /// A placement is not a rectangle: not finite, or without width or height.
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
    /// A quantile is not within 0 and 1.
    #[error("quantile {value} is not within 0 and 1")]
    BadQuantile {
        /// The quantile found.
        value: f64,
    },
    /// Nothing of this kind has this name.
    #[error("unknown {what} {name:?}: expected one of {expected}")]
    UnknownName {
        /// What was looked for, for instance a colour map.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names that exist.
        expected: String,
    },
    /// The relevancy of a token is NaN or infinite.
    #[error("token {token} ({text:?}) has the relevancy {value}: only finite values can be shown")]
    TokenNotFinite {
        /// Counted from the first token given.
        token: usize,
        /// Its text.
        text: String,
        /// The value found.
        value: f32,
    },
    /// A region is no shape.
    #[error("region {name:?} {what}")]
    BadRegion {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A region has no area within the picture and the map.
    #[error("region {name:?} covers nothing of the picture and its map")]
    EmptyRegion {
        /// Its name.
        name: String,
    },
    /// A file of regions names none.
    #[error("{} names no region", path.display())]
    NoRegions {
        /// The file.
        path: PathBuf,
    },
    /// A file of regions could not be read.
    #[error("cannot read the regions of {}", path.display())]
    ReadRegions {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of regions is not of the form that [`RegionSpec::File`](crate::RegionSpec::File) states.
    #[error("{} is not a file of regions", path.display())]
    ParseRegions {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// A mask could not be read.
    #[error("cannot read the mask {}", path.display())]
    ReadMask {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: image::ImageError,
    },
    /// A mask has another size than its picture.
    #[error(
        "mask {} is {} x {} pixels, its picture {} x {}",
        path.display(), found.0, found.1, expected.0, expected.1
    )]
    MaskSize {
        /// The file.
        path: PathBuf,
        /// Width and height of the picture.
        expected: (u32, u32),
        /// Width and height of the mask.
        found: (u32, u32),
    },
    /// A mask has too many colours to be one.
    #[error(
        "mask {} has more than {most} colours: each is a region; is it a picture, or smoothed at the edges?",
        path.display()
    )]
    MaskColours {
        /// The file.
        path: PathBuf,
        /// The most that a mask may have.
        most: usize,
    },
    /// A mask has more edges than shapes have.
    #[error(
        "mask {} has more than {most} edges between pixels of different colours: is it a picture, or noise?",
        path.display()
    )]
    MaskEdges {
        /// The file.
        path: PathBuf,
        /// The most that a mask may have.
        most: usize,
    },
    /// A file of regions has more of something than can be drawn and counted.
    #[error("{} has {found} {what}; the most is {most}", path.display())]
    TooManyRegions {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// Lists of a [`RemovalChart`](crate::RemovalChart) do not agree in length, or hold what cannot be drawn.
    #[error("chart {chart} of cells taken away: {problem}")]
    RemovalChart {
        /// Index in the list of charts.
        chart: usize,
        /// What is wrong with it.
        problem: String,
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
    /// A dossier could not be made.
    #[error(transparent)]
    Dossier(#[from] crate::dossier::DossierError),
    /// Lines, outlines or letters over a picture, in a build without what draws them.
    #[cfg(not(feature = "svg"))]
    #[error("contours, grid lines, outlines and letters need the feature `svg`")]
    NoMarks,
    /// The text of a figure could not be drawn.
    #[cfg(feature = "svg")]
    #[error("cannot draw the text of the figure")]
    Svg(#[from] resvg::usvg::Error),
    /// A picture could not be put into an SVG.
    #[error("cannot encode a picture of the figure")]
    EmbedPicture(#[source] image::ImageError),
    /// A picture could not be encoded.
    #[error("cannot encode {}: {source}", path.display())]
    Encode {
        /// The file wanted.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file wanted.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The value with this name, whatever its case.
pub(crate) fn by_name<T: Copy>(
    what: &'static str,
    name: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> Result<T, Error> {
    let names = || all.iter().map(|&value| name_of(value));
    let found = all.iter().zip(names()).find(|(_, known)| known.eq_ignore_ascii_case(name));
    found.map(|(&value, _)| value).ok_or_else(|| {
        let expected: Vec<_> = names().collect();
        Error::UnknownName { what, name: name.to_owned(), expected: expected.join(", ") }
    })
}
