//! The options that make a question: pictures and texts in turn, or a file of messages.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ArgMatches;
use medgemma_explainer::medical::SourceHandle;
use medgemma_explainer::{
    Content, Explainer, Message, Picture, Question, ReadPicture, Role, input_checks,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::{PictureArgs, not_blank};
use crate::messages::{self, Reach};
use crate::output;
use crate::reading::Reader;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Asked {
    /// Picture: PNG, JPEG, TIFF, WebP, BMP, a DICOM file, the folder of a series, a DICOMDIR, a NIfTI volume; may be repeated. Slices of a
    /// series stand one after the other, each followed by the text "SLICE k". A model with a vision tower is asked about at least one
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Question")]
    image: Vec<PathBuf>,
    /// An earlier study of the same patient, as one of --image: its pictures stand before those
    #[arg(long, value_name = "FILE_OR_DIR", requires = "image", help_heading = "Question")]
    prior: Option<PathBuf>,
    /// The question; it comes after the pictures
    #[arg(long, value_name = "TEXT", value_parser = not_blank(), required_unless_present_any = ["text", "messages"], help_heading = "Question")]
    prompt: Option<String>,
    /// Text between the pictures, in the order of the command line; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = not_blank(), help_heading = "Question")]
    text: Vec<String>,
    /// System prompt
    #[arg(long, value_name = "TEXT", value_parser = not_blank(), help_heading = "Question")]
    system: Option<String>,
    /// A whole conversation as JSON: [{"role": "user", "content": [{"type": "image", "path": FILE}, {"type": "text", "text":
    /// TEXT}]}]. The other spellings of "path" that Hugging Face programs use are understood; nothing is fetched. Paths are
    /// relative to the file and must stay inside its folder
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "prior", "prompt", "text", "system"], help_heading = "Question")]
    messages: Option<PathBuf>,
    /// Let the file of --messages name pictures outside its own folder
    #[arg(long, requires = "messages", help_heading = "Question")]
    allow_outside: bool,
    /// For each text among the pictures, how many pictures stand before it.
    #[arg(skip)]
    before: Vec<usize>,
}

impl Asked {
    /// Learns in which order pictures and texts stand on the command line.
    pub(crate) fn order(&mut self, matches: &ArgMatches) {
        let places = |name| matches.indices_of(name).into_iter().flatten().collect::<Vec<_>>();
        let images = places("image");
        let before = |text: usize| images.iter().filter(|image| **image < text).count();
        self.before = places("text").into_iter().map(before).collect();
    }

    /// The conversation, in the order of the command line: pictures and texts, then the prompt.
    pub(crate) fn conversation(&self) -> Conversation {
        if let Some(path) = &self.messages {
            return Conversation::File { path: path.clone(), allow_outside: self.allow_outside };
        }
        let image = |path: &PathBuf| Part::Image(path.clone());
        let mut content: Vec<Part> = self.prior.iter().cloned().map(Part::Prior).collect();
        let mut shown = 0;
        for (text, &before) in self.text.iter().zip(&self.before) {
            content.extend(self.image[shown..before].iter().map(image));
            content.push(Part::Text(text.clone()));
            shown = before;
        }
        content.extend(self.image[shown..].iter().map(image));
        content.extend(self.prompt.clone().map(Part::Text));
        Conversation::Message { system: self.system.clone(), content }
    }

    /// The conversation, with `picture` and `prompt` where the command line has none.
    pub(crate) fn question_or(
        &self,
        picture: impl FnOnce() -> anyhow::Result<Picture>,
        prompt: &str,
        reader: &Reader,
    ) -> anyhow::Result<Posed> {
        let mut posed = self.conversation().posed(reader)?;
        if self.messages.is_some() {
            return Ok(posed);
        }
        let question = &mut posed.question;
        let message = question.messages.last_mut().context("the question has no message")?;
        if self.prompt.is_none() && self.text.is_empty() {
            message.content.push(Content::Text(prompt.to_owned()));
        }
        if question.pictures.is_empty() {
            question.pictures.push(picture()?);
            posed.sources.push(None);
            message.content.insert(0, Content::Image);
        }
        Ok(posed)
    }
}

/// A question, with the files that results can be written back to.
#[derive(Debug)]
pub(crate) struct Posed {
    pub(crate) question: Question,
    /// For each picture; `None` for files of pixels alone.
    pub(crate) sources: Vec<Option<SourceHandle>>,
    /// The first picture that is not of an earlier study.
    pub(crate) current: usize,
}

