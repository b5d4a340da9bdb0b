//! One model that many threads ask.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::error::Cause;
use crate::{Context, Error, Explainer, Request};

/// A model that any number of threads may ask. It owns the thread that owns the model; what is asked waits in a queue of bounded
/// length and is done one after the other, in the order asked.
///
/// Clones ask the same model. When the last one is dropped, what still waits is done, and the model goes.
///
/// ```no_run
/// use medgemma_explainer::{Context, Explainer, LoadOptions, ModelSource, Service};
///
/// let source = ModelSource::parse("phantom", None, false);
/// let service = Service::start(move || Explainer::load(&source, &LoadOptions::default()), 16)?;
/// let layers = service.ask(Context::default(), |request| {
///     Ok(request.inspection().language_model().layers)
/// })?;
/// println!("{}", layers.wait()?);
/// # Ok::<(), medgemma_explainer::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Service {
    queue: SyncSender<Task>,
    length: usize,
}

/// Work with its answer to whoever asked.
type Task = Box<dyn FnOnce(&Explainer) + Send>;

/// What a task came to: its result, or the panic that ended it.
type Outcome<T> = Result<Result<T, Error>, Box<dyn Any + Send>>;

/// Something that was asked of a [`Service`]. Dropping it cancels it.
#[derive(Debug)]
#[must_use = "dropping it cancels what was asked"]
pub struct Pending<T> {
    outcome: Receiver<Outcome<T>>,
    cancel: Arc<AtomicBool>,
}

impl Service {
    /// Starts the thread and loads the model there; returns when it is loaded. `length`: how much may wait in the queue.
    ///
    /// # Errors
    /// Those of `load`, and [`crate::ErrorKind::Service`] where no thread can be started.
    pub fn start(
        load: impl FnOnce() -> Result<Explainer, Error> + Send + 'static,
        length: usize,
    ) -> Result<Self, Error> {
        let (queue, tasks) = sync_channel::<Task>(length);
        let loaded: Arc<OnceLock<Error>> = Arc::default();
        let (ready, is_ready) = sync_channel::<()>(1);
        let failure = Arc::clone(&loaded);
        let serve = move || match load() {
            Err(error) => {
                let _first = failure.set(error);
                drop(ready);
            }
            Ok(explainer) => {
                let _waited_for = ready.send(());
                for task in tasks {
                    task(&explainer);
                }
            }
        };
        let thread = thread::Builder::new().name("model".to_owned()).spawn(serve);
        let thread = thread.map_err(|error| Cause::Service { reason: error.to_string() })?;
        if is_ready.recv().is_ok() {
            return Ok(Self { queue, length });
        }
        if let Err(panic) = thread.join() {
            resume_unwind(panic);
        }
        let error = Arc::into_inner(loaded).and_then(OnceLock::into_inner);
        Err(error.unwrap_or_else(|| Cause::Service { reason: "it ended".to_owned() }.into()))
    }

    /// Puts `work` into the queue and returns at once. Its request has the context given, with a cancel flag of its own where that has
    /// none: [`Pending::cancel`] sets it, and so does dropping the [`Pending`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Busy`] where the queue is full, [`crate::ErrorKind::Service`] where the model's thread has ended.
    pub fn ask<T: Send + 'static>(
        &self,
        mut context: Context,
        work: impl FnOnce(&Request<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<Pending<T>, Error> {
        let cancel = Arc::clone(context.cancel.get_or_insert_default());
        let (done, outcome) = sync_channel(1);
        let task = move |explainer: &Explainer| {
            let request = explainer.within(&context);
            let result = if request.cancelled() {
                Ok(Err(Cause::Cancelled.into()))
            } else {
                // A mistake in one piece of work is its asker's: the others still have the model, which nothing changes.
                catch_unwind(AssertUnwindSafe(|| work(&request)))
            };
            let _nobody_waits = done.send(result);
        };
        match self.queue.try_send(Box::new(task)) {
            Ok(()) => Ok(Pending { outcome, cancel }),
            Err(TrySendError::Full(_)) => Err(Cause::Busy { length: self.length }.into()),
            Err(TrySendError::Disconnected(_)) => Err(ended()),
        }
    }
}

impl<T> Pending<T> {
    /// Waits for the result.
    ///
    /// # Errors
    /// Those of the work, [`crate::ErrorKind::Cancelled`] where it was cancelled while it waited.
    ///
    /// # Panics
    /// Where the work panicked, with its panic.
    pub fn wait(mut self) -> Result<T, Error> {
        let outcome = self.outcome.recv();
        // What has ended is not cancelled: the flag may be its asker's, and serve for what is asked next.
        self.cancel = Arc::default();
        match outcome {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(ended()),
        }
    }

    /// Ends it: at once where it still waits, else at the next look at its [`Context::cancel`].
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn ended() -> Error {
    Cause::Service { reason: "its thread has ended".to_owned() }.into()
}

/// What the documentation promises about threads, checked by the compiler.
const _: () = {
    const fn everywhere<T: Send + Sync + Clone>() {}
    const fn elsewhere<T: Send>() {}
    everywhere::<Service>();
    elsewhere::<Explainer>();
    elsewhere::<crate::Answer>();
    elsewhere::<Pending<crate::Explanations>>();
};
