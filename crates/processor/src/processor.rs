//! A conversation and its pictures to what the model takes.

use std::ops::Range;
use std::path::{Path, PathBuf};

use quantised_weights::Gguf;
use serde_json::{Map, Value};

use crate::config::{ImageFacts, ModelFacts, read_scaling, token_text};
use crate::files::Document;
use crate::geometry::Geometry;
use crate::message::Message;
use crate::picture::Picture;
use crate::pixels::{Pixels, Scaling};
use crate::prompt::{self, ImageWords};
use crate::resize::{Resize, resize};
use crate::setters::setters;
use crate::template::ChatTemplate;
use crate::tokenizer::TextTokenizer;
use crate::views::{CropRule, View, views};
use crate::{Error, gguf};

/// What can be chosen about the inputs; the default is what transformers 5 does.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ProcessorOptions {
    /// Whose resize arithmetic.
    pub resize: Resize,
    /// Also show crops of elongated pictures. As in transformers, the checkpoint's files have no say in this.
    pub pan_and_scan: bool,
    /// How crops are cut when `pan_and_scan` is set.
    pub crops: CropRule,
    /// Pad pictures with black to a square before resizing, as `MedGemma`'s X-ray localisation expects; otherwise the
    /// aspect ratio is not kept.
    pub pad_to_square: bool,
    /// Render the checkpoint's chat template in this process whatever it is. Otherwise a template that is not one of
    /// the known ones (Gemma 3's, this project's) is rendered in a process of its own with limits of memory, time and
    /// stack, or refused where the application has none ([`crate::worker::serve_if_asked`]): a template can take all
    /// memory, run without end and end the process.
    pub trust_template: bool,
    /// A file with a chat template that takes the place of the checkpoint's own, or of none: base models have none, and without one
    /// nothing can be asked about a picture. It is rendered as the checkpoint's would be.
    pub chat_template: Option<PathBuf>,
}

setters!(ProcessorOptions {
    with_resize = resize: Resize,
    with_pan_and_scan = pan_and_scan: bool,
    with_crops = crops: CropRule,
    with_pad_to_square = pad_to_square: bool,
    with_trust_template = trust_template: bool,
    with_chat_template = chat_template: Option<PathBuf>,
});

/// Prepares inputs for one checkpoint.
#[derive(Debug)]
pub struct Processor {
    options: ProcessorOptions,
    max_positions: usize,
    /// `None`: the model sees no pictures.
    sight: Option<Sight>,
    tokenizer: TextTokenizer,
    /// `None`: the model continues what it is given.
    template: Option<ChatTemplate>,
    begin: (String, u32),
    control: Vec<String>,
}

/// What the model takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The rendered chat template, before pictures become tokens.
    pub prompt: String,
    /// Token ids, images included. [`TextTokenizer::label`] and [`TextTokenizer::spans`] make them readable.
    pub ids: Vec<u32>,
    /// The images in the order of their tokens: each picture, followed by its crops.
    pub images: Vec<PreparedImage>,
    /// Input of the vision tower for each of `images`. Whoever has run the tower needs them no more, and they are large: 9.6 MB an image
    /// in Gemma3 4B. [`Processor::pixels`] makes them again.
    pub pixels: Vec<Pixels>,
}

/// One image as the model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedImage {
    /// Index of the picture it shows; crops share it.
    pub picture: usize,
    /// Positions of its tokens in [`Prepared::ids`].
    pub span: Range<usize>,
    /// Rows and columns of its tokens, row by row in `span`.
    pub grid: [usize; 2],
    /// From a cell of the grid to the original picture.
    pub geometry: Geometry,
}

