//! What a report refuses.

use std::fmt;
use std::ops::Range;

use crate::Placement;

/// Why a report could not be made. Indices count from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Nothing was explained.
    #[error("report explains nothing: give at least one target")]
    NoTargets,
    /// No method was named.
    #[error("report has no method: name at least one")]
    NoMethods,
    /// A list has another length than what it belongs to.
    #[error("{what} of target {target}: expected {expected}, found {found}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// The target.
        target: usize,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A row has another length than the sequence.
    #[error("{place} has {found} values for {expected} tokens")]
    RowLength {
        /// The row.
        place: RowPlace,
        /// Number of tokens.
        expected: usize,
        /// Length of the row.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("{place} holds {value} at position {position}: only finite values can be shown")]
    NotFinite {
        /// The row.
        place: RowPlace,
        /// Position in the sequence.
        position: usize,
        /// The value found.
        value: f32,
    },
    /// A value is negative, and the method has no signs.
    #[error("{place} holds {value} at position {position}: values start at zero")]
    Negative {
        /// The row.
        place: RowPlace,
        /// Position in the sequence.
        position: usize,
        /// The value found.
        value: f32,
    },
    /// Finer values of the cells do not fit the grids, or cannot be shown.
    #[error("finer cells of the {place}: {problem}")]
    Parts {
        /// The result.
        place: RowPlace,
        /// What is wrong.
        problem: String,
    },
    /// Positions of a target do not lie within the sequence.
    #[error("target {target} is about positions {positions:?}, but there are {tokens} tokens")]
    Positions {
        /// The target.
        target: usize,
        /// Its positions.
        positions: Range<usize>,
        /// Number of tokens.
        tokens: usize,
    },
    /// A span is empty, lies outside the answer, or cuts a character.
    #[error("target {target} spans bytes {span:?}, which are not text of the answer")]
    Span {
        /// The target.
        target: usize,
        /// Its span.
        span: Range<usize>,
    },
    /// A probability is not within 0 and 1.
    #[error("target {target} has probability {value}")]
    Probability {
        /// The target.
        target: usize,
        /// The value found.
        value: f32,
    },
    /// A grid names a picture that is not there.
    #[error("grid {grid} lies over picture {picture}, but there are {pictures}")]
    NoPicture {
        /// The grid.
        grid: usize,
        /// The picture named.
        picture: usize,
        /// Number of pictures.
        pictures: usize,
    },
    /// A grid has no cells, reaches past the sequence, or overlaps another grid.
    #[error("grid {grid} takes positions {positions:?}: {problem}")]
    Grid {
        /// The grid.
        grid: usize,
        /// Positions of its cells.
        positions: Range<usize>,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// A placement is not a rectangle, or lies beside its picture.
    #[error("grid {grid} lies at {placement:?}, which is not a rectangle that touches its picture")]
    Placement {
        /// The grid.
        grid: usize,
        /// The placement found.
        placement: Placement,
    },
    /// A volume has no slices, or slices that do not belong together.
    #[error("volume {volume}: {problem}")]
    Volume {
        /// The volume.
        volume: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A region was made for other grids.
    #[error("region {name:?} does not fit the grids: {problem}")]
    Region {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Lists of a chart in the evidence of a target do not agree in length, or hold what cannot be drawn.
    #[error("chart {chart} of cells taken away, target {target}: {problem}")]
    RemovalChart {
        /// The target.
        target: usize,
        /// The chart.
        chart: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A row of the table in the evidence of a target has another length than the head.
    #[error(
        "row {row} of the table of evidence, target {target}: expected {expected} cells, found {found}"
    )]
    EvidenceRow {
        /// The target.
        target: usize,
        /// The row.
        row: usize,
        /// Cells of the head.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// A point of an outline is NaN or infinite.
    #[error("an outline has a point that is not finite")]
    Outline,
    /// A picture could not be encoded.
    #[error("cannot encode picture {picture}")]
    Picture {
        /// The picture.
        picture: usize,
        /// What the encoder said.
        source: image::ImageError,
    },
}

/// Names one row of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// The target.
    pub target: usize,
    /// The method.
    pub method: usize,
    /// The layer; `None` for the result.
    pub layer: Option<usize>,
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row of target {}, method {}", self.target, self.method)?;
        self.layer.map_or(Ok(()), |layer| write!(f, ", layer {layer}"))
    }
}
