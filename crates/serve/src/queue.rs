//! What waits for the model, and what all requests share.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use explanation_jobs::{Options, Target};
use tokio::{runtime::Handle, sync::Semaphore};

use crate::{
    Limits, Log, Token,
    engine::{Engine, Read, ReadQuestion},
    estimates::{Effort, Estimates},
    guard::Names,
    id::Id,
    item::{InUse, Item, Phase, Picture},
    metrics::Metrics,
    problem::HttpProblem,
    request::{Of, Wanted},
    shelf::{Found, Shelf},
    store::Store,
    view::{Kind, SecondsView},
};

/// What all requests and the queue's thread share.
pub(crate) struct Hub {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) limits: Limits,
    pub(crate) names: Names,
    pub(crate) token: Option<Token>,
    pub(crate) log: Log,
    pub(crate) shelf: Shelf,
    pub(crate) store: Option<Store>,
    pub(crate) metrics: Metrics,
    /// Where timers run.
    pub(crate) runtime: Handle,
    /// Bytes of bodies that may still be received at one time, in [`crate::body::UNIT`].
    pub(crate) receiving: Arc<Semaphore>,
    /// Requests whose pictures may be decoded at one time.
    pub(crate) decoding: Semaphore,
    pub(crate) stopping: AtomicBool,
    pub(crate) openapi: bytes::Bytes,
    queue: Mutex<Queue>,
    work_came: Condvar,
}

/// Those of [`Hub`] that are given.
pub(crate) struct Given {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) limits: Limits,
    pub(crate) names: Names,
    pub(crate) token: Option<Token>,
    pub(crate) log: Log,
    pub(crate) store: Option<Store>,
    pub(crate) runtime: Handle,
    pub(crate) openapi: bytes::Bytes,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    /// Requests that have a place and whose pictures are still being read.
    reserved: usize,
    running: Option<Running>,
    estimates: Estimates,
    closed: bool,
}

/// What is being worked on.
struct Running {
    items: Vec<Arc<Item>>,
    cancel: Arc<AtomicBool>,
    efforts: Vec<Effort>,
    since: Instant,
}

/// An answer, an explanation of a kept answer, or both.
pub(crate) struct Work {
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) options: Options,
    pub(crate) answer: Option<ToAnswer>,
    pub(crate) explanation: Option<ToExplain>,
}

pub(crate) struct ToAnswer {
    pub(crate) item: Arc<Item>,
    pub(crate) question: Box<dyn ReadQuestion>,
}

pub(crate) struct ToExplain {
    pub(crate) item: Arc<Item>,
    /// What is explained.
    pub(crate) answer: InUse,
    pub(crate) targets: Vec<Target>,
}

impl Work {
    pub(crate) fn items(&self) -> Vec<Arc<Item>> {
        let answer = self.answer.as_ref().map(|answer| &answer.item);
        let explanation = self.explanation.as_ref().map(|explanation| &explanation.item);
        answer.into_iter().chain(explanation).cloned().collect()
    }

    fn efforts(&self) -> Vec<Effort> {
        let answer = self.answer.as_ref().map(|_| Effort::of_answer(&self.options));
        let explanation = self.explanation.as_ref().map(|_| Effort::of_explanation(&self.options));
        answer.into_iter().chain(explanation).collect()
    }
}

/// A place in the queue, until it is used or dropped.
pub(crate) struct Place<'a>(&'a Hub);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queue().reserved -= 1;
    }
}

/// A request that was read.
pub(crate) struct Ready {
    cancel_when_left: bool,
    targets: Vec<Target>,
    options: Options,
    of: ReadyOf,
}

enum ReadyOf {
    Question(Read),
    Kept(InUse),
}

impl Hub {
    pub(crate) fn new(given: Given) -> Self {
        let Given { engine, limits, names, token, log, store, runtime, openapi } = given;
        let units = (2 * limits.body_bytes / crate::body::UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            engine,
            names,
            token,
            log,
            shelf: Shelf::new(limits.kept_bytes, limits.kept),
            store,
            metrics: Metrics::default(),
            runtime,
            receiving: Arc::new(Semaphore::new(units)),
            decoding: Semaphore::new(2),
            stopping: AtomicBool::new(false),
            openapi,
            limits,
            queue: Mutex::default(),
            work_came: Condvar::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in the queue.
    pub(crate) fn reserve(&self) -> Result<Place<'_>, HttpProblem> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(HttpProblem::stopping());
        }
        let mut queue = self.queue();
        if self.limits.queue <= queue.waiting.len() + queue.reserved {
            let waits = queue.ahead(queue.waiting.len()).unwrap_or(10.0) / self.limits.queue as f64;
            let after = Duration::from_secs_f64(waits.clamp(1.0, 600.0).ceil());
            return Err(HttpProblem::busy("the queue is full; try again later", after));
        }
        queue.reserved += 1;
        drop(queue);
        Ok(Place(self))
    }

