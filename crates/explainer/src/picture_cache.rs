//! Pictures that a model has seen before.

mod bounded;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attention_capture::{Keep, Prefix, Recorder};
use explanation_record::record::sha256;
use gemma3_processor::Pixels;
use gemma3_tch::{Cached, DecoderTrace, Features, Gemma3, Watch};

use crate::{Error, Explainer};
use bounded::Bounded;

/// Tells explainers apart.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A number that no other explainer of the process has.
pub(crate) fn number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What a model made of pictures, so that equal ones are looked at and read once: for many questions about one picture, in many calls
/// ([`crate::Context::pictures`]). Pictures are equal where all numbers that the vision tower gets are. Clones share what is kept.
///
/// Two things are kept, each where the bound has room for it, and what was not used for the longest goes first:
///
/// - The image tokens of a picture, so that the vision tower does not run again: 1.3 MB in Gemma3 4B. Not where the states of the tower are
///   kept for finer maps ([`crate::LoadOptions::keep_patches`]).
/// - What the language model made of a prompt up to the end of its last picture, for it does not depend on what stands behind: another
///   question about the same pictures, with the same text before and between them, is run from there. That is 38 MB of keys and values for
///   one picture in Gemma3 4B and bfloat16, and what is recorded for explanations
///   ([`AnswerOptions::record`](crate::AnswerOptions)): 48 MB of layer inputs, or 590 MB where the memory budget lets an answer keep all
///   that a layer computes. A beginning that is larger than the bound is not kept, and run again by every question. Answers that are given
///   ([`crate::Explainer::given`]) are explained by a run in one piece and take nothing from it.
///
/// An answer shares what was recorded of its beginning with the cache, and it is counted for both.
#[derive(Clone, Debug)]
pub struct PictureCache {
    kept: Arc<Mutex<Kept>>,
    owner: u64,
}

#[derive(Debug)]
struct Kept {
    values: Bounded<Key, Value>,
    pictures: (u64, u64),
    beginnings: (u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The numbers of a picture ([`key`]).
    Picture(String),
    Beginning(BeginningKey),
}

/// Everything that decides what a model makes of the beginning of a prompt, and what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BeginningKey {
    /// The tokens. Where the pictures stand is told by them.
    pub(crate) ids: Vec<u32>,
    /// The numbers of each picture ([`key`]).
    pub(crate) pictures: Vec<String>,
    pub(crate) keep: Option<Keep>,
}

#[derive(Debug)]
enum Value {
    Features(Features),
    Plain(Cached),
    Recorded(Prefix),
}

/// How the language model is run: recorded for explanations, or not.
#[derive(Debug)]
pub(crate) enum Running<'m> {
    Plain(Cached),
    Recorded(Recorder<'m, Cached>),
}

impl Explainer {
    /// A cache of pictures for calls of this explainer, of so many bytes.
    pub fn picture_cache(&self, bytes: u64) -> PictureCache {
        let kept = Kept { values: Bounded::new(bytes), pictures: (0, 0), beginnings: (0, 0) };
        PictureCache { kept: Arc::new(Mutex::new(kept)), owner: self.number }
    }
}

impl PictureCache {
    /// How many pictures were found in it, and how many the tower had to look at.
    pub fn counts(&self) -> (u64, u64) {
        self.kept().pictures
    }

    /// How many answers went on from a beginning that was found in it, and how many had to run theirs. One that has no picture or is too
    /// large to be kept is not counted.
    pub fn beginnings(&self) -> (u64, u64) {
        self.kept().beginnings
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.kept().values.bytes()
    }

    pub(crate) fn is_of(&self, explainer: &Explainer) -> bool {
        self.owner == explainer.number
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner) // nothing in it is half done when it panics
    }

    /// The image tokens of a picture: kept ones, or those that `make` makes.
    pub(crate) fn features(
        &self,
        picture: &str,
        make: impl FnOnce() -> Result<Features, Error>,
    ) -> Result<Features, Error> {
        let key = Key::Picture(picture.to_owned());
        {
            let mut kept = self.kept();
            let found = kept.values.get(&key).and_then(Value::features);
            count(&mut kept.pictures, found.is_some());
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let features = make()?;
        let (shared, bytes) = (features.shared(), features.bytes());
        self.kept().values.keep(key, Value::Features(shared), bytes);
        Ok(features)
    }

    /// Whether a beginning of so many bytes can be kept.
    pub(crate) fn takes(&self, bytes: u64) -> bool {
        self.kept().values.takes(bytes)
    }

    /// A run that goes on from a beginning, where it is kept.
    pub(crate) fn continuing<'m>(
        &self,
        model: &'m Gemma3,
        key: &BeginningKey,
    ) -> Result<Option<Running<'m>>, Error> {
        let mut kept = self.kept();
        let found = kept.values.get(&Key::Beginning(key.clone()));
        let found = found.map(|value| value.continuing(model)).transpose()?.flatten();
        count(&mut kept.beginnings, found.is_some());
        Ok(found)
    }

    /// Keeps the beginning that a run has come through.
    pub(crate) fn keep(&self, key: BeginningKey, running: &Running<'_>) -> Result<(), Error> {
        let (value, bytes) = match running {
            Running::Plain(cached) => {
                let cached = cached.branch()?;
                let bytes = cached.bytes();
                (Value::Plain(cached), bytes)
            }
            Running::Recorded(recorder) => {
                let prefix = recorder.prefix()?;
                let bytes = prefix.bytes();
                (Value::Recorded(prefix), bytes)
            }
        };
        self.kept().values.keep(Key::Beginning(key), value, bytes);
        Ok(())
    }
}

fn count((hits, misses): &mut (u64, u64), is_hit: bool) {
    *(if is_hit { hits } else { misses }) += 1;
}

impl Value {
    fn features(&self) -> Option<Features> {
        match self {
            Self::Features(features) => Some(features.shared()),
            Self::Plain(_) | Self::Recorded(_) => None,
        }
    }

    fn continuing<'m>(&self, model: &'m Gemma3) -> Result<Option<Running<'m>>, Error> {
        Ok(match self {
            Self::Plain(cached) => Some(Running::Plain(cached.branch()?)),
            Self::Recorded(prefix) => Some(Running::Recorded(Recorder::continuing(model, prefix)?)),
            Self::Features(_) => None,
        })
    }
}

impl<'m> Running<'m> {
    pub(crate) fn new(model: &'m Gemma3, keep: Option<Keep>) -> Self {
        match keep {
            Some(keep) => Self::Recorded(Recorder::generating(model, keep)),
            None => Self::Plain(Cached::default()),
        }
    }

    pub(crate) fn attend(&mut self) -> &mut dyn Watch<DecoderTrace> {
        match self {
            Self::Plain(cached) => cached,
            Self::Recorded(recorder) => recorder,
        }
    }

    pub(crate) fn recorder(self) -> Option<Recorder<'m, Cached>> {
        match self {
            Self::Plain(_) => None,
            Self::Recorded(recorder) => Some(recorder),
        }
    }
}

/// Names a picture by its numbers.
pub(crate) fn key(pixels: &Pixels) -> String {
    let Pixels { values, channels, height, width } = pixels;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    format!("{channels} {height} {width} {}", sha256(&bytes))
}
