//! What a picture's user should look at before the model does: the plain types.

use serde::{Deserialize, Serialize};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CheckKind {
    /// The picture looks like a negative.
    Negative,
    /// Much of it is black or white beyond the window.
    Saturated,
    /// It is no square, and prompts that ask for places want black padding to one.
    NotPadded,
    /// A lateral view.
    Lateral,
    /// Text is burnt into the picture, or seems to be.
    BurntInText,
}

/// Something that a picture's user should look at. It changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Check {
    /// What it is.
    pub kind: CheckKind,
    /// A sentence, with the numbers that it rests on.
    pub message: String,
}

impl Check {
    /// A finding of a check.
    pub fn new(kind: CheckKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
