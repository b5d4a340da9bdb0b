//! What can go wrong while attention is captured.

use crate::Layers;
use crate::seam::ModelError;
use attention_relevancy::{Backward, StepError};
use std::convert::Infallible;

/// Why no explanation could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target does not lie in the sequence, or another token stands there.
    #[error(
        "target token {token} at position {position} does not stand in the sequence of {tokens} tokens"
    )]
    Target {
        /// The position asked for.
        position: usize,
        /// The token said to stand there.
        token: u32,
        /// Length of the sequence.
        tokens: usize,
    },
    /// What is to be taken out of the propagation is no token of the sequence.
    #[error(
        "position {position} was to be taken out of the propagation, but the sequence has {tokens} tokens"
    )]
    Removed {
        /// The position asked for.
        position: usize,
        /// Length of the sequence.
        tokens: usize,
    },
    /// A cell was to be taken away that is of no picture.
    #[error("position {position} was to be taken away as a cell of a picture, but is of none")]
    NoCell {
        /// The position asked for.
        position: usize,
    },
    /// The foil of a contrast is not a token id of the model.
    #[error("foil token {token} is not one of the {vocabulary} tokens of the model")]
    Foil {
        /// The token asked for.
        token: u32,
        /// Tokens that the model has.
        vocabulary: usize,
    },
    /// What would stand there without a look at the pictures was asked for, and not named.
    #[error(
        "a contrast with the answer without a look at the pictures needs foils for every target; set them with Goal::with_foils"
    )]
    UnnamedFoil,
    /// The hook saw another number of layers than the model has.
    #[error("attention of {found} layers was captured, but the model has {expected}")]
    Layers {
        /// Layers of the model.
        expected: usize,
        /// Layers captured.
        found: usize,
    },
    /// The model has no such layer.
    #[error("layer {layer} was asked for, counted from 0, but the model has {layers}")]
    Layer {
        /// The layer asked for.
        layer: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// A choice of layers that is empty, or not within the model.
    #[error(
        "layers `{chosen}` choose nothing or go beyond the {layers} layers of the model, counted from 0"
    )]
    LayerChoice {
        /// As asked for.
        chosen: Layers,
        /// Layers of the model.
        layers: usize,
    },
    /// The engine that keeps every attention takes gradients from a graph, and the graph gives nothing else.
    #[error(
        "the engine that keeps every attention explains by the gradient alone, not by the rule {backward}; the streaming engine does"
    )]
    Backward {
        /// The rule asked for.
        backward: Backward,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The recorded states do not belong to the sequence.
    #[error("states of {tokens} tokens were recorded, which do not fit the sequence of {sequence}")]
    States {
        /// Tokens recorded.
        tokens: usize,
        /// Length of the sequence.
        sequence: usize,
    },
    /// The memory budget is too small for a single row.
    #[error(
        "a memory budget of {budget} bytes is too small; the smallest that works here is {smallest}"
    )]
    Budget {
        /// The budget in bytes.
        budget: u64,
        /// What one goal and one row of a block take, in bytes.
        smallest: u64,
    },
    /// A captured attention has the wrong shape.
    #[error(
        "layer {layer}: attention has shape {found:?}, expected {expected:?} [heads, tokens, tokens]"
    )]
    Shape {
        /// The layer.
        layer: usize,
        /// By the configuration and the sequence.
        expected: [usize; 3],
        /// As captured.
        found: Vec<i64>,
    },
    /// A captured attention is no attention.
    #[error("layer {layer}: {source}")]
    Attention {
        /// The layer.
        layer: usize,
        /// What is wrong with it.
        source: attention_relevancy::Error,
    },
    /// A gradient is NaN or infinite.
    #[error("layer {layer}: the gradient is not finite; try float32")]
    Gradient {
        /// The layer.
        layer: usize,
    },
    /// The gradient is NaN or infinite in the vision tower.
    #[error("layer {layer} of the vision tower: the gradient is not finite; try float32")]
    VisionGradient {
        /// The layer.
        layer: usize,
    },
    /// The sequence has no such picture.
    #[error("picture {index} was asked for, counted from 0, but the sequence has {images}")]
    Image {
        /// The picture asked for.
        index: usize,
        /// Pictures of the sequence.
        images: usize,
    },
    /// A picture has the wrong shape.
    #[error(
        "a picture of shape {found:?} was given, expected {expected:?} [channels, rows, columns]"
    )]
    Picture {
        /// By the configuration.
        expected: [usize; 3],
        /// As given.
        found: Vec<i64>,
    },
    /// What was kept of a picture is of another model.
    #[error(
        "what was kept of the picture has {found} layers of the vision tower of shape {shape:?}, expected {expected} of {expected_shape:?}: it is of another model"
    )]
    PatchStates {
        /// Layers of this model.
        expected: usize,
        /// Patches and width of this model.
        expected_shape: [usize; 2],
        /// Layers that were kept.
        found: usize,
        /// Shape of their output.
        shape: Vec<i64>,
    },
    /// What a goal left at a picture does not fit the model.
    #[error(
        "goal {index}: relevancy of {relevancy} tokens and a gradient of shape {gradient:?} were given, expected {expected:?} [tokens, width]"
    )]
    ImagePart {
        /// Which of the goals.
        index: usize,
        /// By the configuration.
        expected: [usize; 2],
        /// Tokens that the relevancy is of.
        relevancy: usize,
        /// Shape of the gradient.
        gradient: Vec<i64>,
    },
    /// A logit is NaN or infinite.
    #[error("the logit at position {row} is not finite; try float32")]
    Logit {
        /// The position.
        row: usize,
    },
    /// The arrays do not fit together.
    #[error(transparent)]
    Relevancy(#[from] attention_relevancy::Error),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl Error {
    /// Whether memory ran out inside libtorch: less at a time may do.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Model(error) if error.is_out_of_memory())
    }
}

impl From<StepError<Infallible>> for Error {
    fn from(error: StepError<Infallible>) -> Self {
        Self::Relevancy(error.into())
    }
}
