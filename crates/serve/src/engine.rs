//! A model without its type, so that nothing behind it is generic.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use explanation_jobs::{AnswerText, Options, Problem, ProblemKind, Target};

use crate::{Answered, Asked, Explained, Model, ModelCard, ShownPicture, Watch};

/// A [`Model`] whose panics are problems.
pub(crate) trait Engine: Send + Sync {
    fn card(&self) -> ModelCard;
    fn check(&self, options: &Options, targets: &[Target]) -> Result<(), Problem>;
    fn read(&self, asked: Asked, options: &Options) -> Result<Read, Problem>;
}

/// A question that was read.
pub(crate) struct Read {
    pub(crate) pictures: Vec<ShownPicture>,
    pub(crate) question: Box<dyn ReadQuestion>,
}

pub(crate) trait ReadQuestion: Send {
    fn answer(
        self: Box<Self>,
        options: &Options,
        watch: &Watch,
    ) -> Result<(AnswerText, Box<dyn Keep>), Problem>;
}

/// A kept answer.
pub(crate) trait Keep: Send {
    fn explain(
        &mut self,
        targets: &[Target],
        options: &Options,
        watch: &Watch,
    ) -> Result<Explained, Failed>;
    fn bytes(&self) -> u64;
}

/// Why there is no explanation, and whether the kept answer can be used again.
pub(crate) struct Failed {
    pub(crate) problem: Problem,
    pub(crate) panicked: bool,
}

pub(crate) fn engine<M: Model>(model: M) -> Arc<dyn Engine> {
    Arc::new(Shared(Arc::new(model)))
}

struct Shared<M>(Arc<M>);

struct Bound<M, T> {
    model: Arc<M>,
    inner: T,
}

impl<M: Model> Engine for Shared<M> {
    fn card(&self) -> ModelCard {
        self.0.card()
    }

    fn check(&self, options: &Options, targets: &[Target]) -> Result<(), Problem> {
        caught(|| self.0.check(options, targets)).unwrap_or_else(Err)
    }

    fn read(&self, asked: Asked, options: &Options) -> Result<Read, Problem> {
        let read = || {
            let inner = self.0.read(asked, options)?;
            let pictures = self.0.pictures(&inner)?;
            let question = Box::new(Bound { model: Arc::clone(&self.0), inner });
            Ok(Read { pictures, question: question as Box<dyn ReadQuestion> })
        };
        caught(read).unwrap_or_else(Err)
    }
}

impl<M: Model> ReadQuestion for Bound<M, M::Question> {
    fn answer(
        self: Box<Self>,
        options: &Options,
        watch: &Watch,
    ) -> Result<(AnswerText, Box<dyn Keep>), Problem> {
        let Self { model, inner } = *self;
        let answer = || {
            let Answered { text, kept } = model.answer(inner, options, watch)?;
            let kept = Box::new(BoundKept { bytes: model.kept_bytes(&kept), model, inner: kept });
            Ok((text, kept as Box<dyn Keep>))
        };
        caught(answer).unwrap_or_else(Err)
    }
}

/// With its size, which a listener may ask for while it is in use.
struct BoundKept<M: Model> {
    model: Arc<M>,
    inner: M::Kept,
    bytes: u64,
}

impl<M: Model> Keep for BoundKept<M> {
    fn explain(
        &mut self,
        targets: &[Target],
        options: &Options,
        watch: &Watch,
    ) -> Result<Explained, Failed> {
        let explain = || {
            let explained = self.model.explain(&mut self.inner, targets, options, watch);
            self.bytes = self.model.kept_bytes(&self.inner);
            explained
        };
        match caught(explain) {
            Ok(result) => result.map_err(|problem| Failed { problem, panicked: false }),
            Err(problem) => Err(Failed { problem, panicked: true }),
        }
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The result, or the panic as a problem. What the panic said may hold words of the question, so it is not repeated.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        forget(payload);
        let message = "the program made a mistake while it worked on this; others are not affected";
        Problem::new(ProblemKind::Internal, message)
    })
}

/// A payload whose own drop panics must not end the queue.
fn forget(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}
