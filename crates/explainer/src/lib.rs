//! The facade: load a checkpoint, ask, explain, write.
//!
#![doc = include_str!("../README.md")]

mod answer;
mod error;
mod explain;
mod explainer;
mod export;
mod figure;
mod record;
mod shipped;
mod source;

pub use answer::{Answer, AnswerOptions, Question, Token, TokenKind};
pub use error::Error;
pub use explain::{Ask, Engine, ExplainOptions, Explanations, SpanRule, TargetExplanation};
pub use explainer::{Explainer, LoadOptions};
pub use export::{Exported, OutputFolder};
pub use record::{Record, SCHEMA, SCHEMA_VERSION};
pub use shipped::Shipped;
pub use source::{FetchObserver, ModelSource};

pub use attention_capture::{Foil, Objective, Score};
pub use attention_relevancy::{self, Update};
pub use gemma3_processor::{self, Picture, PictureOptions, ProcessorOptions, Resize, Window};
pub use gemma3_tch::{
    Bytes, DeviceSpec, DtypeSpec, GenerationConfig, Inspection, LayerType, Placement, Sampling,
    StopReason, set_threads,
};
pub use relevancy_visualization::{
    ColorDepth, Colormap, OverlayOptions, TextRelevancy, image, save_png,
};
