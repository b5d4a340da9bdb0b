//! What can be wrong with what the caller hands over.

use std::convert::Infallible;

/// An input that cannot be used. [`Error::kind`] says which, with what was expected and what was found.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] ErrorKind);

impl Error {
    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }
}

/// What can be wrong with an input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Attention is an `[H, S, S]` array with at least one head and one token.
    #[error(
        "attention of shape {found:?} is not [heads, tokens, tokens] with at least one of each"
    )]
    AttentionShape {
        /// Shape of the attention.
        found: [usize; 3],
    },
    /// A fused attention is an `[S, S]` array.
    #[error("fused attention of shape {found:?} is not [tokens, tokens]")]
    FusedShape {
        /// Shape of the fused attention.
        found: [usize; 2],
    },
    /// The gradient has the shape of the attention it belongs to.
    #[error("gradient has shape {found:?}, its attention {expected:?}")]
    GradientShape {
        /// Shape of the attention.
        expected: [usize; 3],
        /// Shape of the gradient.
        found: [usize; 3],
    },
    /// A head that the layer does not have.
    #[error("head {head} was asked for, counted from 0, but the layer has {heads}")]
    Head {
        /// The head asked for.
        head: usize,
        /// Heads of the layer.
        heads: usize,
    },
    /// Rows of heads are an `[H, n]` array with at least one head.
    #[error("rows of shape {found:?} are not [heads, keys] with at least one head")]
    HeadRows {
        /// Shape of the rows.
        found: [usize; 2],
    },
    /// Two arrays of rows belong together, and a value and its gradient have one shape.
    #[error("rows of shape {found:?} do not fit those of shape {expected:?}")]
    RowsShape {
        /// Shape of the first.
        expected: [usize; 2],
        /// Shape of the second.
        found: [usize; 2],
    },
    /// Positions that the keys of a row do not have.
    #[error("keys {start}..{end} do not lie within the {keys} keys of the row")]
    Keys {
        /// First of them.
        start: usize,
        /// One behind the last.
        end: usize,
        /// Keys of the row.
        keys: usize,
    },
    /// Grids hold one value for each cell of a map.
    #[error("a map of {values} values does not fill grids of {cells} cells")]
    GridCells {
        /// Cells of all grids.
        cells: usize,
        /// Values of the map.
        values: usize,
    },
    /// An attention weight that softmax cannot have made.
    #[error(
        "attention of head {head} from row {row} to column {column} is {value}, not a finite weight of zero or more"
    )]
    AttentionEntry {
        /// Head.
        head: usize,
        /// Query.
        row: usize,
        /// Key.
        column: usize,
        /// The weight.
        value: f32,
    },
    /// Softmax rows sum to one.
    #[error(
        "attention of head {head} in row {row} sums to {sum}, which is not 1 to within {tolerance}"
    )]
    AttentionRowSum {
        /// Head.
        head: usize,
        /// Query.
        row: usize,
        /// Sum of the row.
        sum: f64,
        /// Distance from one that would have passed.
        tolerance: f64,
    },
    /// A row that the sequence does not have.
    #[error("row {row} does not exist in a sequence of {tokens} tokens")]
    Row {
        /// The row asked for.
        row: usize,
        /// Tokens in the sequence.
        tokens: usize,
    },
    /// Two things belong to sequences of different length.
    #[error("expected {expected} tokens, found {found}")]
    Tokens {
        /// Tokens of the sequence.
        expected: usize,
        /// Tokens of what was handed over.
        found: usize,
    },
    /// Each token of a picture stands for k×k cells.
    #[error("cells of shape {found:?} are not k×k to each of {tokens:?} tokens")]
    CellsShape {
        /// Rows and columns of tokens.
        tokens: [usize; 2],
        /// Rows and columns of cells.
        found: [usize; 2],
    },
    /// The score of a cell is NaN or infinite.
    #[error("the score of the cell in row {row}, column {column} is {value}, not a finite number")]
    CellScore {
        /// Row of the cell.
        row: usize,
        /// Column of the cell.
        column: usize,
        /// The score.
        value: f32,
    },
    /// The first token was chosen by no row.
    #[error(
        "the token at position 0 has no row before it that predicts it: explain a position from 1 on"
    )]
    FirstPosition,
    /// A token was chosen by a row before it.
    #[error("row {row} cannot have chosen the token at position {position}: name an earlier row")]
    LaterRow {
        /// The row named.
        row: usize,
        /// Where the token stands.
        position: usize,
    },
    /// An explanation is of at least one token.
    #[error("no target: an explanation is of at least one token")]
    NoTarget,
    /// Explanations are combined over one and the same sequence.
    #[error(
        "explanation {index} has another token layout than the first: combine explanations of one sequence"
    )]
    LayoutDiffers {
        /// Which of the explanations.
        index: usize,
    },
    /// A segment without tokens.
    #[error("segment {index} of the token layout holds no token: leave it out")]
    EmptySegment {
        /// Which of the segments.
        index: usize,
    },
    /// Segments follow each other without gap and without overlap, from 0 on.
    #[error(
        "segment {index} of the token layout starts at {found}, the one before ends at {expected}"
    )]
    SegmentStart {
        /// Which of the segments.
        index: usize,
        /// End of the segment before, or 0.
        expected: usize,
        /// Start of the segment.
        found: usize,
    },
    /// The segments cover the sequence to its end.
    #[error("the token layout ends at {found}, the sequence at {expected}")]
    LayoutEnd {
        /// Tokens in the sequence.
        expected: usize,
        /// End of the last segment.
        found: usize,
    },
    /// An image grid has one cell for each of its tokens.
    #[error(
        "segment {index} of the token layout has {tokens} tokens for a grid of {rows} rows and {columns} columns"
    )]
    GridSize {
        /// Which of the segments.
        index: usize,
        /// Tokens in the segment.
        tokens: usize,
        /// Rows of the grid.
        rows: usize,
        /// Columns of the grid.
        columns: usize,
    },
    /// A scale is fitted to at least one value.
    #[error("no values to fit a scale to")]
    NoValues,
    /// A scale is fitted to finite values.
    #[error("cannot fit a scale to values among which is {value}")]
    NotFinite {
        /// The first such value.
        value: f32,
    },
    /// A quantile is a number from 0 to 1.
    #[error("quantile {found} is not between 0 and 1")]
    Quantile {
        /// The quantile asked for.
        found: f64,
    },
    /// The values differ too little, or what they would be divided by is not above zero.
    #[error(
        "cannot scale values by a range of {range}: nothing in them to tell apart by this rule"
    )]
    Flat {
        /// What the values would have been divided by.
        range: f64,
    },
}

/// Why a row could not be taken through a layer. `E` is the layer's own error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError<E> {
    /// The layer belongs to a sequence of another length.
    #[error("expected a layer of {expected} tokens, found one of {found}")]
    Tokens {
        /// Tokens of the row.
        expected: usize,
        /// Tokens of the layer.
        found: usize,
    },
    /// The layer could not make its rows.
    #[error(transparent)]
    Layer(#[from] E),
}

impl From<StepError<Infallible>> for Error {
    fn from(error: StepError<Infallible>) -> Self {
        match error {
            StepError::Tokens { expected, found } => ErrorKind::Tokens { expected, found }.into(),
            StepError::Layer(never) => match never {},
        }
    }
}
