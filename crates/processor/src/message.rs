//! Messages of a conversation: who speaks, and texts and images in order.

use serde_json::{Value, json};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Instructions; Gemma3's template puts them before the first user text.
    System,
    /// The one who asks.
    User,
    /// The model; only in earlier turns of a conversation.
    Assistant,
}

/// One item of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Text. The template trims it and puts nothing between two items.
    Text(String),
    /// The place of the next picture.
    Image,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown, in order.
    pub content: Vec<Content>,
}

impl Message {
    /// A user's turn: `images` pictures, then the text.
    pub fn user(images: usize, text: impl Into<String>) -> Self {
        let mut content = vec![Content::Image; images];
        content.push(Content::Text(text.into()));
        Self { role: Role::User, content }
    }

    /// Instructions; to be the first message.
    pub fn system(text: impl Into<String>) -> Self {
        Self { role: Role::System, content: vec![Content::Text(text.into())] }
    }

    /// An earlier answer of the model.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: vec![Content::Text(text.into())] }
    }

    /// The texts of the message, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.content.iter().filter_map(|item| match item {
            Content::Text(text) => Some(text.as_str()),
            Content::Image => None,
        })
    }

    /// How many pictures the message shows.
    pub fn images(&self) -> usize {
        self.content.iter().filter(|item| matches!(item, Content::Image)).count()
    }

    /// As the chat template expects it; `text` may stand in for every text.
    pub(crate) fn to_value(&self, text: Option<&str>) -> Value {
        let role = match self.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let item = |item: &Content| match item {
            Content::Image => json!({ "type": "image" }),
            Content::Text(own) => json!({ "type": "text", "text": text.unwrap_or(own) }),
        };
        json!({ "role": role, "content": self.content.iter().map(item).collect::<Vec<_>>() })
    }
}
