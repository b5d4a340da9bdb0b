//! Did a model use the picture, and the part that it should?
//!
#![doc = include_str!("../README.md")]

mod case; // what is asked
mod observed; // what came of one case

mod agreement; // a map beside a part of the picture
mod fill;
mod hidden; // a part of a picture behind another
mod mask;
mod random;
mod stated; // a word in an answer
mod statistics;

mod page;
mod summary; // all cases
#[cfg(feature = "parquet")]
mod table;
mod verdict;

pub mod medground; // cases and rows of a public benchmark

mod error;

pub use agreement::{Agreement, MethodAgreement, Part};
pub use case::{BadCase, Case, Cases, Files};
pub use error::Error;
pub use fill::fill;
pub use hidden::Hidden;
pub use mask::{Mask, Place, Purpose};
pub use observed::{
    Certified, Change, Changed, Choice, DecisiveWord, MOVED, Observed, TraceUse, Unchanged, Use,
    WordMap, log_odds,
};
pub use page::{About, Shown, page};
#[cfg(feature = "parquet")]
pub use parquet::errors::ParquetError;
pub use stated::{Stated, is_right, is_same, stated, yes_or_no};
pub use statistics::{Estimate, holm, sign_test};
pub use summary::{
    ChangeSummary, Group, MeasureSummary, MethodSummary, Row, Summary, TraceSummary,
};
#[cfg(feature = "parquet")]
pub use table::write_parquet;
pub use verdict::{Evidence, Judgement, LEAST_LEAD, LEAST_PATIENTS, LEAST_SHARE, Verdict};
