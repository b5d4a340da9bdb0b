//! The life of an item as a stream of events.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::{
    item::{Item, Phase},
    queue::{Hub, Listening},
    view::PictureView,
};

/// It waits.
#[derive(Serialize, ToSchema)]
pub(crate) struct Queued {
    /// How many stand before it.
    position: usize,
    /// About how long it will wait; null where that is not known.
    #[schema(required)]
    waits_seconds: Option<f64>,
}

/// The pictures as the model sees them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pictures {
    pictures: Vec<PictureView>,
}

/// More of the answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Token<'a> {
    text: &'a str,
    /// Where it stands in all text so far, in bytes.
    from: usize,
}

/// The name of the event says all.
#[derive(Serialize, ToSchema)]
pub(crate) struct Nothing {}

/// What a listener was told. What has changed since is found by comparison, so a slow listener costs nothing and misses nothing that is
/// still true.
#[derive(Default)]
struct Cursor {
    position: Option<usize>,
    started: bool,
    pictures: bool,
    text: usize,
    answered: bool,
    progress: u64,
    row: u64,
}

/// The events of an item: its present state, then what changes, until its end.
pub(crate) fn stream(
    hub: &Arc<Hub>,
    item: &Arc<Item>,
    headers: &HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let listener = Listener {
        changes: item.changes(),
        listening: Listening::to(hub, item),
        cursor: Cursor::resumed(headers, item),
        pending: VecDeque::new(),
        ended: false,
    };
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
}

struct Listener {
    changes: watch::Receiver<()>,
    listening: Listening,
    cursor: Cursor,
    pending: VecDeque<Event>,
    ended: bool,
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.changes.mark_unchanged();
            self.ended = self.cursor.news(&self.listening.item, &mut self.pending);
            if self.pending.is_empty() {
                // The item holds the sender, and this holds the item.
                self.changes.changed().await.ok()?;
            }
        }
    }
}

impl Cursor {
    /// `Last-Event-ID` says how much text and how many rows a client has.
    fn resumed(headers: &HeaderMap, item: &Item) -> Self {
        let parse = || {
            let (text, row) = headers.get("last-event-id")?.to_str().ok()?.split_once('.')?;
            Some((text.parse::<usize>().ok()?, row.parse::<u64>().ok()?))
        };
        let (text, row) = parse().unwrap_or_default();
        // Of another item, or made up: all of it.
        let text = if item.state().text.is_char_boundary(text) { text } else { 0 };
        Self { text, row, ..Self::default() }
    }

    /// Whether the last of them is the item's end.
    fn news(&mut self, item: &Item, events: &mut VecDeque<Event>) -> bool {
        let state = item.state();
        if let Phase::Queued { position, .. } = state.phase
            && self.position != Some(position)
        {
            self.position = Some(position);
            let waits_seconds = state.waits();
            events.push_back(self.event("queued", &Queued { position, waits_seconds }));
        }
        if matches!(state.phase, Phase::Running) && !self.started {
            self.started = true;
            events.push_back(self.event("started", &Nothing {}));
        }
        if !self.pictures {
            self.pictures = true;
            let pictures = item.pictures(&state);
            events.push_back(self.event("pictures", &Pictures { pictures }));
        }
        if let Some(text) = state.text.get(self.text..).filter(|text| !text.is_empty()) {
            let from = self.text;
            self.text = state.text.len();
            events.push_back(self.event("token", &Token { text, from }));
        }
        if let Some(answer) = state.answer.as_ref().filter(|_| !self.answered) {
            self.answered = true;
            events.push_back(self.event("answered", answer));
        }
        if let Some(progress) = &state.progress
            && self.progress < progress.number
            && !state.phase.is_final()
        {
            self.progress = progress.number;
            events.push_back(self.event("progress", &progress.what));
        }
        let mut rows: Vec<_> = state.rows.values().filter(|row| self.row < row.number).collect();
        rows.sort_by_key(|row| row.number);
        for row in rows {
            self.row = row.number;
            events.push_back(self.event("row", &row.what));
        }
        match &state.phase {
            Phase::Queued { .. } | Phase::Running => {}
            Phase::Done => events.push_back(self.event("done", &Nothing {})),
            Phase::Failed(problem) => events.push_back(self.event("failed", problem)),
            Phase::Cancelled => events.push_back(self.event("cancelled", &Nothing {})),
        }
        state.phase.is_final()
    }

    fn event(&self, name: &str, data: &impl Serialize) -> Event {
        let event = Event::default().event(name).id(format!("{}.{}", self.text, self.row));
        // Structs of texts and numbers are always written.
        event.json_data(data).unwrap_or_default()
    }
}
