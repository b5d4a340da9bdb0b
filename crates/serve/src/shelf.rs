//! Items by id, within limits.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    id::Id,
    item::Item,
    view::{Kind, StateName},
};

/// All items in memory. What nobody has asked for longest goes first; what is being worked on or listened to never goes.
pub(crate) struct Shelf {
    inner: Mutex<Inner>,
    most_bytes: u64,
    most_idle: Duration,
}

#[derive(Default)]
struct Inner {
    items: HashMap<Id, Arc<Item>>,
    gone: Gone,
}

/// The last of those that have expired, so that they are told from those that never were.
#[derive(Default)]
struct Gone {
    order: VecDeque<Id>,
    all: HashSet<Id>,
}

/// How many that have expired are known.
const MOST_GONE: usize = 10_000;

/// What is at an id.
pub(crate) enum Found {
    Item(Arc<Item>),
    Expired,
    Nothing,
}

impl Shelf {
    pub(crate) fn new(most_bytes: u64, most_idle: Duration) -> Self {
        Self { inner: Mutex::default(), most_bytes, most_idle }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, item: Arc<Item>) {
        self.inner().items.insert(item.id, item);
    }

    /// Puts a stored one, unless another request was faster.
    pub(crate) fn put_stored(&self, item: Item) -> Arc<Item> {
        Arc::clone(self.inner().items.entry(item.id).or_insert_with(|| Arc::new(item)))
    }

    pub(crate) fn find(&self, id: Id, kind: Kind) -> Found {
        let inner = self.inner();
        match inner.items.get(&id) {
            Some(item) if item.kind == kind => {
                item.touch();
                Found::Item(Arc::clone(item))
            }
            None if inner.gone.all.contains(&id) => Found::Expired,
            _ => Found::Nothing,
        }
    }

    /// Whether it was there.
    pub(crate) fn remove(&self, id: Id) -> bool {
        self.inner().items.remove(&id).is_some()
    }

    /// Lets go what has expired, then what is beyond the limit of bytes. The newest stays even where it is larger.
    pub(crate) fn sweep(&self) {
        let mut dropped = Vec::new();
        let mut inner = self.inner();
        let mut idle = Vec::new();
        let mut bytes = 0;
        for item in inner.items.values() {
            let own = item.bytes();
            bytes += own;
            if let Some(since) = item.idle_since() {
                idle.push((since, item.id, own));
            }
        }
        idle.sort_unstable();
        let newest = idle.last().map(|(_, id, _)| *id);
        let now = Instant::now();
        for (since, id, own) in idle {
            let expired = self.most_idle <= now.saturating_duration_since(since);
            if expired || (self.most_bytes < bytes && Some(id) != newest) {
                bytes -= own;
                if let Some(item) = inner.items.remove(&id) {
                    if !item.is_stored() {
                        inner.gone.push(id);
                    }
                    dropped.push(item);
                }
            }
        }
        // What is large is freed after the lock.
        drop(inner);
        drop(dropped);
    }

    /// Bytes, and how many items there are of each kind and state.
    pub(crate) fn census(&self) -> (u64, BTreeMap<(Kind, StateName), u64>) {
        let inner = self.inner();
        let mut counts = BTreeMap::new();
        let mut bytes = 0;
        for item in inner.items.values() {
            bytes += item.bytes();
            let state = item.state().phase.name();
            *counts.entry((item.kind, state)).or_default() += 1;
        }
        (bytes, counts)
    }
}

impl Gone {
    fn push(&mut self, id: Id) {
        if self.all.insert(id) {
            self.order.push_back(id);
        }
        if MOST_GONE < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}
