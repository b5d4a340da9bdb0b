//! What may be asked, as JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use explanation_jobs::{LONGEST_TEXT, Object, Options, Problem, ProblemKind, Target, Whole};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::{Asked, Content, Limits, Message, Picture, Role, id::Id};

/// A question: images and a prompt, a phantom and a prompt, or messages.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerRequest {
    /// Pictures, before the prompt.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<ImageData>>)]
    images: Option<Vec<Object<ImageData>>>,
    /// The seed of a synthetic radiograph in the place of images; only where the model says `phantoms`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    phantom: Option<Whole<u64>>,
    /// The question.
    #[schema(min_length = 1, max_length = 1_048_576)]
    #[serde(default, deserialize_with = "present")]
    prompt: Option<String>,
    /// A conversation in the place of images and prompt.
    #[schema(min_items = 1, max_items = 1000, value_type = Option<Vec<MessageData>>)]
    #[serde(default, deserialize_with = "present")]
    messages: Option<Vec<Object<MessageData>>>,
    /// How it is answered; options about explaining are refused.
    #[serde(default)]
    #[schema(value_type = Options)]
    options: Object<Options>,
    /// Cancelled when the last listener of its events has gone for 3 s.
    #[serde(default)]
    cancel_when_left: bool,
}

/// What is to be explained: a kept answer, or a question as for an answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplanationRequest {
    /// The id of an answer that is done; then everything that asks is left out.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    #[serde(default, deserialize_with = "present")]
    answer: Option<String>,
    /// Pictures, before the prompt.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<ImageData>>)]
    images: Option<Vec<Object<ImageData>>>,
    /// The seed of a synthetic radiograph in the place of images; only where the model says `phantoms`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    phantom: Option<Whole<u64>>,
    /// The question.
    #[schema(min_length = 1, max_length = 1_048_576)]
    #[serde(default, deserialize_with = "present")]
    prompt: Option<String>,
    /// A conversation in the place of images and prompt.
    #[schema(min_items = 1, max_items = 1000, value_type = Option<Vec<MessageData>>)]
    #[serde(default, deserialize_with = "present")]
    messages: Option<Vec<Object<MessageData>>>,
    /// What is explained; where it is empty, the content words of the answer.
    #[serde(default)]
    targets: Vec<Target>,
    /// How it is answered and explained.
    #[serde(default)]
    #[schema(value_type = Options)]
    options: Object<Options>,
    /// Cancelled when the last listener of its events has gone for 3 s.
    #[serde(default)]
    cancel_when_left: bool,
}

/// A picture.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageData {
    /// The file in base64.
    #[schema(format = Byte, min_length = 4)]
    data: String,
    /// For people.
    #[serde(default, deserialize_with = "present")]
    #[schema(max_length = 255)]
    name: Option<String>,
}

/// A message of a conversation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageData {
    role: Role,
    #[schema(min_items = 1, max_items = 1000, value_type = Vec<ContentData>)]
    content: Vec<Object<ContentData>>,
}

/// A part of a message.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum ContentData {
    Image {
        /// The file in base64.
        #[schema(format = Byte, min_length = 4)]
        data: String,
        /// For people.
        #[serde(default, deserialize_with = "present")]
        #[schema(max_length = 255)]
        name: Option<String>,
    },
    Text {
        #[schema(min_length = 1, max_length = 1_048_576)]
        text: String,
    },
}

/// The parts of a form: files, and everything else as JSON.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is read part by part; this is its description")]
pub(crate) struct AnswerForm {
    /// Files of pictures, several; the files of one series stand beside each other.
    #[schema(required = false, value_type = Vec<String>, format = Binary)]
    image: Vec<u8>,
    /// The question, without images.
    job: AnswerRequest,
}

/// The parts of a form: files, and everything else as JSON.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is read part by part; this is its description")]
pub(crate) struct ExplanationForm {
    /// Files of pictures, several; the files of one series stand beside each other.
    #[schema(required = false, value_type = Vec<String>, format = Binary)]
    image: Vec<u8>,
    /// What is to be explained, without images.
    job: ExplanationRequest,
}

/// A request for an answer or an explanation, checked as far as that can be done without the model.
pub(crate) struct Wanted {
    pub(crate) of: Of,
    pub(crate) targets: Vec<Target>,
    pub(crate) options: Options,
    pub(crate) cancel_when_left: bool,
}

/// What a request is about.
pub(crate) enum Of {
    Question(Asked),
    Kept(Id),
}

/// A field that may be left out, and is not null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    field: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// Messages and parts of a message of one request.
const MOST_PARTS: usize = 1000;
/// Characters of the name of a picture.
const LONGEST_NAME: usize = 255;

struct Words {
    images: Option<Vec<Object<ImageData>>>,
    phantom: Option<Whole<u64>>,
    prompt: Option<String>,
    messages: Option<Vec<Object<MessageData>>>,
}

impl AnswerRequest {
    /// `files`: the pictures of a form.
    pub(crate) fn check(self, files: Vec<Picture>, limits: &Limits) -> Result<Wanted, Problem> {
        let Self { images, phantom, prompt, messages, options: Object(options), cancel_when_left } =
            self;
        options.check()?;
        if let Some(name) = options.of_explaining() {
            let message = format!(
                "nothing is explained of an answer alone: leave options.{name} out, and give it with the explanation"
            );
            return Err(Problem::new(ProblemKind::Option, message));
        }
        let words = Words { images, phantom, prompt, messages };
        let of = Of::Question(words.check(files, limits)?);
        Ok(Wanted { of, targets: Vec::new(), options, cancel_when_left })
    }
}

