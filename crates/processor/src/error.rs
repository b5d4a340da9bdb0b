//! What can go wrong, by fault domain: checkpoint files, prompt, pictures, keyword.

use std::path::{Path, PathBuf};

use crate::quote::shown;

use crate::ForeignFile;

/// Every failure of this crate. Messages name the file or field and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Files
    /// The checkpoint is not a directory.
    #[error("{} is not a directory; give the folder that holds config.json and tokenizer.json", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder, pipe, device or socket stands where a file should be.
    #[error("{} is {found}, expected a file", path.display())]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// A file is larger than anything sensible of its kind.
    #[error("{} is larger than the limit of {limit} bytes", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Accepted size in bytes.
        limit: u64,
    },

    /// A JSON file has more in it than anything sensible of its kind; it was not parsed.
    #[error("{} has more than {limit} {what}, which no checkpoint needs", path.display())]
    JsonTooLarge {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// How much is accepted.
        limit: usize,
    },

    // Checkpoint
    /// A JSON file does not parse or has a field of another type.
    #[error("{} is not what it should be: {}", path.display(), shown(&source.to_string()))]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        source: serde_json::Error,
    },
    /// A field that cannot be guessed is absent.
    #[error("{}: field `{field}` is missing", path.display())]
    MissingField {
        /// The file.
        path: PathBuf,
        /// The field, dotted.
        field: String,
    },
    /// A field has a value this crate cannot work with.
    #[error("{}: field `{field}` is {found}, expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, dotted.
        field: String,
        /// What would have been accepted.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// `tokenizer.json` cannot be used.
    #[error("{}: broken or unsupported tokenizer: {message}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A checkpoint that sees pictures has no chat template, in none of the three files of a directory or in the metadata of a GGUF file.
    #[error(
        "no chat template in {}{}; a question about a picture needs one: base models have none, and a file with one can be given",
        path.display(),
        if path.is_dir() {
            ": neither chat_template.jinja nor chat_template.json nor tokenizer_config.json has one"
        } else {
            ""
        }
    )]
    NoTemplate {
        /// The checkpoint directory, or the GGUF file.
        path: PathBuf,
    },
    /// A GGUF file that cannot be used.
    #[error(transparent)]
    Gguf(#[from] quantised_weights::Error),
    /// Without a chat template a model continues one text, and more was given.
    #[error(
        "the model has no chat template, so it continues a text: give one message of the user's, without a system prompt"
    )]
    OneMessage,
    /// Pictures for a language model alone.
    #[error("the model sees no pictures: it is a language model alone; ask it without one")]
    NoVision,
    /// The chat template is not one of the known ones, and there is no process to render it in.
    #[error(
        "chat template {}: it is not one of the known ones, and a template can take all memory or end the program; \
         an application renders such templates in a process of its own once it calls `worker::serve_if_asked` first in \
         `main` (Linux), and in its own process when it sets `trust_template`",
        path.display()
    )]
    UnknownTemplate {
        /// The file the template came from.
        path: PathBuf,
    },
    /// The chat template does not compile, refuses the messages, or takes too much time, memory or stack.
    #[error("chat template {}: {message}", path.display())]
    Template {
        /// The file the template came from.
        path: PathBuf,
        /// The engine's message, or what the template raised.
        message: String,
    },

    // Prompt
    /// There is nothing to ask: no message, a message without content, or a blank text.
    #[error("message {message} is empty; a prompt needs text")]
    EmptyPrompt {
        /// Index of the message.
        message: usize,
    },
    /// A text contains a token that only the template may write.
    #[error(
        "message {message} contains the control token `{}`; pictures and turns cannot be written as text, remove it",
        shown(token)
    )]
    ControlToken {
        /// Index of the message.
        message: usize,
        /// The token as it was typed.
        token: String,
    },
    /// A given answer contains a token that only the model or the template may write.
    #[error(
        "the answer contains the control token `{}`; give it as plain text, remove it",
        shown(token)
    )]
    AnswerControlToken {
        /// The token as it was typed.
        token: String,
    },
    /// A given answer has no text.
    #[error("the answer is empty; give its text")]
    EmptyAnswer,
    /// Texts that are harmless alone join to a control token in the rendered prompt.
    #[error(
        "the texts join to the control token `{}` once the chat template is applied; change them",
        shown(token)
    )]
    JoinedControlToken {
        /// The token that appeared.
        token: String,
    },
    /// Image items and pictures differ in number.
    #[error("the messages have {expected} image items, but {found} pictures were given")]
    PictureCount {
        /// Image items in the messages.
        expected: usize,
        /// Pictures given.
        found: usize,
    },
    /// The template dropped every image.
    #[error(
        "chat template {}: no image placeholder: `{}` does not occur in the rendered prompt",
        path.display(),
        shown(placeholder)
    )]
    NoPlaceholder {
        /// The file the template came from.
        path: PathBuf,
        /// The token that should stand for an image.
        placeholder: String,
    },
    /// The template dropped or doubled some images.
    #[error(
        "chat template {}: it wrote {found} image placeholders for {expected} pictures",
        path.display()
    )]
    PlaceholderCount {
        /// The file the template came from.
        path: PathBuf,
        /// Pictures given.
        expected: usize,
        /// Placeholders in the rendered prompt.
        found: usize,
    },
    /// The prompt does not begin with exactly one beginning-of-sequence token.
    #[error(
        "the prompt has {found} `{}` tokens and must begin with exactly one; check the chat template and the tokenizer",
        shown(token)
    )]
    BeginToken {
        /// The token.
        token: String,
        /// How many were found.
        found: usize,
    },
    /// A run of image tokens has another length, or is not wrapped as it should be.
    #[error(
        "the image tokens at positions {start}..{end} are not one image of {expected} tokens between its begin and end"
    )]
    ImageSpan {
        /// First position of the run.
        start: usize,
        /// Position after the run.
        end: usize,
        /// Tokens an image has.
        expected: usize,
    },
    /// Images in the token sequence and images prepared differ in number.
    #[error("{expected} images were prepared, but the tokens hold {found}")]
    ImageCount {
        /// Images (pictures and their crops).
        expected: usize,
        /// Runs of image tokens.
        found: usize,
    },
    /// The prompt does not fit the context of the model.
    #[error(
        "the prompt has at least {tokens} tokens, the model takes {limit}; shorten the text or give fewer pictures"
    )]
    TooManyTokens {
        /// Tokens counted.
        tokens: usize,
        /// `max_position_embeddings`.
        limit: usize,
    },
    /// The tokenizer refused a text.
    #[error("cannot tokenise the text: {message}")]
    Encode {
        /// What the tokenizer said.
        message: String,
    },

    // Pictures
    /// The bytes are no picture of a known kind.
    #[error("{name} is not a picture; PNG, JPEG, TIFF, WebP and BMP can be read")]
    NotAPicture {
        /// File name.
        name: String,
    },
    /// The bytes are a file of another kind.
    #[error("{name} is {kind}; pictures are read from PNG, JPEG, TIFF, WebP and BMP: {}", kind.advice())]
    ForeignFile {
        /// File name.
        name: String,
        /// What it is.
        kind: ForeignFile,
    },
    /// A picture format or pixel type that is not handled.
    #[error(
        "{name}: {what} is not supported; convert it to 8-bit or 16-bit PNG, JPEG, TIFF, WebP or BMP"
    )]
    UnsupportedPicture {
        /// File name.
        name: String,
        /// The format or pixel type.
        what: String,
    },
    /// The picture would need more memory than allowed.
    #[error(
        "{name}: {what} is {found}, the limit is {limit}; make the picture smaller, the model sees far fewer pixels"
    )]
    PictureLimit {
        /// File name.
        name: String,
        /// The quantity that is limited.
        what: &'static str,
        /// Its value.
        found: u64,
        /// Its limit.
        limit: u64,
    },
    /// The decoder found the data broken.
    #[error("{name}: cannot decode the picture: {message}")]
    Decode {
        /// File name.
        name: String,
        /// What the decoder said.
        message: String,
    },
    /// The file ends before the picture does.
    #[error("{name}: the picture is truncated")]
    Truncated {
        /// File name.
        name: String,
    },
    /// The decoder itself failed on the data.
    #[error("{name}: the picture decoder crashed on this file; it is broken or hostile")]
    DecoderPanic {
        /// File name.
        name: String,
    },
    /// A side of the picture is zero.
    #[error("{name}: the picture has no pixels ({width} x {height})")]
    ZeroSize {
        /// File name.
        name: String,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A window that maps nothing.
    #[error("the window {low}..{high} is empty or out of order; low must be below high")]
    Window {
        /// Lower end, as given.
        low: f64,
        /// Upper end, as given.
        high: f64,
    },
    /// The rule for pan-and-scan cannot be applied.
    #[error("pan-and-scan: `{field}` is {found}; {expected}")]
    CropRule {
        /// Field of the rule.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would be accepted.
        expected: &'static str,
    },

    // Keyword
    /// The keyword is blank.
    #[error("the keyword is empty")]
    EmptyKeyword,
    /// The keyword does not occur (often enough).
    #[error("`{keyword}` {} in the text: {text}", shortfall(*found, *nth))]
    KeywordNotFound {
        /// What was searched.
        keyword: String,
        /// Which occurrence, from 0.
        nth: usize,
        /// How many there are.
        found: usize,
        /// The text that was searched.
        text: String,
    },
}

impl Error {
    /// [`Error::Tokenizer`] with a message that may repeat text of the file.
    pub(crate) fn tokenizer(path: &Path, message: &str) -> Self {
        Self::Tokenizer { path: path.into(), message: shown(message) }
    }

    /// [`Error::Field`] with texts that may come from the file: cut, and without control characters.
    pub(crate) fn field(path: &Path, field: &str, found: &str, expected: &str) -> Self {
        Self::Field {
            path: path.into(),
            field: shown(field),
            expected: shown(expected),
            found: shown(found),
        }
    }
}

/// How often a keyword occurs, for people, who count from 1.
fn shortfall(found: usize, nth: usize) -> String {
    match found {
        0 => "does not occur as a whole word".to_owned(),
        1 => format!("occurs once and has no occurrence {}", nth.saturating_add(1)),
        _ => format!("occurs {found} times and has no occurrence {}", nth.saturating_add(1)),
    }
}
