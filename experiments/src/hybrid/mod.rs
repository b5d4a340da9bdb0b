//! The hybrid: a real language model, frozen, behind a vision tower and a projector of ours, that answers in natural sentences. What is
//! trained is tower, projector and a low-rank adapter of the decoder.

pub mod cases;
pub mod decoder;
pub mod evaluate;
pub mod examples;
pub mod export;
pub mod language;
pub mod merged;
pub mod run;
pub mod spelling;
