//! Which heads and layers are folded into a row.

use std::{fmt, ops::Range};

use crate::HeadFusion;

/// Some of the L layers of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layers {
    /// All of them: the published rule.
    #[default]
    All,
    /// Those with full attention, which see every token before. The others see a window.
    Global,
    /// These, counted from 0.
    Range(Range<usize>),
}

/// How the relevancy row is made of attention and its gradient, beside the [`Update`](crate::Update).
///
/// A layer that is not chosen leaves the row as it is; the gradient goes through every layer all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Folding {
    /// How heads become one: `Ā = fuse_h[(A⊙∇A)⁺]`.
    pub heads: HeadFusion,
    /// The layers that the row is taken through.
    pub layers: Layers,
}

impl Folding {
    /// The same with another fusion of heads.
    #[must_use]
    pub fn with_heads(self, heads: HeadFusion) -> Self {
        Self { heads, ..self }
    }

    /// The same for other layers.
    #[must_use]
    pub fn with_layers(self, layers: Layers) -> Self {
        Self { layers, ..self }
    }
}

impl Layers {
    /// Whether each layer is chosen, `[L]`; `is_full` says of each whether its attention is full. `None` where none is chosen, or where
    /// the range does not lie within the layers.
    ///
    /// ```
    /// use attention_relevancy::Layers;
    ///
    /// let is_full = [false, true, false];
    /// assert_eq!(Layers::Global.chosen(&is_full), Some(vec![false, true, false]));
    /// assert_eq!(Layers::Range(1..3).chosen(&is_full), Some(vec![false, true, true]));
    /// assert_eq!(Layers::Range(2..4).chosen(&is_full), None);
    /// ```
    pub fn chosen(&self, is_full: &[bool]) -> Option<Vec<bool>> {
        let within = !matches!(self, Self::Range(range) if is_full.len() < range.end);
        let chosen = |(layer, &is_full): (usize, &bool)| match self {
            Self::All => true,
            Self::Global => is_full,
            Self::Range(range) => range.contains(&layer),
        };
        let chosen: Vec<bool> = is_full.iter().enumerate().map(chosen).collect();
        (within && chosen.contains(&true)).then_some(chosen)
    }
}

/// `all`, `global`, `3..5`.
impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Global => f.write_str("global"),
            Self::Range(range) => write!(f, "{}..{}", range.start, range.end),
        }
    }
}
