//! What answers and explains.

use bytes::Bytes;
use explanation_jobs::{AnswerText, Files, Options, Problem, Row, Run, Target};

use crate::Watch;

/// A vision-language model and its explainer, as the server sees them.
///
/// [`Model::check`], [`Model::read`] and [`Model::pictures`] are called from a few threads at once, before anything is queued: what is
/// wrong with a request is told at once. [`Model::answer`] and [`Model::explain`] are called by the queue, from one thread, one call at a
/// time. A panic in any of them costs the item it happened for and no other.
pub trait Model: Send + Sync + 'static {
    /// What was asked, read and checked: decoded pictures, the tokens of the prompt.
    type Question: Send + 'static;
    /// What is kept of an answer so that it can be explained, more than once.
    type Kept: Send + 'static;

    /// What the model is.
    fn card(&self) -> ModelCard;

    /// Checks what does not depend on pictures and answer.
    ///
    /// # Errors
    /// [`Option`](explanation_jobs::ProblemKind::Option) and [`Target`](explanation_jobs::ProblemKind::Target): what this model cannot do.
    fn check(&self, options: &Options, targets: &[Target]) -> Result<(), Problem>;

    /// Decodes the pictures; checks the question and that there is memory for it.
    ///
    /// # Errors
    /// [`Question`](explanation_jobs::ProblemKind::Question), [`Picture`](explanation_jobs::ProblemKind::Picture),
    /// [`Memory`](explanation_jobs::ProblemKind::Memory).
    fn read(&self, asked: Asked, options: &Options) -> Result<Self::Question, Problem>;

    /// The pictures as the model will see them.
    ///
    /// # Errors
    /// [`Internal`](explanation_jobs::ProblemKind::Internal) where one cannot be written as PNG.
    fn pictures(&self, question: &Self::Question) -> Result<Vec<ShownPicture>, Problem>;

    /// Answers. Tells `watch` each piece of text.
    ///
    /// # Errors
    /// [`Cancelled`](explanation_jobs::ProblemKind::Cancelled) soon after [`Watch::is_cancelled`]; whatever went wrong.
    fn answer(
        &self,
        question: Self::Question,
        options: &Options,
        watch: &Watch,
    ) -> Result<Answered<Self::Kept>, Problem>;

    /// Explains targets of an answer. Tells `watch` each row that is ready.
    ///
    /// # Errors
    /// As [`Model::answer`].
    fn explain(
        &self,
        kept: &mut Self::Kept,
        targets: &[Target],
        options: &Options,
        watch: &Watch,
    ) -> Result<Explained, Problem>;

    /// The memory that a kept answer takes, on whatever device, in bytes.
    fn kept_bytes(&self, kept: &Self::Kept) -> u64;
}

/// What a model is: what `GET /v1/model` says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    /// The checkpoint's name.
    pub name: String,
    /// The program and its version.
    pub program: String,
    /// Where it runs, such as `cpu`.
    pub device: String,
    /// Of its weights, such as `bfloat16`.
    pub dtype: String,
    /// How many.
    pub parameters: u64,
    /// Of the language model.
    pub layers: usize,
    /// Whether questions may have pictures.
    pub sees_pictures: bool,
    /// Whether there are synthetic pictures by seed.
    pub phantoms: bool,
    /// Tokens of a picture.
    pub image_tokens: usize,
    /// Rows and columns of a picture's tokens.
    pub grid: [usize; 2],
    /// What the program may use; `None`: what the machine has.
    pub memory_budget_bytes: Option<u64>,
    /// Most pixels of a picture.
    pub pixels: u64,
    /// The SHA-256 of the files of its weights, in hexadecimal.
    pub weights_sha256: Vec<String>,
}

/// A question as it came: pictures and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Pictures, then a prompt. The files of a series of DICOM stand beside each other.
    Prompt {
        /// The files.
        images: Vec<Picture>,
        /// The words; not blank.
        prompt: String,
    },
    /// A synthetic picture, then a prompt; only where [`ModelCard::phantoms`] says so.
    Phantom {
        /// Of the picture.
        seed: u64,
        /// The words; not blank.
        prompt: String,
    },
    /// A conversation; at least one message.
    Messages(Vec<Message>),
}

/// The file of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub data: Bytes,
    /// Its name, for people. Never a path to be opened.
    pub name: Option<String>,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Pictures and texts in their order.
    pub content: Vec<Content>,
}

/// Who speaks.
#[derive(serde::Deserialize, utoipa::ToSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The one who set the scene.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A picture.
    Image(Picture),
    /// A text.
    Text(String),
}

/// A picture as the model sees it: upright, windowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPicture {
    /// For people.
    pub name: Option<String>,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The SHA-256 of its pixels, in hexadecimal.
    pub sha256: String,
    /// The file.
    pub png: Vec<u8>,
}

/// An answer, and what is needed to explain it.
#[derive(Debug)]
pub struct Answered<K> {
    /// The answer.
    pub text: AnswerText,
    /// For [`Model::explain`].
    pub kept: K,
}

/// An explanation.
#[derive(Debug)]
pub struct Explained {
    /// Targets, words and what is missing.
    pub rows: Vec<Row>,
    /// With what it was made.
    pub run: Run,
    /// The page: HTML that needs nothing beside it.
    pub report: String,
    /// The files by name. A name is 1 to 100 of `A-Z a-z 0-9 . _ -` and does not begin with a dot.
    pub files: Files,
}
