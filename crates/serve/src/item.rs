//! An answer or an explanation, from queued to done.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use explanation_jobs::{Problem, Row};
use tokio::sync::watch;

use crate::{
    Progress, ShownPicture,
    engine::Keep,
    id::Id,
    view::{ItemView, Json, Kind, PictureView, ProgressView, StateName},
};

/// What an item weighs beside what it holds, so that many small ones are bounded, too.
const OWN_BYTES: u64 = 4096;

/// An answer or an explanation. The queue writes to it, and any number of clients read it and wait for changes.
pub(crate) struct Item {
    pub(crate) id: Id,
    pub(crate) kind: Kind,
    pub(crate) cancel_when_left: bool,
    created: String,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    /// Those who listen to its events, or wait for its end.
    listeners: AtomicUsize,
    /// How often one of them has gone.
    leaves: AtomicUsize,
    /// Explanations that wait for this answer.
    users: AtomicUsize,
    kept: Mutex<Option<Box<dyn Keep>>>,
}

pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) progress: Option<Told<ProgressView>>,
    /// All text that was generated so far.
    pub(crate) text: String,
    pub(crate) answer: Option<Json>,
    pub(crate) pictures: Arc<[Picture]>,
    pub(crate) rows: BTreeMap<usize, Told<Json>>,
    run: Option<Json>,
    /// Beside `done`: what could not be done with the result.
    warning: Option<Problem>,
    pub(crate) result: Option<Arc<Result>>,
    /// Whether what is needed to explain the answer is lost.
    lost: bool,
    kept_bytes: u64,
    used: Instant,
    stored: bool,
    /// Counts what was told, so that a listener knows what it has not seen.
    told: u64,
    /// When the present step began.
    step: Instant,
}

/// What was told, and as the how-manieth.
pub(crate) struct Told<T> {
    pub(crate) number: u64,
    pub(crate) what: T,
}

/// A picture as it is shown.
pub(crate) struct Picture {
    pub(crate) name: Option<String>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) sha256: String,
    pub(crate) png: Bytes,
}

/// Page and files of an explanation.
pub(crate) struct Result {
    pub(crate) report: Bytes,
    pub(crate) files: BTreeMap<String, Bytes>,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// `position` stand before it. `waits`: until when, about.
    Queued {
        position: usize,
        waits: Option<Instant>,
    },
    Running,
    Done,
    Failed(Problem),
    Cancelled,
}

/// What an explanation ends with.
pub(crate) struct Ended {
    pub(crate) rows: Vec<(usize, Json)>,
    pub(crate) run: Json,
    pub(crate) result: Result,
}

impl Phase {
    pub(crate) fn name(&self) -> StateName {
        match self {
            Self::Queued { .. } => StateName::Queued,
            Self::Running => StateName::Running,
            Self::Done => StateName::Done,
            Self::Failed(_) => StateName::Failed,
            Self::Cancelled => StateName::Cancelled,
        }
    }

    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::Queued { .. } | Self::Running)
    }
}

impl From<ShownPicture> for Picture {
    fn from(picture: ShownPicture) -> Self {
        let ShownPicture { name, width, height, sha256, png } = picture;
        Self { name, width, height, sha256, png: png.into() }
    }
}

impl Item {
    pub(crate) fn new(
        id: Id,
        kind: Kind,
        cancel_when_left: bool,
        pictures: Arc<[Picture]>,
    ) -> Self {
        let now = Instant::now();
        let state = State {
            phase: Phase::Queued { position: 0, waits: None },
            progress: None,
            text: String::new(),
            answer: None,
            pictures,
            rows: BTreeMap::new(),
            run: None,
            warning: None,
            result: None,
            lost: false,
            kept_bytes: 0,
            used: now,
            stored: false,
            told: 0,
            step: now,
        };
        Self {
            id,
            kind,
            cancel_when_left,
            created: rfc3339(SystemTime::now()),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            listeners: AtomicUsize::new(0),
            leaves: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
            kept: Mutex::new(None),
        }
    }

