//! What is answered, as JSON.

use std::sync::Arc;

use explanation_jobs::{AnswerText, AnswerToken, Problem, Row, Run};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{Limits, ModelCard, Step};

/// JSON that was written once and is shared by all who read it.
#[derive(Clone, Debug)]
pub(crate) struct Json(Arc<RawValue>);

impl Json {
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::value::to_raw_value(value)?.into()))
    }

    pub(crate) fn text(&self) -> &str {
        self.0.get()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.into()))
    }
}

/// What an item is.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Answer,
    Explanation,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Explanation => "explanation",
        }
    }

    /// The address of all of its kind.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Answer => "/v1/answers",
            Self::Explanation => "/v1/explanations",
        }
    }
}

/// How far an item is.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StateName {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl StateName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An answer or an explanation, however far it is.
#[derive(Serialize, Deserialize, ToSchema, Debug)]
pub(crate) struct ItemView {
    /// Its name in addresses.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) state: StateName,
    /// How many stand before it in the queue; null where it does not wait.
    #[schema(required)]
    pub(crate) position: Option<usize>,
    /// About how long it will wait, by what similar work took; null where that is not known.
    #[schema(required)]
    pub(crate) waits_seconds: Option<f64>,
    #[schema(required)]
    pub(crate) progress: Option<ProgressView>,
    #[schema(format = DateTime)]
    pub(crate) created: String,
    /// When it is forgotten unless it is asked for; null while it is not finished, and where it is stored.
    #[schema(required, format = DateTime)]
    pub(crate) expires: Option<String>,
    #[schema(required, value_type = Option<AnswerView>)]
    pub(crate) answer: Option<Json>,
    /// The pictures as the model sees them.
    pub(crate) pictures: Vec<PictureView>,
    /// The rows that are ready; null before the first, and for an answer.
    #[schema(required, value_type = Option<Vec<Row>>)]
    pub(crate) rows: Option<Vec<Json>>,
    #[schema(required, value_type = Option<Run>)]
    pub(crate) run: Option<Json>,
    /// Why it failed; beside `done`: why it could not be stored.
    #[schema(required)]
    pub(crate) problem: Option<Problem>,
}

/// How far the work is.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, Debug)]
pub(crate) struct ProgressView {
    pub(crate) step: Step,
    pub(crate) done: u64,
    #[schema(required)]
    pub(crate) total: Option<u64>,
    /// About how long the step will go on.
    #[schema(required)]
    pub(crate) seconds_left: Option<f64>,
}

/// A picture as the model sees it.
#[derive(Serialize, Deserialize, ToSchema, Clone, Debug)]
pub(crate) struct PictureView {
    pub(crate) width: u32,
    pub(crate) height: u32,
    #[schema(required)]
    pub(crate) name: Option<String>,
    /// Of its pixels, in hexadecimal.
    pub(crate) sha256: String,
    /// Its address.
    pub(crate) png: String,
}

/// An answer, with the id by which it can be explained.
#[derive(Serialize, ToSchema)]
pub(crate) struct AnswerView {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// The answer, without the thinking trace.
    text: String,
    /// The thinking trace; left out where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    trace: String,
    /// Why it ended, for people.
    stop: String,
    /// The tokens of the answer.
    tokens: Vec<AnswerToken>,
}

impl AnswerView {
    pub(crate) fn new(id: String, answer: AnswerText) -> Self {
        let AnswerText { text, trace, stop, tokens } = answer;
        Self { id, text, trace, stop, tokens }
    }
}

/// The files of an explanation.
#[derive(Serialize, ToSchema)]
pub(crate) struct FilesView {
    pub(crate) files: Vec<FileView>,
}

/// A file of an explanation.
#[derive(Serialize, ToSchema)]
pub(crate) struct FileView {
    pub(crate) name: String,
    pub(crate) bytes: usize,
    pub(crate) media_type: &'static str,
}

/// The model, and what the server takes.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelView {
    name: String,
    program: String,
    device: String,
    dtype: String,
    parameters: u64,
    layers: usize,
    /// Whether questions may have pictures.
    sees_pictures: bool,
    /// Whether `phantom` may stand in the place of pictures.
    phantoms: bool,
    /// Tokens of a picture.
    image_tokens: usize,
    /// Rows and columns of a picture's tokens.
    #[schema(min_items = 2, max_items = 2)]
    grid: [usize; 2],
    /// What the program may use; null: what the machine has.
    #[schema(required)]
    memory_budget_bytes: Option<u64>,
    limits: LimitsView,
    seconds: SecondsView,
    /// The SHA-256 of the files of its weights, in hexadecimal.
    weights_sha256: Vec<String>,
}

/// What the server takes, and how much it keeps.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitsView {
    /// Of the body of a request.
    body_bytes: usize,
    /// Of the file of a picture.
    picture_bytes: usize,
    /// Of a picture.
    pixels: u64,
    images: usize,
    targets: usize,
    queue: usize,
    kept_bytes: u64,
    kept_seconds: f64,
}

/// What work took so far; null where none was done.
#[derive(Serialize, ToSchema, Clone, Copy, Debug)]
pub(crate) struct SecondsView {
    /// A token of an answer.
    #[schema(required)]
    pub(crate) answer_token: Option<f64>,
    /// An explanation.
    #[schema(required)]
    pub(crate) explanation: Option<f64>,
}

impl ModelView {
    pub(crate) fn new(card: ModelCard, limits: &Limits, seconds: SecondsView) -> Self {
        let pixels = card.pixels;
        Self {
            name: card.name,
            program: card.program,
            device: card.device,
            dtype: card.dtype,
            parameters: card.parameters,
            layers: card.layers,
            sees_pictures: card.sees_pictures,
            phantoms: card.phantoms,
            image_tokens: card.image_tokens,
            grid: card.grid,
            memory_budget_bytes: card.memory_budget_bytes,
            limits: LimitsView {
                body_bytes: limits.body_bytes,
                picture_bytes: limits.picture_bytes,
                pixels,
                images: limits.images,
                targets: limits.targets,
                queue: limits.queue,
                kept_bytes: limits.kept_bytes,
                kept_seconds: limits.kept.as_secs_f64(),
            },
            seconds,
            weights_sha256: card.weights_sha256,
        }
    }
}

/// That the server is there.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub(crate) status: &'static str,
}
