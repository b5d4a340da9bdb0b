//! Cells of pictures taken away, one after the other.

use std::fmt;

/// How one cell of a picture is taken away, to see what the explained scalar truly loses. Tokens and their positions stay what they are.
///
/// Occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014), at the tokens of the language model: what
/// the vision tower had carried from the cell to its neighbours stays.
///
/// Closed, as [`Method`](crate::Method) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occlusion {
    /// The embedding of the cell becomes the mean embedding of its picture (mean ablation of one token). It is what
    /// [`mean_cell_drop`](crate::mean_cell_drop) is the first-order term of. Everything behind the beginning of the picture changes.
    MeanEmbedding,
    /// No token behind the pictures sees the key of the cell, in any head of any layer (attention knock-out; Geva et al., "Dissecting Recall
    /// of Factual Associations in Auto-Regressive Language Models", EMNLP 2023). It asks from which cells question and answer read: what
    /// the cell gave to other cells, to later pictures and to text between pictures stays.
    Knockout,
}

impl Occlusion {
    /// Both.
    pub const ALL: [Self; 2] = [Self::MeanEmbedding, Self::Knockout];
}

/// `mean embedding`, `knock-out`.
impl fmt::Display for Occlusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MeanEmbedding => "mean embedding",
            Self::Knockout => "knock-out",
        })
    }
}