impl ExplanationRequest {
    /// As [`AnswerRequest::check`].
    pub(crate) fn check(self, files: Vec<Picture>, limits: &Limits) -> Result<Wanted, Problem> {
        let Self { answer, images, phantom, prompt, messages, targets, options, cancel_when_left } =
            self;
        let Object(options) = options;
        options.check()?;
        if limits.targets < targets.len() {
            let message = format!("an explanation has at most {} targets", limits.targets);
            return Err(Problem::new(ProblemKind::Target, message));
        }
        targets.iter().try_for_each(Target::check)?;
        let words = Words { images, phantom, prompt, messages };
        if let (Some(_), Some(name)) = (&answer, options.of_answering()) {
            return question(format!(
                "a kept answer was made already, and its pictures are read: leave options.{name} out"
            ));
        }
        let of = match answer {
            None => Of::Question(words.check(files, limits)?),
            Some(_) if !(words.is_empty() && files.is_empty()) => {
                return question(
                    "a kept answer has its pictures and its words: leave images, phantom, prompt and messages out",
                );
            }
            Some(answer) => match Id::parse(&answer) {
                Some(id) => Of::Kept(id),
                None => return question("answer is no id of an answer: 32 hexadecimal digits"),
            },
        };
        Ok(Wanted { of, targets, options, cancel_when_left })
    }
}

impl Words {
    fn is_empty(&self) -> bool {
        self.images.is_none()
            && self.phantom.is_none()
            && self.prompt.is_none()
            && self.messages.is_none()
    }

    fn check(self, files: Vec<Picture>, limits: &Limits) -> Result<Asked, Problem> {
        let Self { images, phantom, prompt, messages } = self;
        match (messages, prompt) {
            (None, None) => question("nothing is asked: give prompt, or messages"),
            (Some(_), Some(_)) => {
                question("messages stand in the place of images and prompt: leave one of them out")
            }
            (Some(messages), None) => {
                if !(images.is_none() && files.is_empty() && phantom.is_none()) {
                    return question(
                        "messages have their own pictures: leave images and phantom out",
                    );
                }
                conversation(messages, limits)
            }
            (None, Some(prompt)) => {
                text(&prompt, "the prompt")?;
                if let Some(Whole(seed)) = phantom {
                    return if images.is_none() && files.is_empty() {
                        Ok(Asked::Phantom { seed, prompt })
                    } else {
                        question("a phantom stands in the place of images: leave one of them out")
                    };
                }
                let mut decoder = Decoder { limits, seen: 0 };
                let images = images
                    .unwrap_or_default()
                    .into_iter()
                    .map(|Object(ImageData { data, name })| decoder.decode(data, name));
                let mut all = images.collect::<Result<Vec<_>, _>>()?;
                for file in files {
                    all.push(decoder.file(file)?);
                }
                Ok(Asked::Prompt { images: all, prompt })
            }
        }
    }
}

fn conversation(messages: Vec<Object<MessageData>>, limits: &Limits) -> Result<Asked, Problem> {
    let mut parts = messages.len();
    if messages.is_empty() {
        return question("messages has no message");
    }
    let mut decoder = Decoder { limits, seen: 0 };
    let mut read = Vec::new();
    for Object(MessageData { role, content }) in messages {
        parts += content.len();
        if content.is_empty() {
            return question("a message has no content");
        }
        if MOST_PARTS < parts {
            return question(format!("messages have more than {MOST_PARTS} parts"));
        }
        let content = content.into_iter().map(|Object(part)| match part {
            ContentData::Image { data, name } => decoder.decode(data, name).map(Content::Image),
            ContentData::Text { text: words } => {
                text(&words, "a text of messages").map(|()| Content::Text(words))
            }
        });
        read.push(Message { role, content: content.collect::<Result<_, _>>()? });
    }
    Ok(Asked::Messages(read))
}

/// Makes pictures of what came, and counts them.
struct Decoder<'a> {
    limits: &'a Limits,
    seen: usize,
}

impl Decoder<'_> {
    fn decode(&mut self, data: String, name: Option<String>) -> Result<Picture, Problem> {
        self.seen += 1;
        if self.limits.picture_bytes < data.len() / 4 * 3 {
            return self.picture(
                "has more than the bytes that are allowed (GET /v1/model: limits.picture_bytes)",
            );
        }
        // The decoder's own message would repeat a part of the data.
        let Ok(data) = STANDARD.decode(data) else {
            return self.picture("has data that is not base64 (RFC 4648, with padding)");
        };
        self.checked(Picture { data: Bytes::from(data), name })
    }

    fn file(&mut self, file: Picture) -> Result<Picture, Problem> {
        self.seen += 1;
        self.checked(file)
    }

    fn checked(&self, file: Picture) -> Result<Picture, Problem> {
        let Limits { images, picture_bytes, .. } = *self.limits;
        if images < self.seen {
            let message = format!("a question has at most {images} pictures");
            return Err(Problem::new(ProblemKind::Question, message));
        }
        if file.data.is_empty() {
            return self.picture("is empty");
        }
        if picture_bytes < file.data.len() {
            return self.picture(
                "has more than the bytes that are allowed (GET /v1/model: limits.picture_bytes)",
            );
        }
        let plain = |name: &String| {
            name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control)
        };
        if !file.name.as_ref().is_none_or(plain) {
            return self
                .picture("has a name of more than 255 characters, or with control characters");
        }
        Ok(file)
    }

    fn picture<T>(&self, what: &str) -> Result<T, Problem> {
        Err(Problem::new(ProblemKind::Picture, format!("picture {} {what}", self.seen)))
    }
}

fn text(text: &str, which: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return question(format!("{which} is blank"));
    }
    if LONGEST_TEXT < text.len() {
        return question(format!("{which} has more than {LONGEST_TEXT} bytes"));
    }
    Ok(())
}

fn question<T>(message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(ProblemKind::Question, message))
}
