//! The options that make a question: pictures and texts in turn, or a file of messages.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ArgMatches;
use medgemma_explainer::{Content, Message, Picture, PictureOptions, Question, Role};
use serde::{Deserialize, Serialize};

use crate::args::not_blank;
use crate::messages::{self, Reach};
use crate::output;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Asked {
    /// Picture (PNG, JPEG, TIFF, WebP, BMP); may be repeated
    #[arg(long, value_name = "FILE", required_unless_present = "messages", num_args = 1.., help_heading = "Question")]
    image: Vec<PathBuf>,
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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "prompt", "text", "system"], help_heading = "Question")]
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
        let mut content = Vec::new();
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
        options: &PictureOptions,
    ) -> anyhow::Result<Question> {
        let mut question = self.conversation().question(options)?;
        if self.messages.is_some() {
            return Ok(question);
        }
        let message = question.messages.last_mut().context("the question has no message")?;
        if self.prompt.is_none() && self.text.is_empty() {
            message.content.push(Content::Text(prompt.to_owned()));
        }
        if question.pictures.is_empty() {
            question.pictures.push(picture()?);
            message.content.insert(0, Content::Image);
        }
        Ok(question)
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
    /// The file of a picture.
    Image(PathBuf),
    Text(String),
}

impl Conversation {
    /// Reads the pictures.
    pub(crate) fn question(&self, options: &PictureOptions) -> anyhow::Result<Question> {
        let (system, parts) = match self {
            Self::File { path, allow_outside } => {
                let reach = if *allow_outside { Reach::Everywhere } else { Reach::Folder };
                return messages::read(path, options, reach);
            }
            Self::Message { system, content } => (system, content),
        };
        let (mut pictures, mut content) = (Vec::new(), Vec::new());
        for part in parts {
            content.push(match part {
                Part::Image(path) => {
                    pictures.push(Picture::open(path, options)?);
                    Content::Image
                }
                Part::Text(text) => Content::Text(text.clone()),
            });
        }
        let messages = vec![Message { role: Role::User, content }];
        let question = Question::from_messages(pictures, messages);
        Ok(match system {
            Some(system) => question.with_system(system),
            None => question,
        })
    }

    /// The files that it names.
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Self::File { path, .. } => vec![path],
            Self::Message { content, .. } => {
                let files = content.iter().filter_map(|part| match part {
                    Part::Image(path) => Some(path.as_path()),
                    Part::Text(_) => None,
                });
                files.collect()
            }
        }
    }
}

/// Says what users should know of their pictures.
pub(crate) fn warn_of<'a>(pictures: impl IntoIterator<Item = &'a Picture>) {
    for picture in pictures {
        for warning in picture.warnings() {
            output::warning(format_args!("{}: {warning}", picture.name()));
        }
    }
}
