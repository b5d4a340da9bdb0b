//! What can go wrong between a question and its explained answer.

mod kind;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::{Ask, Backward, MethodId, Missing};

pub use kind::ErrorKind;

/// Why something could not be answered, explained or written. Its text says what to do, for people; [`Error::kind`] is for programs.
pub struct Error(Box<Cause>);

impl Error {
    /// What went wrong, in coarse kinds.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    /// Whether the model failed: its checkpoint, its memory or its numbers, and not what was asked of it.
    pub fn is_of_model(&self) -> bool {
        matches!(*self.0, Cause::Model(_))
    }

    /// Whether a token was to be set against itself.
    pub(crate) fn is_of_same_foil(&self) -> bool {
        matches!(*self.0, Cause::SameFoil { .. })
    }

    /// What was asked of an answer that does not have it: nobody knows the words of an answer before it is made.
    ///
    /// # Errors
    /// Itself, where it is not of the kind [`ErrorKind::NotInAnswer`].
    pub fn into_missing(self, ask: &Ask) -> Result<Missing, Self> {
        if self.kind() == ErrorKind::NotInAnswer {
            return Ok(Missing { ask: ask.clone(), reason: self.to_string() });
        }
        Err(self)
    }

    #[cfg(feature = "phantom")]
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Cause::Write { path, source }.into()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// What an [`Error`] is made of.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    /// A hub model was named, but this build has no hub.
    #[cfg(not(feature = "hub"))]
    #[error(
        "{id:?} is not a directory, and this build cannot reach the hub (feature `hub` is off); give a checkpoint directory"
    )]
    NoHub {
        /// The model as given.
        id: String,
    },
    /// A vision tower in a GGUF file for a repository of which no GGUF file is named.
    #[error(
        "a vision tower in a GGUF file goes with a language model in one: name the file of {id} that is the model, or leave the vision tower out"
    )]
    TowerWithoutFile {
        /// The model as given.
        id: String,
    },
    /// A checkpoint of the library's own was named, but this build has none.
    #[cfg(not(feature = "phantom"))]
    #[error("this build does not hold the checkpoint {name:?} (feature `phantom` is off)")]
    NotShipped {
        /// Its name.
        name: &'static str,
    },
    /// A file was given for a checkpoint.
    #[error(
        "{} is {kind}; give the folder of a checkpoint (config.json, tokenizer.json and weights as safetensors) or a GGUF file", path.display()
    )]
    NotACheckpoint {
        /// As given.
        path: PathBuf,
        /// What it is, with its article.
        kind: String,
    },
    /// A comparison with another model by the rules of another program.
    #[error("the public Python program compares no models; explain by the sound rules")]
    CompareReproduced,
    /// The models of a comparison have different tokens.
    #[error(
        "token {id} is {label:?} to the model that answered and another token, or none, to the model to compare with: only models of one tokenizer can be compared"
    )]
    OtherTokens {
        /// The id.
        id: u32,
        /// Its text to the model that answered.
        label: String,
    },
    /// The models of a comparison have different places for pictures.
    #[error(
        "pictures take {wanted:?} tokens in the model that answered and {found:?} in the model to compare with"
    )]
    OtherImages {
        /// Of each image.
        wanted: Vec<usize>,
        /// The same in the other model.
        found: Vec<usize>,
    },
    /// The base of an adapter that was given as a model cannot be had.
    #[error(
        "{adapter} is an adapter of {base}: {error}; name the model that it belongs to, and this one as an adapter, where you have it elsewhere"
    )]
    Base {
        /// The adapter.
        adapter: String,
        /// The model that it was trained on, as it names it.
        base: String,
        /// Why it cannot be had.
        error: Box<Error>,
    },
    /// An adapter was to be applied with an absurd weight.
    #[error(
        "an adapter cannot be applied with weight {weight}; 1 is as it was trained, 0 not at all"
    )]
    AdapterWeight {
        /// As given.
        weight: f64,
    },
    /// A checkpoint of the library's own in the place of an adapter.
    #[error("{name} is a model, not an adapter (a directory of that name is ./{name})")]
    ShippedAdapter {
        /// Its name.
        name: &'static str,
    },
    /// No cache directory is known.
    #[cfg(feature = "phantom")]
    #[error("no cache folder is known for this user; set HOME or XDG_CACHE_HOME")]
    NoCache,
    /// A folder stands where a file of a checkpoint of the library's own belongs.
    #[cfg(feature = "phantom")]
    #[error("{} is a folder where a file of the cache belongs; remove it and try again", path.display())]
    FolderInCache {
        /// The folder.
        path: PathBuf,
    },
    /// The relevant part of a case is of no picture.
    #[error("the relevant part is of picture {picture}, and there are {pictures}, counted from 0")]
    PartOfNoPicture {
        /// As given.
        picture: usize,
        /// How many there are.
        pictures: usize,
    },
    /// The mask of a case is not as large as its picture.
    #[error("the mask has {found:?} pixels, and its picture {expected:?} (columns, rows)")]
    MaskSize {
        /// Of the picture.
        expected: [usize; 2],
        /// Of the mask.
        found: [usize; 2],
    },
    /// There is no question.
    #[error("the prompt is empty; ask something about the pictures")]
    EmptyPrompt,
    /// There is a system prompt without text.
    #[error("the system prompt is empty; leave it out or write one")]
    EmptySystem,
    /// Position 0 was asked for.
    #[error(
        "position 0 is the first token of the prompt: no row predicts it; the answer begins at position {first}"
    )]
    PositionZero {
        /// Where the answer begins.
        first: usize,
    },
    /// A position of the prompt was asked for.
    #[error(
        "position {position} ({token:?}) is in the prompt; the answer begins at position {first}"
    )]
    PositionInPrompt {
        /// As asked.
        position: usize,
        /// The token that stands there.
        token: String,
        /// Where the answer begins.
        first: usize,
    },
    /// A position inside a picture was asked for.
    #[error("position {position} is an image token; the answer begins at position {first}")]
    PositionInImage {
        /// As asked.
        position: usize,
        /// Where the answer begins.
        first: usize,
    },
    /// A position behind the answer was asked for.
    #[error("position {position} is past the end; the answer is at positions {}..={}", answer.start, answer.end - 1)]
    PositionPastEnd {
        /// As asked.
        position: usize,
        /// Positions of the answer.
        answer: Range<usize>,
    },
    /// A word was to be set against one that begins with the same token.
    #[error(
        "{word:?} begins with the token {token:?} as the explained word does; their logits are the same there, so name another word"
    )]
    SameFoil {
        /// The word.
        word: String,
        /// The token.
        token: String,
    },
    /// A phrase was to be set against nothing.
    #[error("{phrase:?} has no alternative; name the words that would stand in its place")]
    EmptyAgainst {
        /// The phrase of the answer.
        phrase: String,
    },
    /// A phrase was to be set against itself.
    #[error("{phrase:?} would be compared with itself; name different words")]
    SamePhrase {
        /// The phrase of the answer.
        phrase: String,
    },
    /// A range of positions holds none.
    #[error("positions {}..{} hold no token; the second bound must be larger than the first", range.start, range.end)]
    NoTokens {
        /// As asked.
        range: Range<usize>,
    },
    /// The answer has fewer sentences.
    #[error("there is no sentence {}; the answer has {sentences}", index + 1)]
    NoSentence {
        /// As asked, from 0; messages count from 1.
        index: usize,
        /// How many there are.
        sentences: usize,
    },
    /// A range of characters holds none, or reaches past the answer.
    #[error("characters {}..{} are not in the answer, which has {characters}", range.start, range.end)]
    NoCharacters {
        /// As asked.
        range: Range<usize>,
        /// How many the answer has.
        characters: usize,
    },
    /// The answer holds no JSON with this field.
    #[error("no JSON field {name:?} with a value in the answer: {text:?}")]
    NoField {
        /// As asked.
        name: String,
        /// The answer.
        text: String,
    },
    /// A given answer does not fit behind its prompt.
    #[error(
        "prompt and answer have {tokens} tokens, more than the context of {context}; shorten them"
    )]
    AnswerTooLong {
        /// Of prompt and answer.
        tokens: usize,
        /// The model's limit.
        context: usize,
    },
    /// The memory for explaining does not suffice whatever the answer is.
    #[error(
        "a memory budget of {budget} bytes is too small: one token behind this prompt takes {least}, and an answer more"
    )]
    BudgetForPrompt {
        /// The budget in bytes.
        budget: u64,
        /// What one token behind the prompt takes, in bytes; what is kept of the answer comes on top.
        least: u64,
    },
    /// There is no answer to explain.
    #[error("the model gave no answer, so nothing can be explained: {reason}")]
    NoAnswer {
        /// Why, and what to do.
        reason: &'static str,
    },
    /// What pictures add was asked of a question that has none.
    #[error("the question has no picture, so nothing can be compared with an answer without it")]
    NoPictures,
    /// A threshold for attention sinks that is none.
    #[error(
        "a threshold of {threshold} for attention sinks is not a number above zero; without one it is that of the model's width"
    )]
    SinkThreshold {
        /// As asked for.
        threshold: f32,
    },
    /// The relevancy was to be the mean of no points, or of more than anybody would see.
    #[error("the relevancy cannot be the mean of {points} points of a path: ask for 1 to {most}")]
    PathPoints {
        /// As asked for.
        points: usize,
        /// The most.
        most: usize,
    },
    /// A path to the pictures was asked of a question that has none.
    #[error(
        "the {points} points lie on the way to a picture, but the question has none: add one, or ask for one point"
    )]
    PathNoPictures {
        /// As asked for.
        points: usize,
    },
    /// Something that has one point was asked beside a relevancy that has several.
    #[error(
        "the relevancy by layer, results by head and maps finer than tokens are made at the picture alone: leave them out, or the {points} points of the path"
    )]
    PathAlone {
        /// As asked for.
        points: usize,
    },
    /// Cells of pictures were to be taken away from a question that has none.
    #[error(
        "the method {method} takes cells of a picture away, but the question has no picture: add one, or leave the method out"
    )]
    OcclusionNoPictures {
        /// The method asked for.
        method: MethodId,
    },
    /// Cells of pictures were to be taken away under the rules of the reproduced program.
    #[error(
        "the reproduced program sees every image token as a picture of its own, which has no cells: leave the method {method} out, or explain by this program's own rules"
    )]
    OcclusionReproduced {
        /// The method asked for.
        method: MethodId,
    },
    /// Layers were asked of an engine that has no row between them.
    #[error(
        "the relevancy by layer needs the streaming engine; leave the engine at auto or streaming"
    )]
    LayersRetained,
    /// No token holds a keyword by the rule of [`crate::Profile::PythonProgram`].
    #[error(
        "no single token of the answer holds {word:?}: the reproduced program looks for the first token that holds the whole word"
    )]
    ReproducedKeyword {
        /// The word.
        word: String,
    },
    /// Maps finer than tokens were asked of the reproduced program.
    #[error("the reproduced program has no patches or pixels; leave the resolution at tokens")]
    FinerReproduced,
    /// Another picture was to stand in the place of one under the rules of the reproduced program.
    #[error(
        "the reproduced program has no blank pictures: reliance and control need this program's own rules"
    )]
    BlankReproduced,
    /// Shares of the cells that are no points of a curve.
    #[error(
        "the shares of a certificate ascend between 0 and 1 (0 and 100 %), each once, and there are at most {most}"
    )]
    Fractions {
        /// Points at most.
        most: usize,
    },
    /// So few or many controls that a certificate says nothing or never ends.
    #[error("{asked} controls: a certificate takes {least} to {most}")]
    Controls {
        /// As asked for.
        asked: usize,
        /// At least.
        least: usize,
        /// At most.
        most: usize,
    },
    /// Blocks of cells that leave too few of them.
    #[error("blocks of {asked} cells a side: a certificate takes 1 to {most}")]
    Block {
        /// As asked for.
        asked: usize,
        /// At most.
        most: usize,
    },
    /// A certificate by no way to take cells away.
    #[error(
        "a certificate needs a way to take cells away: knock-out, mean-embedding, blur or road"
    )]
    NoOperator,
    /// What single heads did was asked of the retained engine.
    #[error("results by head need the streaming engine; leave the engine at auto or streaming")]
    HeadsRetained,
    /// Maps finer than tokens were asked of the retained engine.
    #[error("patches and pixels need the streaming engine; leave the engine at auto or streaming")]
    FinerRetained,
    /// A rule of layer-wise relevance propagation was asked of a build without it.
    #[error(
        "this build has no backward rule {backward}: it was made without the feature `lrp`, because layer-wise relevance propagation is patented and commercial use may need a licence"
    )]
    NoLrp {
        /// The rule asked for.
        backward: Backward,
    },
    /// Another backward rule than the gradient was asked of the retained engine.
    #[error(
        "the backward rule {backward} needs the streaming engine; leave the engine at auto or streaming"
    )]
    BackwardRetained {
        /// The rule asked for.
        backward: Backward,
    },
    /// No engine has this name.
    #[error("unknown engine {found:?}; use auto, streaming or retained")]
    UnknownEngine {
        /// As given.
        found: String,
    },
    /// A file of the cache could not be written.
    #[cfg(feature = "phantom")]
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// The queue of a [`crate::Service`] is full.
    #[error("the model is busy: {length} requests wait already; try again later")]
    Busy {
        /// How many may wait.
        length: usize,
    },
    /// A [`crate::Service`] could not be started, or has ended.
    #[error("the model's thread cannot be used: {reason}")]
    Service {
        /// Why.
        reason: String,
    },
    /// The prompt, a picture or the tokenizer.
    #[error(transparent)]
    Input(gemma3_processor::Error),
    /// The checkpoint or the model.
    #[error(transparent)]
    Model(gemma3_tch::Error),
    /// The capture of attention.
    #[error(transparent)]
    Capture(attention_capture::Error),
    /// The relevancy itself.
    #[error(transparent)]
    Relevancy(attention_relevancy::Error),
    /// A DICOM or `NIfTI` file could not be read.
    #[error(transparent)]
    Medical(medical_pictures::Error),
    /// Results could not be drawn, written or read again.
    #[error(transparent)]
    Document(explanation_record::Error),
    /// The caller ended the work.
    #[error("cancelled")]
    Cancelled,
}

#[doc(hidden)] // no part of the interface: its type is private
impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

/// `?` for the crates below.
macro_rules! wrap {
    ($($foreign:ty => $cause:ident),* $(,)?) => {
        $(
            #[doc(hidden)] // no part of the interface: the types of some of these crates may change
            impl From<$foreign> for Error {
                fn from(error: $foreign) -> Self {
                    Cause::$cause(error).into()
                }
            }
        )*
    };
}

wrap! {
    gemma3_processor::Error => Input,
    gemma3_tch::Error => Model,
    medical_pictures::Error => Medical,
    attention_capture::Error => Capture,
    attention_relevancy::Error => Relevancy,
    explanation_record::Error => Document,
}

/// What the documentation promises, checked by the compiler.
const _: () = {
    const fn everywhere<T: Send + Sync + 'static>() {}
    everywhere::<Error>();
};