/// Pictures while they are read.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) pictures: Vec<Picture>,
    pub(crate) sources: Vec<Option<SourceHandle>>,
    pub(crate) current: usize,
}

impl Gathered {
    /// Takes the pictures of a file; what stands in their place in the message: images, each with the text that belongs behind it.
    pub(crate) fn add(&mut self, found: Vec<ReadPicture>) -> Vec<Content> {
        let mut content = Vec::new();
        for ReadPicture { picture, label, source, .. } in found {
            self.pictures.push(picture);
            self.sources.push(source);
            content.push(Content::Image);
            content.extend(label.map(Content::Text));
        }
        content
    }
}

/// What the model is asked.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Conversation {
    /// One message of the user's.
    Message {
        /// A system prompt before it.
        #[serde(default)]
        system: Option<String>,
        /// Pictures and texts in turn.
        content: Vec<Part>,
    },
    /// A whole conversation as Hugging Face programs write it; paths are relative to a folder.
    Turns { turns: Vec<Value>, folder: PathBuf },
    /// A file of messages.
    File {
        path: PathBuf,
        /// Whether it may name pictures outside its own folder.
        #[serde(default)]
        allow_outside: bool,
    },
}

/// A part of a message.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// The file of a picture, or the folder of a series.
    Image(PathBuf),
    /// The same of an earlier study.
    Prior(PathBuf),
    Text(String),
}

impl Conversation {
    /// Reads the pictures.
    pub(crate) fn posed(&self, reader: &Reader) -> anyhow::Result<Posed> {
        let (system, parts) = match self {
            Self::File { path, allow_outside } => {
                let reach = if *allow_outside { Reach::Everywhere } else { Reach::Folder };
                return messages::read(path, reader, reach);
            }
            Self::Turns { turns, folder } => {
                return messages::of(turns, folder, reader, Reach::Everywhere);
            }
            Self::Message { system, content } => (system, content),
        };
        let (mut gathered, mut content) = (Gathered::default(), Vec::new());
        for part in parts {
            match part {
                Part::Image(path) => content.extend(gathered.add(reader.read(path)?)),
                Part::Prior(path) => {
                    content.extend(gathered.add(reader.prior(path)?));
                    gathered.current = gathered.pictures.len();
                }
                Part::Text(text) => content.push(Content::Text(text.clone())),
            }
        }
        let messages = vec![Message { role: Role::User, content }];
        let question = Question::from_messages(gathered.pictures, messages);
        let question = match system {
            Some(system) => question.with_system(system),
            None => question,
        };
        Ok(Posed { question, sources: gathered.sources, current: gathered.current })
    }

    /// The files that it names.
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Self::File { path, .. } => vec![path],
            Self::Turns { .. } => Vec::new(), // its pictures are known when it was read
            Self::Message { content, .. } => {
                let files = content.iter().filter_map(|part| match part {
                    Part::Image(path) | Part::Prior(path) => Some(path.as_path()),
                    Part::Text(_) => None,
                });
                files.collect()
            }
        }
    }
}

/// Whether the question has pictures where the model sees them, and none where it does not. A file of messages may leave them out.
pub(crate) fn check_sight(
    explainer: &Explainer,
    conversation: &Conversation,
    question: &Question,
) -> anyhow::Result<()> {
    let sees = explainer.inspection().vision_tower().is_some();
    let is_file = !matches!(conversation, Conversation::Message { .. });
    match (sees, question.pictures.is_empty()) {
        (false, false) => bail!(
            "--image: the model sees no pictures, it is a language model alone; ask it without one"
        ),
        (true, true) if !is_file => bail!(
            "the model sees pictures, and the question has none: add --image FILE (--messages can ask without)"
        ),
        _ => Ok(()),
    }
}

/// Says what users should know of their pictures.
pub(crate) fn warn_of<'a>(
    pictures: impl IntoIterator<Item = &'a Picture>,
    prompt: &str,
    args: &PictureArgs,
) {
    for picture in pictures {
        for warning in picture.warnings() {
            output::warning(format_args!("{}: {warning}", picture.name()));
        }
        for check in input_checks(picture, prompt, args.pad_to_square) {
            output::warning(format_args!("{}: {}", picture.name(), check.message));
        }
    }
}