impl Processor {
    /// Reads a checkpoint directory as a hub snapshot has it.
    ///
    /// Needed: `config.json`, `tokenizer.json`, `tokenizer_config.json`, `preprocessor_config.json` (or
    /// `processor_config.json` with `image_processor`), and a chat template in `chat_template.jinja`,
    /// `chat_template.json` or `tokenizer_config.json`.
    ///
    /// # Errors
    /// The file and checkpoint variants of [`Error`], and [`Error::CropRule`] for the options.
    pub fn from_dir(dir: &Path, options: ProcessorOptions) -> Result<Self, Error> {
        if !dir.is_dir() {
            return Err(Error::NotADirectory { path: dir.into() });
        }
        options.crops.check()?;
        let ModelFacts { max_positions, images } = ModelFacts::read(dir)?;
        let tokenizer = TextTokenizer::from_file(&dir.join("tokenizer.json"))?;
        let config: Document<Map<String, Value>> =
            Document::read(dir.join("tokenizer_config.json"))?;
        let (given, trusted) = (options.chat_template.as_deref(), options.trust_template);
        let template = match ChatTemplate::read(dir, &config, given, trusted) {
            // A base model continues what it is given.
            Err(Error::NoTemplate { .. }) if images.is_none() => None,
            template => Some(template?),
        };
        let sight = |facts: ImageFacts| {
            let tokens = image_tokens(&facts, &tokenizer, dir, &config)?;
            let scaling = read_scaling(dir, &facts)?;
            Ok::<_, Error>(Sight { words: ImageWords::new(&facts, tokens), facts, scaling })
        };
        let sight = images.map(sight).transpose()?;
        let begin = begin_token(&tokenizer, &config)?;
        let control = prompt::control_tokens(&tokenizer, template.as_ref());
        Ok(Self { options, max_positions, sight, tokenizer, template, begin, control })
    }

    /// Reads the metadata of a GGUF file of a language model and, in a second one, of the vision tower that belongs to it.
    ///
    /// # Errors
    /// [`Error::Gguf`] for fields, [`Error::Tokenizer`] for the vocabulary, those of the chat template, and [`Error::CropRule`] for the
    /// options.
    pub fn from_gguf(
        model: &Gguf,
        mmproj: Option<&Gguf>,
        options: ProcessorOptions,
    ) -> Result<Self, Error> {
        options.crops.check()?;
        let max_positions = model.size("gemma3.context_length", 1 << 28)?;
        let tokenizer = TextTokenizer::from_gguf(model, mmproj.is_some())?;
        let begin = gguf::begin_token(model, &tokenizer)?;
        let (given, trusted) = (options.chat_template.as_deref(), options.trust_template);
        let template = gguf::template(model, &tokenizer, given, trusted)?;
        let sight = mmproj.map(|file| gguf::sight(model, file, &tokenizer)).transpose()?;
        if sight.is_some() && template.is_none() {
            return Err(Error::NoTemplate { path: model.path().to_owned() });
        }
        let control = prompt::control_tokens(&tokenizer, template.as_ref());
        Ok(Self { options, max_positions, sight, tokenizer, template, begin, control })
    }

