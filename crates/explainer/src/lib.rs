//! The facade: load a checkpoint, ask, explain, write.
//!
#![doc = include_str!("../README.md")]

mod answer;
mod answering;
mod ask;
mod blank;
mod check;
mod compared;
mod control;
mod diagnose;
mod document;
mod error;
mod explain;
mod explainer;
mod finer;
mod heads;
mod occurrence;
mod parts;
mod plan;
mod positions;
mod reliance;
mod request;
mod service;
mod shipped;
mod source;
mod versus;
mod words;

pub use answer::{Answer, AnswerOptions, Question};
pub use ask::{Ask, Engine, ExplainOptions, Explanations, HeadLayer, Missing};
pub use blank::Blank;
pub use compared::Compared;
pub use control::BlankControl;
pub use diagnose::{Check, Diagnosis, Outcome};
pub use error::Error;
pub use explain::NamedFoil;
pub use explainer::{Explainer, LoadOptions, Profile};
pub use reliance::Reliance;
pub use request::{Context, Request};
pub use service::{Pending, Service};
pub use shipped::Shipped;
pub use source::{ExplainObserver, FetchObserver, ModelSource};
pub use versus::{PhraseExplanation, VersusExplanation};
pub use words::Words;

pub use attention_capture::PatchStates;
pub use attention_relevancy::{
    self, Foil, Folding, HeadFusion, HeadMaps, HeadShares, HeadWeights, Layers, Method, MethodRow,
    Objective, PatchMap, Pool, Score, Unavailable, Update,
};
pub use explanation_record::{
    self, BlankKind, BoxAgreement, DependsOnPicture, Explained, Exported, FigureFormat, FigureKind,
    FileName, Flag, Flagged, Gain, MethodId, NATS_OF_A_CHANGE, NOTHING_SPEAKS, OutputFolder,
    Presentation, Record, RegionTable, Resolution, SCHEMA, SCHEMA_VERSION, Shown, SpanRule, Stored,
    TargetControl, TargetExplanation, TargetReliance, Token, TokenKind, remove_unfinished,
};
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