    /// Checks a request with the model and decodes its pictures. Blocks.
    pub(crate) fn read(&self, wanted: Wanted) -> Result<Ready, HttpProblem> {
        let Wanted { of, targets, options, cancel_when_left } = wanted;
        self.engine.check(&options, &targets)?;
        let of = match of {
            Of::Question(asked) => ReadyOf::Question(self.engine.read(asked, &options)?),
            Of::Kept(id) => ReadyOf::Kept(self.kept(id)?),
        };
        Ok(Ready { cancel_when_left, targets, options, of })
    }

    /// An answer that can be explained.
    fn kept(&self, id: Id) -> Result<InUse, HttpProblem> {
        use axum::http::StatusCode;
        use explanation_jobs::ProblemKind;

        let gone = "the answer is not kept any more: ask again";
        let item = match self.shelf.find(id, Kind::Answer) {
            Found::Item(item) => item,
            Found::Expired => {
                return Err(HttpProblem::new(StatusCode::GONE, ProblemKind::NotInAnswer, gone));
            }
            Found::Nothing => {
                let detail = "there is no answer with this id";
                return Err(HttpProblem::new(StatusCode::NOT_FOUND, ProblemKind::Job, detail));
            }
        };
        let used = InUse::of(Arc::clone(&item));
        let phase = item.state().phase.clone();
        if !matches!(phase, Phase::Done) {
            let detail = format!(
                "the answer is {}; only one that is done can be explained",
                phase.name().name()
            );
            return Err(HttpProblem::new(StatusCode::CONFLICT, ProblemKind::Job, detail));
        }
        if item.is_lost() {
            return Err(HttpProblem::new(StatusCode::GONE, ProblemKind::NotInAnswer, gone));
        }
        Ok(used)
    }

    /// Queues what was read, and returns what was asked for.
    pub(crate) fn submit(
        &self,
        place: Place<'_>,
        kind: Kind,
        ready: Ready,
    ) -> Result<Arc<Item>, HttpProblem> {
        let Ready { cancel_when_left, targets, options, of } = ready;
        let id = || {
            Id::random().map_err(|_| HttpProblem::internal("the system gives no random numbers"))
        };
        let cancel = Arc::new(AtomicBool::new(false));
        let pictures: Arc<[Picture]> = match &of {
            ReadyOf::Question(_) => Arc::new([]),
            ReadyOf::Kept(answer) => Arc::clone(&answer.0.state().pictures),
        };
        let (answer, used, pictures) = match of {
            ReadyOf::Kept(used) => (None, used, pictures),
            ReadyOf::Question(Read { pictures, question }) => {
                let pictures: Arc<[Picture]> = pictures.into_iter().map(Picture::from).collect();
                let left = cancel_when_left && kind == Kind::Answer;
                let item = Item::new(id()?, Kind::Answer, left, Arc::clone(&pictures));
                let item = Arc::new(item);
                (Some(ToAnswer { item: Arc::clone(&item), question }), InUse::of(item), pictures)
            }
        };
        let explanation = match kind {
            Kind::Answer => None,
            Kind::Explanation => {
                let item = Item::new(id()?, kind, cancel_when_left, pictures);
                if answer.is_none()
                    && let Some(text) = used.0.state().answer.clone()
                {
                    item.answered(text);
                }
                Some(ToExplain { item: Arc::new(item), answer: used, targets })
            }
        };
        let work = Work { cancel, options, answer, explanation };
        let items = work.items();
        let Some(wanted) = items.iter().rfind(|item| item.kind == kind).cloned() else {
            return Err(HttpProblem::internal("nothing was asked for"));
        };
        let mut queue = self.queue();
        // Looked at under the lock: whoever stops the server empties the queue after it has said so.
        if self.stopping.load(Ordering::SeqCst) {
            drop(queue);
            return Err(HttpProblem::stopping());
        }
        for item in items {
            self.shelf.put(item);
        }
        queue.waiting.push_back(work);
        queue.renumber();
        drop(queue);
        drop(place);
        self.work_came.notify_one();
        Ok(wanted)
    }