    /// The tokens of an answer that is given and not generated, to stand behind [`Prepared::ids`]. It is a text like any other: one
    /// that spells a control token is refused.
    ///
    /// # Errors
    /// [`Error::AnswerControlToken`], [`Error::EmptyAnswer`], and what the tokenizer refuses.
    pub fn answer_ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        if let Some(token) = self.control.iter().find(|token| text.contains(token.as_str())) {
            return Err(Error::AnswerControlToken { token: token.clone() });
        }
        let ids = self.tokenizer.encode(text)?;
        if text.trim().is_empty() || ids.is_empty() {
            return Err(Error::EmptyAnswer);
        }
        Ok(ids)
    }

    /// Inputs for `messages`, whose image items are `pictures` in order. The model is to speak next.
    ///
    /// Texts are data: one that spells a control token (a special token such as `<start_of_image>` or
    /// `<end_of_turn>`, or a token the template writes) is refused, also where it only arises from two texts side by
    /// side. transformers would let such text act as the token. Other tokens spelled in a text, `<unused94>` for one,
    /// become those tokens, as in transformers.
    ///
    /// # Errors
    /// The prompt variants of [`Error`], [`Error::Template`] when the template refuses the messages, and
    /// [`Error::PictureLimit`] when padding makes a picture too large.
    pub fn prepare(&self, messages: &[Message], pictures: &[Picture]) -> Result<Prepared, Error> {
        let Prompt { text: prompt, ids, spans, shown } = self.prompt(messages, pictures)?;
        let of_picture =
            |(n, views): (usize, Vec<View>)| views.into_iter().map(move |view| (n, view));
        let all_views = shown.into_iter().enumerate().flat_map(of_picture);
        let (mut images, mut pixels) = (Vec::new(), Vec::new());
        for ((n, view), span) in all_views.zip(spans) {
            let sight = self.sight()?;
            let geometry = sight.geometry(&pictures[n], &view);
            pixels.push(sight.pixels(&pictures[n], &view, self.options.resize)?);
            images.push(PreparedImage { picture: n, span, grid: geometry.grid, geometry });
        }
        Ok(Prepared { prompt, ids, images, pixels })
    }

    /// What the vision tower takes of one picture: of the whole of it, then of its crops, as [`Processor::prepare`] makes them.
    ///
    /// # Errors
    /// [`Error::PictureLimit`] when padding makes the picture too large.
    pub fn pixels(&self, picture: &Picture) -> Result<Vec<Pixels>, Error> {
        let (views, sight) = (self.views(picture)?, self.sight()?);
        views.iter().map(|view| sight.pixels(picture, view, self.options.resize)).collect()
    }

    /// The token ids of [`Processor::prepare`] and the positions of each image in them, without the pixels: enough to check what is
    /// asked about a prompt, at no cost worth naming.
    ///
    /// # Errors
    /// As [`Processor::prepare`].
    pub fn prompt_ids(
        &self,
        messages: &[Message],
        pictures: &[Picture],
    ) -> Result<(Vec<u32>, Vec<Range<usize>>), Error> {
        let prompt = self.prompt(messages, pictures)?;
        Ok((prompt.ids, prompt.spans))
    }

    /// The checkpoint's tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// What was chosen.
    pub fn options(&self) -> &ProcessorOptions {
        &self.options
    }

    /// Id of the tokens that stand for an image; `None` for a model that sees none.
    pub fn image_token(&self) -> Option<u32> {
        self.sight.as_ref().map(|sight| sight.facts.image)
    }

    /// Id of the token that a prompt begins with, `<bos>`.
    pub fn begin_token(&self) -> u32 {
        self.begin.1
    }

    /// How many tokens prompt and answer may have together.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    fn prompt(&self, messages: &[Message], pictures: &[Picture]) -> Result<Prompt, Error> {
        prompt::check_messages(messages, pictures.len())?;
        if !pictures.is_empty() {
            self.sight()?;
        }
        let text = prompt::render(self.template.as_ref(), messages, &self.control, &self.begin.0)?;
        if let (Some(sight), Some(template)) = (&self.sight, &self.template) {
            let placeholder = &sight.words.placeholder;
            prompt::check_placeholders(&text, placeholder, pictures.len(), template.path())?;
        }
        let shown =
            pictures.iter().map(|picture| self.views(picture)).collect::<Result<Vec<_>, _>>()?;
        let (ids, spans) = self.tokens(&text, &shown)?;
        Ok(Prompt { text, ids, spans, shown })
    }

    fn views(&self, picture: &Picture) -> Result<Vec<View>, Error> {
        let size = [picture.width(), picture.height()];
        let crops = self.options.pan_and_scan.then_some(&self.options.crops);
        views(picture.name(), size, self.options.pad_to_square, crops)
    }

    /// The string is put together first and tokenised once: newlines of text and image merge into one token.
    fn tokens(
        &self,
        prompt: &str,
        shown: &[Vec<View>],
    ) -> Result<(Vec<u32>, Vec<Range<usize>>), Error> {
        let n_images: usize = shown.iter().map(Vec::len).sum();
        let begin = (self.begin.0.as_str(), self.begin.1);
        let Some(Sight { facts, words, .. }) = &self.sight else {
            let ids = prompt::encode(&self.tokenizer, prompt, begin)?;
            self.check_length(ids.len())?;
            return Ok((ids, Vec::new()));
        };
        self.check_length(n_images.saturating_mul(facts.tokens_per_image))?;
        let n_crops: Vec<usize> = shown.iter().map(|views| views.len() - 1).collect();
        let text = words.expand(prompt, &n_crops);
        let ids = prompt::encode(&self.tokenizer, &text, begin)?;
        self.check_length(ids.len())?;
        let spans = prompt::image_spans(&ids, facts)?;
        if spans.len() != n_images {
            return Err(Error::ImageCount { expected: n_images, found: spans.len() });
        }
        Ok((ids, spans))
    }

    fn check_length(&self, tokens: usize) -> Result<(), Error> {
        let limit = self.max_positions;
        if tokens > limit { Err(Error::TooManyTokens { tokens, limit }) } else { Ok(()) }
    }

    /// How pictures are seen.
    fn sight(&self) -> Result<&Sight, Error> {
        self.sight.as_ref().ok_or(Error::NoVision)
    }
}

