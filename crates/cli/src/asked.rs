//! The options that make a question: pictures and texts in turn, or a file of messages.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ArgMatches;
use medgemma_explainer::{Content, Message, Picture, PictureOptions, Question, Role};

use crate::args::not_blank;
use crate::messages::{self, Reach};
use crate::output;

#[derive(clap::Args, Debug)]
pub(crate) struct Asked {
    /// Picture (PNG, JPEG, TIFF, WebP, BMP); may be repeated
    #[arg(long, value_name = "FILE", required_unless_present = "messages", num_args = 1.., help_heading = "Question")]
    pub(crate) image: Vec<PathBuf>,
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

    /// The files that the command line names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.image.iter().chain(&self.messages).map(PathBuf::as_path)
    }

    /// Reads the pictures; what a user should be told of them goes to stderr.
    pub(crate) fn question(&self, options: &PictureOptions) -> anyhow::Result<Question> {
        if let Some(path) = &self.messages {
            let reach = if self.allow_outside { Reach::Everywhere } else { Reach::Folder };
            return messages::read(path, options, reach);
        }
        let pictures =
            self.image.iter().map(|path| open(path, options)).collect::<Result<_, _>>()?;
        let question = Question::from_messages(pictures, vec![self.message()]);
        Ok(match &self.system {
            Some(system) => question.with_system(system),
            None => question,
        })
    }

    /// The same, with `picture` and `prompt` where the command line has none.
    pub(crate) fn question_or(
        &self,
        picture: impl FnOnce() -> anyhow::Result<Picture>,
        prompt: &str,
        options: &PictureOptions,
    ) -> anyhow::Result<Question> {
        let mut question = self.question(options)?;
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

    /// Pictures and texts in the order of the command line, then the prompt.
    fn message(&self) -> Message {
        let mut content = Vec::new();
        let mut shown = 0;
        for (text, &before) in self.text.iter().zip(&self.before) {
            content.extend((shown..before).map(|_| Content::Image));
            content.push(Content::Text(text.clone()));
            shown = before;
        }
        content.extend((shown..self.image.len()).map(|_| Content::Image));
        content.extend(self.prompt.clone().map(Content::Text));
        Message { role: Role::User, content }
    }
}

/// Reads a picture; what a user should be told of it goes to stderr.
pub(crate) fn open(path: &Path, options: &PictureOptions) -> anyhow::Result<Picture> {
    let picture = Picture::open(path, options)?;
    for warning in picture.warnings() {
        output::warning(format_args!("{}: {warning}", path.display()));
    }
    Ok(picture)
}
