//! Why a job has no result.

use serde::{Deserialize, Serialize};

/// What went wrong with a job. Its text says what to do, for people; its kind is for programs.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{message}")]
pub struct Problem {
    /// In coarse kinds.
    pub kind: ProblemKind,
    /// For people.
    pub message: String,
}

/// What went wrong, as a program decides by it: the kinds of the library, and those of jobs.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// It is not a job: broken JSON, a field that is missing, misspelt or of another type.
    Job,
    /// Somebody ended it.
    Cancelled,
    /// Too much waits already; later there may be room.
    Busy,
    /// The machine, or what the program may use of it, has too little memory for it.
    Memory,
    /// The checkpoint, its device or its numbers.
    Model,
    /// The question: an empty or forbidden text, too many tokens, no picture where one is needed.
    Question,
    /// A picture cannot be used.
    Picture,
    /// Something was asked of an answer that does not have it.
    NotInAnswer,
    /// What is to be explained cannot be.
    Target,
    /// An option, or options that do not go together.
    Option,
    /// A file cannot be read or written.
    File,
    /// What should not happen: a mistake of the program.
    Internal,
}

impl ProblemKind {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::Memory => "memory",
            Self::Model => "model",
            Self::Question => "question",
            Self::Picture => "picture",
            Self::NotInAnswer => "not-in-answer",
            Self::Target => "target",
            Self::Option => "option",
            Self::File => "file",
            Self::Internal => "internal",
        }
    }
}

impl Problem {
    /// Of a kind, in words.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