/// How a model sees pictures: its facts, how pixels become numbers, and the words that stand for an image.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) facts: ImageFacts,
    pub(crate) scaling: Scaling,
    pub(crate) words: ImageWords,
}

impl Sight {
    fn pixels(&self, picture: &Picture, view: &View, how: Resize) -> Result<Pixels, Error> {
        let side = self.facts.image_size;
        Ok(self.scaling.apply(&resize(&view.cut(picture.rgb()), [side, side], how)?, how))
    }

    fn geometry(&self, picture: &Picture, view: &View) -> Geometry {
        Geometry {
            picture: [picture.width(), picture.height()],
            region: view.rect(),
            grid: [self.facts.grid; 2],
        }
    }
}

/// A rendered prompt, with the views of each picture whose images it has places for.
struct Prompt {
    text: String,
    ids: Vec<u32>,
    /// The positions of each image.
    spans: Vec<Range<usize>>,
    /// By picture: itself, then its crops.
    shown: Vec<Vec<View>>,
}

/// The tokens that begin, fill and end an image: known to the tokenizer under the ids of `config.json`, and named the
/// same where the tokenizer's configuration names them.
fn image_tokens(
    facts: &ImageFacts,
    tokenizer: &TextTokenizer,
    dir: &Path,
    config: &Document<Map<String, Value>>,
) -> Result<[String; 3], Error> {
    let token = |field: &str, id: u32| {
        let token = tokenizer.token(id).ok_or_else(|| Error::Tokenizer {
            path: dir.join("tokenizer.json"),
            message: format!("it has no token {id}, which config.json gives as the {field}"),
        })?;
        match config.value.get(field).and_then(token_text) {
            Some(named) if named != token => Err(config.wrong(
                field,
                &named,
                &format!("`{token}`, the token {id} of config.json"),
            )),
            _ => Ok(token),
        }
    };
    Ok([
        token("boi_token", facts.boi)?,
        token("image_token", facts.image)?,
        token("eoi_token", facts.eoi)?,
    ])
}

fn begin_token(
    tokenizer: &TextTokenizer,
    config: &Document<Map<String, Value>>,
) -> Result<(String, u32), Error> {
    let named = config.value.get("bos_token").and_then(token_text);
    let token = named.ok_or_else(|| config.missing("bos_token"))?;
    let id = tokenizer
        .id(token)
        .ok_or_else(|| config.wrong("bos_token", &token, "a token of tokenizer.json"))?;
    Ok((token.into(), id))
}
