//! What came of a job.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Problem;

/// What came of a job: the answer with a row for each target, or the problem that kept it from being explained.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Outcome {
    /// That of the job.
    pub id: String,
    /// The answer; `None` where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<AnswerText>,
    /// Targets, phrases, words and what is missing, in that order; empty with a problem.
    #[serde(default)]
    pub rows: Vec<Row>,
    /// The checkpoint and how it was explained.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<Run>,
    /// What kept it from being explained.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<Problem>,
}

impl Outcome {
    /// Of a job that a problem kept from being explained.
    pub fn failed(id: impl Into<String>, problem: Problem) -> Self {
        Self { id: id.into(), answer: None, rows: Vec::new(), run: None, problem: Some(problem) }
    }
}

/// With what a job was done.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// The program and its version.
    pub program: String,
    /// The checkpoint, as it was asked for.
    pub model: String,
    /// The SHA-256 of the files of its weights, in hexadecimal.
    pub model_sha256: Vec<String>,
    /// The SHA-256 of the pixels of each picture.
    pub pictures_sha256: Vec<String>,
    /// How it was explained, as JSON: the `settings` of a record.
    pub settings: String,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// Seconds from pictures to rows.
    pub seconds: f64,
}

/// An answer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerText {
    /// The answer, without the thinking trace.
    pub text: String,
    /// The thinking trace; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace: String,
    /// Why it ended, for people.
    pub stop: String,
    /// The tokens of the answer.
    pub tokens: Vec<AnswerToken>,
}

/// A token of an answer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerToken {
    /// Its position over prompt and answer, from 0.
    pub position: usize,
    /// Where it stands in the text: its first character and the one after the last, as [`Target::Characters`](crate::Target) counts. `None`:
    /// not in the text (a stop token, the trace).
    #[cfg_attr(feature = "openapi", schema(min_items = 2, max_items = 2))]
    pub span: Option<[usize; 2]>,
    /// Its text.
    pub text: String,
}

/// What a row is about.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// What was asked for.
    Target,
    /// A phrase against another in its place; its maps are what speaks for the one rather than the other.
    Phrase,
    /// A word of the answer, explained beside the targets.
    Word,
    /// What was asked for and is not in the answer.
    Missing,
}

/// The explanation of a target.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Row {
    /// Its number within the job, from 0.
    pub index: usize,
    /// What it is about.
    pub kind: RowKind,
    /// What was asked for, for people: `keyword "opacity"`, `phrase "left" against "right"`.
    pub asked: String,
    /// The text that is explained; why there is none, where it is missing.
    pub text: String,
    /// The positions of its tokens.
    pub positions: Vec<usize>,
    /// Where it stands in the answer: its first character and the one after the last.
    #[cfg_attr(feature = "openapi", schema(min_items = 2, max_items = 2))]
    pub span: Option<[usize; 2]>,
    /// Its probability: the product over its tokens.
    pub probability: Option<f64>,
    /// Of a phrase against another: the logarithm of its probability less that of the other, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_ratio: Option<f64>,
    /// The part of the relevancy that is in the pictures, from 0 to 1.
    pub image_share: Option<f64>,
    /// A map for each image: a picture, or a crop of one.
    pub maps: Vec<ImageMap>,
    /// The relevancy of the tokens that are no part of a picture: position and value, what is zero left out.
    pub text_positions: Vec<usize>,
    /// The values to [`Row::text_positions`].
    pub text_relevancy: Vec<f32>,
    /// The relevancy by region of the first picture, where regions were asked for: name and share of the relevancy in the picture.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub regions: BTreeMap<String, f64>,
    /// What the pictures add to its log-probability, in nats, by what stood in their place; where reliance was asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gains: BTreeMap<String, f64>,
    /// Whether it depends on the picture: `yes`, `no` or `unknown`; where reliance was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on_picture: Option<String>,
    /// Its certificate, by operator; where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate: Vec<CertificateRow>,
}

/// A map over an image.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageMap {
    /// Index of the picture that the image shows.
    pub picture: usize,
    /// The part of the picture that it shows, in pixels: x, y, width, height.
    #[cfg_attr(feature = "openapi", schema(min_items = 4, max_items = 4))]
    pub region: [f64; 4],
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub columns: usize,
    /// The relevancy of each cell, row by row.
    pub values: Vec<f32>,
}

/// What a certificate says by one operator.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificateRow {
    /// The operator: `knock-out`, `mean-embedding`, `blur` or `road`.
    pub operator: String,
    /// AUC(LeRF) − AUC(MoRF); `None` where the picture is worth too little.
    pub srg: Option<f64>,
    /// Its p among the controls.
    pub p: Option<f64>,
    /// Whether it is ahead of its controls.
    pub ahead: Option<bool>,
}

/// Files of results by name: page, record, arrays, pictures.
pub type Files = BTreeMap<String, Vec<u8>>;
