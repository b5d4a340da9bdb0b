//! Jobs and outcomes: what files, streams and requests say.
//!
#![doc = include_str!("../README.md")]

#[cfg(feature = "cloud")]
pub mod cloud;
#[cfg(feature = "parquet")]
pub mod dataset;
#[cfg(feature = "page")]
mod index;
mod job;
mod lines;
mod object;
mod options;
mod outcome;
mod place;
mod problem;
mod shard;
mod target;
mod whole;

#[cfg(feature = "parquet")]
pub use dataset::{DataKind, DataRow, DataSet, Header, Opening, Summary};
#[cfg(all(feature = "page", feature = "cloud"))]
pub use index::write_index_remote;
#[cfg(feature = "page")]
pub use index::{Index, MOST_SHOWN, Shown, write_index};
pub use job::{ImageRef, Job, LONGEST_ID, LONGEST_TEXT, MOST_IMAGES, MOST_TARGETS};
pub use lines::{Entries, Entry, JobFile, LONGEST_LINE};
pub use object::Object;
pub use options::{
    CertificateOperator, Method, Objective, Options, Record, RelianceBlank, Resolution, SpanRule,
    Words,
};
pub use outcome::{
    AnswerText, AnswerToken, CertificateRow, Files, ImageMap, Outcome, Row, RowKind, Run,
};
pub use place::Place;
pub use problem::{Problem, ProblemKind};
pub use shard::{MOST_SHARDS, Shard, ShardFromEnv};
pub use target::{All, Occurrence, Target, Yes};
pub use whole::Whole;
