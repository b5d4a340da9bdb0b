//! One call: what belongs to it and not to the model.

use std::fmt;
use std::ops::{ControlFlow, Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use explanation_record::{Exported, Gain, OutputFolder, Presentation};
use gemma3_tch::Gemma3;
use model_audit::Observed;

use crate::setters::setters;
use crate::source::ExplainObserver;
use crate::{
    Answer, AnswerOptions, Ask, AuditCase, AuditOptions, Blank, BlankControl, Certificate,
    CertificateOptions, Counterparts, Diagnosis, Error, ExplainOptions, Explainer, Explanations,
    PictureCache, Question, Reliance, VersusExplanation,
};

/// What ends a call, what it may take and who watches it. By default nothing does.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Context {
    /// When it becomes true, generation ends after the next token, and a sweep or drawing with
    /// [`crate::ErrorKind::Cancelled`].
    pub cancel: Option<Arc<AtomicBool>>,
    /// Bytes that explaining may take beside the weights; `None`: as the model was loaded ([`LoadOptions::context`](crate::LoadOptions)).
    pub memory_budget: Option<u64>,
    /// Pictures that were seen before and beginnings of prompts that were read, of the explainer that made it
    /// ([`Explainer::picture_cache`]); others pass it by.
    pub pictures: Option<PictureCache>,
    /// Called after every layer of a sweep that explains, with the layers of all explained tokens done and in all; only by the
    /// streaming engine. Methods of comparison with sweeps of their own begin again at zero; occlusion, by either engine, tells of cells in
    /// the place of layers.
    pub progress: Option<ExplainObserver>,
}

setters!(Context {
    with_cancel = cancel: Option<Arc<AtomicBool>>,
    with_memory_budget = memory_budget: Option<u64>,
    with_pictures = pictures: Option<PictureCache>,
    with_progress = progress: Option<ExplainObserver>,
});

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cancel, memory_budget, pictures, progress } = self;
        let mut shown = f.debug_struct("Context");
        shown.field("cancel", cancel).field("memory_budget", memory_budget);
        shown.field("pictures", pictures);
        shown.field("progress", &progress.is_some()).finish()
    }
}

/// A call of an [`Explainer`] in a context of its own: [`Explainer::within`]. It has every method of the explainer.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    explainer: &'a Explainer,
    /// The explainer's own, or what [`Request::by`] puts in its place.
    pub(crate) model: &'a Gemma3,
    pub(crate) context: &'a Context,
}

impl Deref for Request<'_> {
    type Target = Explainer;

    fn deref(&self) -> &Explainer {
        self.explainer
    }
}

impl Request<'_> {
    /// Bytes that the call may take beside the weights.
    pub fn memory_budget(&self) -> u64 {
        self.context.memory_budget.unwrap_or(self.explainer.default_budget)
    }

    /// The cache of pictures, where it is this explainer's, and the call is computed by this explainer's model ([`Request::by`]).
    pub(crate) fn picture_cache(&self) -> Option<&PictureCache> {
        let is_own = std::ptr::eq(self.model, &raw const self.explainer.model);
        self.context.pictures.as_ref().filter(|cache| is_own && cache.is_of(self.explainer))
    }

    /// The same call, computed by another model of the same tokens and layers.
    pub(crate) fn by<'a>(&'a self, model: &'a Gemma3) -> Request<'a> {
        Request { model, ..*self }
    }

    /// Whether the caller has ended it.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled()
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.context.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }
}

/// The calls, in the context that the model was loaded with; [`Request`] documents what they share.
impl Explainer {
    /// The same explainer for calls in another context.
    pub fn within<'a>(&'a self, context: &'a Context) -> Request<'a> {
        Request { explainer: self, model: &self.model, context }
    }

    /// A call in the context that the model was loaded with.
    pub fn request(&self) -> Request<'_> {
        self.within(&self.context)
    }

    /// [`Request::answer`].
    pub fn answer(
        &self,
        question: Question,
        options: &AnswerOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, Error> {
        self.request().answer(question, options, on_text)
    }

    /// [`Request::given`].
    pub fn given(&self, question: Question, text: &str) -> Result<Answer, Error> {
        self.request().given(question, text)
    }

    /// [`Request::keep_states`].
    pub fn keep_states(&self, answer: &mut Answer) -> Result<(), Error> {
        self.request().keep_states(answer)
    }

    /// [`Request::check`].
    pub fn check(
        &self,
        question: &Question,
        asks: &[Ask],
        options: &ExplainOptions,
    ) -> Result<(), Error> {
        self.request().check(question, asks, options)
    }

    /// [`Request::explain`].
    pub fn explain(
        &self,
        answer: &Answer,
        asks: &[Ask],
        options: &ExplainOptions,
    ) -> Result<Explanations, Error> {
        self.request().explain(answer, asks, options)
    }

    /// [`Request::explain_versus`].
    pub fn explain_versus(
        &self,
        answer: &Answer,
        ask: &Ask,
        against: &str,
        options: &ExplainOptions,
    ) -> Result<VersusExplanation, Error> {
        self.request().explain_versus(answer, ask, against, options)
    }

    /// [`Request::reliance`].
    pub fn reliance(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        blanks: &[Blank],
    ) -> Result<Reliance, Error> {
        self.request().reliance(answer, explanations, blanks)
    }

    /// [`Request::gains`].
    pub fn gains(
        &self,
        answer: &Answer,
        spans: &[Range<usize>],
        blanks: &[Blank],
    ) -> Result<Vec<Vec<Gain>>, Error> {
        self.request().gains(answer, spans, blanks)
    }

    /// [`Request::certify`].
    pub fn certify(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        options: &CertificateOptions,
    ) -> Result<Certificate, Error> {
        self.request().certify(answer, explanations, options)
    }

    /// [`Request::audit`].
    pub fn audit(&self, case: &AuditCase, options: &AuditOptions) -> Result<Observed, Error> {
        self.request().audit(case, options)
    }

    /// [`Request::blank_control`].
    pub fn blank_control(
        &self,
        answer: &Answer,
        explanations: &Explanations,
    ) -> Result<BlankControl, Error> {
        self.request().blank_control(answer, explanations)
    }

    /// [`Request::counterparts`].
    pub fn counterparts(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        other: &Explainer,
    ) -> Result<Counterparts, Error> {
        self.request().counterparts(answer, explanations, other)
    }

    /// [`Request::diagnose`].
    pub fn diagnose(&self, answer: &Answer) -> Result<Diagnosis, Error> {
        self.request().diagnose(answer)
    }

    /// [`Request::write`].
    pub fn write(
        &self,
        folder: OutputFolder,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
    ) -> Result<Exported, Error> {
        self.request().write(folder, answer, explanations, presentation)
    }
}