    /// One that was stored.
    pub(crate) fn stored(id: Id, view: ItemView, pictures: Arc<[Picture]>, result: Result) -> Self {
        let item =
            Self { created: view.created, ..Self::new(id, Kind::Explanation, false, pictures) };
        item.change(|state| {
            state.phase = Phase::Done;
            state.answer = view.answer;
            let rows = view.rows.unwrap_or_default().into_iter().enumerate();
            state.rows = rows
                .map(|(index, what)| (index, Told { number: index as u64 + 1, what }))
                .collect();
            state.told = state.rows.len() as u64;
            state.run = view.run;
            state.result = Some(Arc::new(result));
            state.stored = true;
        });
        item
    }

    /// Nothing that is done under this lock can leave half a state, so a panic elsewhere does not matter.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes its state, and tells all who wait.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.send_replace(());
        result
    }

    /// As [`Item::change`], while it has not ended.
    fn change_unended(&self, change: impl FnOnce(&mut State)) -> bool {
        self.change(|state| {
            let unended = !state.phase.is_final();
            if unended {
                change(state);
            }
            unended
        })
    }

    /// Tells of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn queued(&self, position: usize, waits: Option<f64>) {
        let waits = waits.and_then(|seconds| {
            Instant::now().checked_add(Duration::try_from_secs_f64(seconds).ok()?)
        });
        self.change_unended(|state| state.phase = Phase::Queued { position, waits });
    }

    pub(crate) fn started(&self) {
        self.change_unended(|state| {
            state.phase = Phase::Running;
            state.step = Instant::now();
        });
    }

    pub(crate) fn token(&self, text: &str) {
        self.change_unended(|state| state.text.push_str(text));
    }

    pub(crate) fn progress(&self, progress: Progress) {
        self.change_unended(|state| {
            let Progress { step, done, total } = progress;
            if state.progress.as_ref().is_none_or(|told| told.what.step != step) {
                state.step = Instant::now();
            }
            let took = state.step.elapsed().as_secs_f64();
            let left = total.and_then(|total| total.checked_sub(done));
            let seconds_left =
                left.filter(|_| 0 < done).map(|left| took / done as f64 * left as f64);
            let number = state.next();
            let what = ProgressView { step, done, total, seconds_left };
            state.progress = Some(Told { number, what });
        });
    }

    pub(crate) fn row(&self, row: &Row) {
        if let Ok(json) = Json::of(row) {
            self.change_unended(|state| state.put_row(row.index, json));
        }
    }

    /// Of an answer: it is done. Of an explanation: there is an answer to explain.
    pub(crate) fn answered(&self, answer: Json) {
        self.change_unended(|state| {
            state.answer = Some(answer);
            if self.kind == Kind::Answer {
                state.end(Phase::Done);
            }
        });
    }

    /// Whether it has not ended before.
    pub(crate) fn end(&self, phase: Phase) -> bool {
        self.change_unended(|state| state.end(phase))
    }

    /// Of an explanation: all but its end.
    pub(crate) fn explained(&self, ended: Ended) {
        self.change_unended(|state| {
            let indices: Vec<_> = ended.rows.iter().map(|(index, _)| *index).collect();
            state.rows.retain(|index, _| indices.contains(index));
            for (index, json) in ended.rows {
                state.put_row(index, json);
            }
            state.run = Some(ended.run);
            state.result = Some(Arc::new(ended.result));
        });
    }

    /// Of a finished explanation: it is in the store, or why it is not.
    pub(crate) fn kept_in_store(&self, stored: std::result::Result<(), Problem>) {
        self.change_unended(|state| match stored {
            Ok(()) => state.stored = true,
            Err(problem) => state.warning = Some(problem),
        });
    }

    pub(crate) fn result(&self) -> Option<Arc<Result>> {
        let state = self.state();
        state.result.clone().filter(|_| matches!(state.phase, Phase::Done))
    }

    /// Puts what is needed to explain the answer back.
    pub(crate) fn keep(&self, kept: Box<dyn Keep>) {
        self.state().kept_bytes = kept.bytes();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// Takes what is needed to explain the answer, for as long as it is explained.
    pub(crate) fn take_kept(&self) -> Option<Box<dyn Keep>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Of a kept answer that was lost.
    pub(crate) fn lost(&self) {
        let mut state = self.state();
        (state.lost, state.kept_bytes) = (true, 0);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.state().lost
    }

    /// It was asked for.
    pub(crate) fn touch(&self) {
        self.state().used = Instant::now();
    }

    pub(crate) fn view(&self, kept: Duration) -> ItemView {
        let state = self.state();
        let position = match state.phase {
            Phase::Queued { position, .. } => Some(position),
            _ => None,
        };
        let problem = match &state.phase {
            Phase::Failed(problem) => Some(problem.clone()),
            _ => state.warning.clone(),
        };
        let expires = (state.phase.is_final() && !state.stored)
            .then(|| SystemTime::now() + kept.saturating_sub(state.used.elapsed()));
        let rows = state.rows.values().map(|told| told.what.clone()).collect::<Vec<_>>();
        let progress = state.progress.as_ref().filter(|_| !state.phase.is_final());
        ItemView {
            id: self.id.to_string(),
            kind: self.kind,
            state: state.phase.name(),
            position,
            waits_seconds: state.waits(),
            progress: progress.map(|told| told.what),
            created: self.created.clone(),
            expires: expires.map(rfc3339),
            answer: state.answer.clone(),
            pictures: self.pictures(&state),
            rows: (!rows.is_empty() || state.run.is_some()).then_some(rows),
            run: state.run.clone(),
            problem,
        }
    }

    pub(crate) fn pictures(&self, state: &State) -> Vec<PictureView> {
        let pictures = state.pictures.iter().enumerate();
        let view = |(number, picture): (usize, &Picture)| PictureView {
            width: picture.width,
            height: picture.height,
            name: picture.name.clone(),
            sha256: picture.sha256.clone(),
            png: format!("{}/{}/pictures/{number}", self.kind.path(), self.id),
        };
        pictures.map(view).collect()
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state();
        let json = |json: &Json| json.text().len();
        let pictures: usize = state.pictures.iter().map(|picture| picture.png.len()).sum();
        let rows: usize = state.rows.values().map(|told| json(&told.what)).sum();
        let result = state.result.as_ref().map_or(0, |result| {
            result.report.len() + result.files.values().map(Bytes::len).sum::<usize>()
        });
        let texts = state.text.len()
            + state.answer.as_ref().map_or(0, json)
            + state.run.as_ref().map_or(0, json);
        (pictures + rows + result + texts) as u64 + state.kept_bytes + OWN_BYTES
    }

    /// Since when nobody has asked for it; `None` while it is in use.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let in_use = self.listeners.load(Ordering::SeqCst) + self.users.load(Ordering::SeqCst);
        let state = self.state();
        (in_use == 0 && state.phase.is_final()).then_some(state.used)
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.state().stored
    }

    /// One more listens to it.
    pub(crate) fn listen(&self) {
        self.listeners.fetch_add(1, Ordering::SeqCst);
    }

    /// One has gone. The number to ask [`Item::is_left_since`] with, where it was the last one.
    pub(crate) fn leave(&self) -> Option<usize> {
        self.touch();
        let leaves = self.leaves.fetch_add(1, Ordering::SeqCst) + 1;
        (self.listeners.fetch_sub(1, Ordering::SeqCst) == 1).then_some(leaves)
    }

    /// Whether nobody has come since.
    pub(crate) fn is_left_since(&self, leave: usize) -> bool {
        self.listeners.load(Ordering::SeqCst) == 0 && self.leaves.load(Ordering::SeqCst) == leave
    }
}

impl State {
    /// How long it will wait, in seconds, about.
    pub(crate) fn waits(&self) -> Option<f64> {
        match self.phase {
            Phase::Queued { waits, .. } => {
                waits.map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64())
            }
            _ => None,
        }
    }

    fn next(&mut self) -> u64 {
        self.told += 1;
        self.told
    }

    /// A row that is there already is not told again.
    fn put_row(&mut self, index: usize, json: Json) {
        if self.rows.get(&index).is_none_or(|told| told.what.text() != json.text()) {
            let number = self.next();
            self.rows.insert(index, Told { number, what: json });
        }
    }

    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.used = Instant::now();
    }
}

/// An answer is needed for an explanation, until this is dropped.
pub(crate) struct InUse(pub(crate) Arc<Item>);

impl InUse {
    pub(crate) fn of(item: Arc<Item>) -> Self {
        item.users.fetch_add(1, Ordering::SeqCst);
        Self(item)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.touch();
        self.0.users.fetch_sub(1, Ordering::SeqCst);
    }
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}
