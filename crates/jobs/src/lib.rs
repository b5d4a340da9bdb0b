//! Jobs and outcomes: what files, streams and requests say.
//!
#![doc = include_str!("../README.md")]

mod job;
mod object;
mod options;
mod outcome;
mod problem;
mod target;
mod whole;

pub use job::{ImageRef, Job, LONGEST_ID, LONGEST_TEXT, MOST_IMAGES, MOST_TARGETS};
pub use object::Object;
pub use options::{
    CertificateOperator, Method, Objective, Options, Record, RelianceBlank, Resolution, SpanRule,
    Words,
};
pub use outcome::{
    AnswerText, AnswerToken, CertificateRow, Files, ImageMap, Outcome, Row, RowKind, Run,
};
pub use problem::{Problem, ProblemKind};
pub use target::{All, Occurrence, Target, Yes};
pub use whole::Whole;
