//! What a dossier refuses.

use std::fmt;

/// Why a dossier could not be made. Indices count from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DossierError {
    /// A table has no column.
    #[error("table of {place} has no column")]
    NoColumns {
        /// Where it stands.
        place: BlockPlace,
    },
    /// A row of a table has another length than the list of columns.
    #[error("row {row} of the table of {place}: expected {expected} cells, found {found}")]
    RowLength {
        /// Where the table stands.
        place: BlockPlace,
        /// The row.
        row: usize,
        /// Number of columns.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// The axis of a chart is not finite, has no length, or so little of it that numbers along it are all the same.
    #[error("axis of {place} goes from {} to {}: it must be finite and ascend", axis[0], axis[1])]
    Axis {
        /// Where the chart stands.
        place: BlockPlace,
        /// The axis found.
        axis: [f64; 2],
    },
    /// The reference of a chart is NaN, infinite or not on its axis.
    #[error("reference of {place} is at {at}, not within {} and {}", axis[0], axis[1])]
    Reference {
        /// Where the chart stands.
        place: BlockPlace,
        /// The value found.
        at: f64,
        /// The axis.
        axis: [f64; 2],
    },
    /// A number of a row of a chart is NaN or infinite.
    #[error("row {row} of {place} holds {value}: only finite values can be drawn")]
    NotFinite {
        /// Where the chart stands.
        place: BlockPlace,
        /// The row.
        row: usize,
        /// The value found.
        value: f64,
    },
    /// The interval of a row of a chart ends below its beginning.
    #[error("row {row} of {place} has an interval from {} to {}", interval[0], interval[1])]
    Interval {
        /// Where the chart stands.
        place: BlockPlace,
        /// The row.
        row: usize,
        /// The interval found.
        interval: [f64; 2],
    },
    /// A picture could not be encoded.
    #[error("cannot encode picture {picture} of {place}")]
    Picture {
        /// Where its card stands.
        place: BlockPlace,
        /// The picture among those of the card.
        picture: usize,
        /// What the encoder said.
        source: image::ImageError,
    },
}

/// Names one block of a dossier, or one card of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// The section.
    pub section: usize,
    /// The block within it.
    pub block: usize,
    /// The card; `None` for a block that has none.
    pub card: Option<usize>,
}

impl fmt::Display for BlockPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section {}, block {}", self.section, self.block)?;
        self.card.map_or(Ok(()), |card| write!(f, ", card {card}"))
    }
}
