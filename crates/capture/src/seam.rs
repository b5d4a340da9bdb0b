//! The words that a model and its explanation share: what a layer is, how attention is computed, who sees what. They stand in the crate of
//! the model; everything here takes them from this file, so that no other has to name that crate.
//!
//! What an engine asks of a model as a whole is [`LanguageModel`](crate::LanguageModel); where models are joined is `gemma.rs`.

pub(crate) use gemma3_tch::{
    Attend, AttentionLayer, Barred, Bytes, Cached, Dims, Error as ModelError, Fast, Fork, Layer,
    MaskRule, Placement, PullCost, PullRule, Qkv, QkvGradient, Sequence, SequenceLayout, Site,
    Tower, Trace, Watch, available_memory, check_memory, guard, threads,
};
