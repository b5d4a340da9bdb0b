//! How a model tells of itself while it works.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use explanation_jobs::Row;

/// Told by the model while it works, and asked whether it should go on.
#[derive(Clone)]
pub struct Watch {
    cancelled: Arc<AtomicBool>,
    listener: Arc<dyn Listener>,
}

/// Hears what a model tells.
pub(crate) trait Listener: Send + Sync {
    fn token(&self, text: &str);
    fn progress(&self, progress: Progress);
    fn row(&self, row: Row);
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of the work.
    pub step: Step,
    /// Parts of the step that are done.
    pub done: u64,
    /// All parts of the step, where that is known.
    pub total: Option<u64>,
}

/// A step of the work.
#[derive(
    serde::Serialize, serde::Deserialize, utoipa::ToSchema, Clone, Copy, Debug, PartialEq, Eq,
)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Pictures are decoded, the prompt becomes tokens.
    Reading,
    /// The vision tower sees the pictures.
    Looking,
    /// Tokens of the answer.
    Answering,
    /// Maps.
    Explaining,
    /// Whether words depend on the picture.
    Reliance,
    /// Controls of a certificate.
    Certificate,
    /// Page, figures, files.
    Drawing,
}

impl Watch {
    pub(crate) fn new(cancelled: Arc<AtomicBool>, listener: Arc<dyn Listener>) -> Self {
        Self { cancelled, listener }
    }

    /// One that nobody hears and that is never cancelled unless by its flag: for tests of models.
    pub fn unheard() -> Self {
        Self::new(Arc::default(), Arc::new(Nobody))
    }

    /// Whether the work is to end as soon as it can, with [`Cancelled`](explanation_jobs::ProblemKind::Cancelled).
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The flag of [`Watch::is_cancelled`], for code that takes one.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// A token of the answer was made, and this text with it: what stands behind all texts before. It may be empty.
    pub fn token(&self, text: &str) {
        self.listener.token(text);
    }

    /// A step begins, or a part of it is done.
    pub fn progress(&self, step: Step, done: u64, total: Option<u64>) {
        self.listener.progress(Progress { step, done, total });
    }

    /// A row is ready. One with the same index takes its place.
    pub fn row(&self, row: Row) {
        self.listener.row(row);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("cancelled", &self.cancelled).finish_non_exhaustive()
    }
}

struct Nobody;

impl Listener for Nobody {
    fn token(&self, _: &str) {}
    fn progress(&self, _: Progress) {}
    fn row(&self, _: Row) {}
}