    /// Ends an item that has not ended, with those that cannot be without it. Returns them all.
    pub(crate) fn cancel(&self, item: &Arc<Item>) -> Vec<Arc<Item>> {
        let mut queue = self.queue();
        let concerns = |items: &[Arc<Item>]| items.iter().any(|other| Arc::ptr_eq(other, item));
        let waiting = queue.waiting.iter().position(|work| concerns(&work.items()));
        let items = if let Some(index) = waiting {
            let work = queue.waiting.remove(index);
            queue.renumber();
            work.map(|work| work.items()).unwrap_or_default()
        } else {
            match &queue.running {
                // An answer that is done does not end its explanation.
                Some(running) if concerns(&running.items) && !item.state().phase.is_final() => {
                    running.cancel.store(true, Ordering::SeqCst);
                    running.items.clone()
                }
                _ => Vec::new(),
            }
        };
        drop(queue);
        items.into_iter().filter(|item| item.end(Phase::Cancelled)).collect()
    }

    /// Cancels an item, and forgets it with those that were cancelled with it.
    pub(crate) fn forget(&self, item: &Arc<Item>) {
        for cancelled in self.cancel(item) {
            self.shelf.remove(cancelled.id);
        }
        self.shelf.remove(item.id);
    }

    /// The next work; blocks until there is some. `None`: the queue is closed.
    pub(crate) fn next_work(&self) -> Option<Work> {
        let mut queue = self.queue();
        loop {
            queue.running = None;
            if let Some(work) = queue.waiting.pop_front() {
                queue.running = Some(Running {
                    items: work.items(),
                    cancel: Arc::clone(&work.cancel),
                    efforts: work.efforts(),
                    since: Instant::now(),
                });
                queue.renumber();
                return Some(work);
            }
            if queue.closed {
                return None;
            }
            queue = self.work_came.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn took(&self, effort: Effort, took: Duration, tokens: u64) {
        let mut queue = self.queue();
        queue.estimates.took(effort, took);
        if effort == Effort::Answer {
            queue.estimates.tokens_took(tokens, took);
        }
    }

    pub(crate) fn seconds(&self) -> SecondsView {
        self.queue().estimates.view()
    }

    pub(crate) fn queue_length(&self) -> usize {
        self.queue().waiting.len()
    }

    /// Takes nothing more; ends all that waits.
    pub(crate) fn close(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let mut queue = self.queue();
        let waiting = std::mem::take(&mut queue.waiting);
        queue.closed = true;
        drop(queue);
        for item in waiting.iter().flat_map(Work::items) {
            item.end(Phase::Cancelled);
        }
        self.work_came.notify_all();
    }

    /// Tells what is being worked on to end.
    pub(crate) fn cancel_running(&self) {
        let queue = self.queue();
        let Some(running) = &queue.running else { return };
        running.cancel.store(true, Ordering::SeqCst);
        let items = running.items.clone();
        drop(queue);
        for item in items {
            item.end(Phase::Cancelled);
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue().running.is_none()
    }
}

impl Queue {
    /// Seconds until the work at this place begins; `None` where that is not known.
    fn ahead(&self, place: usize) -> Option<f64> {
        let running = match &self.running {
            None => 0.0,
            Some(running) => {
                let whole = self.estimates.seconds(&running.efforts)?;
                (whole - running.since.elapsed().as_secs_f64()).max(0.0)
            }
        };
        let before = self.waiting.iter().take(place);
        let before: Option<f64> = before.map(|work| self.estimates.seconds(&work.efforts())).sum();
        before.map(|before| running + before)
    }

    /// Tells all that wait where they stand.
    fn renumber(&self) {
        for (place, work) in self.waiting.iter().enumerate() {
            let waits = self.ahead(place);
            for item in work.items() {
                item.queued(place, waits);
            }
        }
    }
}

/// Somebody listens to an item, until this is dropped.
pub(crate) struct Listening {
    hub: Arc<Hub>,
    pub(crate) item: Arc<Item>,
}

impl Listening {
    pub(crate) fn to(hub: &Arc<Hub>, item: &Arc<Item>) -> Self {
        item.listen();
        Self { hub: Arc::clone(hub), item: Arc::clone(item) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let Some(leave) = self.item.leave() else { return };
        if !self.item.cancel_when_left || self.item.state().phase.is_final() {
            return;
        }
        let (hub, item) = (Arc::clone(&self.hub), Arc::clone(&self.item));
        self.hub.runtime.spawn(async move {
            tokio::time::sleep(hub.limits.left).await;
            if item.is_left_since(leave) {
                hub.cancel(&item);
            }
        });
    }
}
