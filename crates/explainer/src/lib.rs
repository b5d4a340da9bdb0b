//! The facade: load a checkpoint, ask, explain, write.
//!
#![doc = include_str!("../README.md")]

mod adapter;
mod answer;
mod answering;
mod archive;
mod ask;
mod audit;
mod beginning;
mod blank;
mod certificate;
mod check;
mod compared;
mod control;
mod counterpart;
mod device;
mod diagnose;
mod document;
mod error;
mod explain;
mod explainer;
mod filled;
mod finer;
mod generated;
mod heads;
mod identity;
mod inspection;
mod occurrence;
mod parts;
mod picture_cache;
mod pictures;
mod plan;
mod positions;
mod reliance;
mod request;
mod service;
mod setters;
mod shipped;
mod source;
mod trace;
mod versus;
mod weight_files;
mod words;

pub use adapter::{AdapterSource, AppliedAdapter};
pub use answer::{Answer, AnswerOptions, Question};
pub use archive::Archive;
pub use ask::{
    Ask, Engine, ExplainOptions, Explanations, HAS_LRP, HeadLayer, Missing, SinkOptions,
};
pub use audit::{AuditCase, AuditOptions, AuditPart};
pub use blank::Blank;
pub use certificate::{Certificate, CertificateOptions};
pub use compared::Compared;
pub use control::BlankControl;
pub use counterpart::Counterparts;
pub use device::{DeviceSpec, DtypeSpec, set_threads};
pub use diagnose::{Check, Diagnosis, Outcome};
pub use error::{Error, ErrorKind};
pub use explain::NamedFoil;
pub use explainer::{Explainer, LoadOptions, Profile};
pub use generated::{Generated, Sampling, StopReason};
pub use inspection::{Bytes, Inspection, LanguageModel, Misshapen, Parameters, VisionTower};
pub use picture_cache::PictureCache;
pub use pictures::{NO_SIDES, ReadOptions, ReadPicture, input_checks, read_pictures};
pub use reliance::Reliance;
pub use request::{Context, Request};
pub use service::{Pending, Service};
pub use shipped::Shipped;
pub use source::{ExplainObserver, FetchObserver, ModelSource};
pub use versus::{PhraseExplanation, VersusExplanation};
pub use words::Words;

pub use attention_relevancy::{
    Backward, Explanation, Foil, Foils, Folding, HeadFusion, HeadMaps, HeadShares, HeadWeights,
    Layers, Method, MethodRow, Objective, Occlusion, PatchMap, Pool, Score, Shares, Sink, SinkRule,
    Sinks, Unavailable, Update,
};
pub use explanation_record::record::{AnswerRecord, ModelRecord, TokenRecord, WeightFile, sha256};
pub use explanation_record::{
    BlankKind, BoxAgreement, ControlGain, ControlKind, Counterpart, DependsOnPicture, Explained,
    ExplainedImage, ExplainedPicture, ExplainedTarget, Exported, Faithfulness, FigureFormat,
    FigureKind, FileName, Flag, Flagged, Gain, LEAST_GAIN, MapAgreement, MapChange, MethodGain,
    MethodId, NATS_OF_A_CHANGE, NO_EFFECT, NOTHING_SPEAKS, Operator, OperatorCertificate,
    OutputFolder, PRIOR, Presentation, RandomParts, Record, RegionTable, Resolution, SCHEMA,
    SCHEMA_VERSION, SIGNIFICANT, Shown, SliceShare, SpanRule, Stored, TargetCertificate,
    TargetControl, TargetExplanation, TargetReliance, ThroughTrace, Token, TokenKind, Versus,
    WordGain, remove_unfinished,
};
pub use gemma3_processor::{
    Content, Message, Picture, PictureOptions, Prepared, PreparedImage, Processor,
    ProcessorOptions, Resize, Role, Window, read_file, worker,
};
/// DICOM and `NIfTI`: recipes, windows, provenance; and objects of both for archives.
pub use medical_pictures as medical;
pub use model_audit::{
    Agreement, Certified, Change, Changed, Choice, DecisiveWord, Mask, MethodAgreement, Observed,
    Stated, TraceUse, Unchanged, WordMap,
};
// Pictures go in and figures come out as arrays that other programs have already; a copy of either type would only be converted.
pub use attention_relevancy::ndarray;
pub use relevancy_visualization::image::RgbImage;
pub use relevancy_visualization::{
    ColorDepth, Colormap, Frame, Interpolation, Localization, Opacity, Orientation, OverlayOptions,
    RegionScore, RegionSpec, TextRelevancy, escape_controls, escape_json_controls, region_table,
    save_png,
};
