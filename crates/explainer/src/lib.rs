//! The facade: load a checkpoint, ask, explain, write.
//!
#![doc = include_str!("../README.md")]

mod answer;
mod arrays;
mod ask;
mod blank;
mod check;
mod compared;
mod control;
mod diagnose;
mod difference;
mod error;
mod explain;
mod explainer;
mod export;
mod figure;
mod figures;
mod finer;
mod heads;
mod occurrence;
mod parts;
mod plan;
mod positions;
mod presentation;
mod record;
mod reliance;
mod report;
mod results;
mod shipped;
mod smooth;
mod source;
mod stored;
mod template;
mod versus;
mod words;

pub use answer::{Answer, AnswerOptions, Question, Token, TokenKind};
pub use ask::{
    Ask, Engine, ExplainOptions, Explanations, HeadLayer, Missing, NOTHING_SPEAKS, Resolution,
    SpanRule, TargetExplanation,
};
pub use blank::Blank;
pub use compared::Compared;
pub use control::{BlankControl, TargetControl};
pub use diagnose::{Check, Diagnosis, Outcome};
pub use error::Error;
pub use explain::NamedFoil;
pub use explainer::{Explainer, LoadOptions, Profile};
pub use export::{BoxAgreement, Exported, OutputFolder, RegionTable, remove_unfinished};
pub use presentation::{FigureFormat, FigureKind, Presentation};
pub use record::{Record, SCHEMA, SCHEMA_VERSION};
pub use reliance::{
    DependsOnPicture, Flag, Flagged, Gain, NATS_OF_A_CHANGE, Reliance, TargetReliance,
};
pub use shipped::Shipped;
pub use source::{ExplainObserver, FetchObserver, ModelSource};
pub use stored::Stored;
pub use versus::{PhraseExplanation, VersusExplanation};
pub use words::Words;

pub use attention_capture::{
    Foil, Folding, HeadMaps, HeadShares, HeadWeights, Layers, Method, MethodRow, Objective,
    PatchMap, PatchStates, Pool, Score, Unavailable,
};
pub use attention_relevancy::{self, Heads, Update};
pub use gemma3_processor::{
    self, Picture, PictureOptions, ProcessorOptions, Resize, Window, worker,
};
pub use gemma3_tch::{
    Bytes, DeviceSpec, DtypeSpec, GenerationConfig, Inspection, LayerType, Placement, Sampling,
    StopReason, set_threads,
};
pub use relevancy_visualization::{
    ColorDepth, Colormap, Interpolation, Localization, Opacity, Orientation, OverlayOptions,
    RegionScore, RegionSpec, TextRelevancy, escape_controls, escape_json_controls, image,
    region_table, save_png,
};
