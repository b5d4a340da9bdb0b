//! The thread that asks the model, one piece of work after the other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use explanation_jobs::{Problem, ProblemKind, Row};

use crate::{
    Explained, Progress, Watch,
    engine::Failed,
    estimates::Effort,
    item::{Ended, Item, Phase, Result as Page},
    queue::{Hub, ToAnswer, ToExplain, Work},
    view::{AnswerView, Json},
    watch::Listener,
};

/// Works until the queue is closed.
pub(crate) fn work(hub: &Hub) {
    while let Some(work) = hub.next_work() {
        let items = work.items();
        // The model's panics are problems already; this is for our own, and for those of what is dropped.
        if catch_unwind(AssertUnwindSafe(|| do_one(hub, work))).is_err() {
            let problem = Problem::new(ProblemKind::Internal, "the program made a mistake");
            for item in items {
                fail(&item, problem.clone());
            }
        }
        hub.shelf.sweep();
    }
}

/// Hears what the model tells, for the items it works on.
struct Ear {
    items: Vec<Arc<Item>>,
    tokens: AtomicU64,
}

impl Listener for Ear {
    fn token(&self, text: &str) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
        if !text.is_empty() {
            self.items.iter().for_each(|item| item.token(text));
        }
    }

    fn progress(&self, progress: Progress) {
        self.items.iter().for_each(|item| item.progress(progress));
    }

    fn row(&self, row: Row) {
        self.items.iter().for_each(|item| item.row(&row));
    }
}

fn do_one(hub: &Hub, work: Work) {
    let items = work.items();
    for item in &items {
        item.started();
    }
    let ear = Arc::new(Ear { items: items.clone(), tokens: AtomicU64::new(0) });
    let watch = Watch::new(Arc::clone(&work.cancel), ear.clone());
    let Work { options, answer, explanation, .. } = work;
    if let Some(ToAnswer { item, question }) = answer {
        let start = Instant::now();
        let answered = question.answer(&options, &watch);
        let tokens = ear.tokens.load(Ordering::Relaxed);
        hub.metrics.tokens(tokens);
        let told = answered.and_then(|(text, kept)| {
            let view = Json::of(&AnswerView::new(item.id.to_string(), text));
            Ok((view.map_err(unwritable)?, kept))
        });
        let (view, kept) = match told {
            Ok(told) => told,
            Err(problem) => return items.iter().for_each(|item| fail(item, problem.clone())),
        };
        hub.took(Effort::of_answer(&options), start.elapsed(), tokens);
        hub.metrics.answered(start.elapsed());
        item.keep(kept);
        for item in &items {
            item.answered(view.clone());
        }
    }
    let Some(ToExplain { item, answer, targets }) = explanation else { return };
    let Some(mut kept) = answer.0.take_kept() else {
        let message = "the answer is not kept any more: ask again";
        return fail(&item, Problem::new(ProblemKind::NotInAnswer, message));
    };
    let watch = Watch::new(
        watch.flag(),
        Arc::new(Ear { items: vec![Arc::clone(&item)], tokens: AtomicU64::new(0) }),
    );
    let start = Instant::now();
    let explained = kept.explain(&targets, &options, &watch);
    match &explained {
        // What a panic left cannot be trusted.
        Err(Failed { panicked: true, .. }) => answer.0.lost(),
        _ => answer.0.keep(kept),
    }
    drop(answer);
    match explained.map_err(|failed| failed.problem).and_then(ended) {
        Err(problem) => fail(&item, problem),
        Ok(ended) => {
            hub.took(Effort::of_explanation(&options), start.elapsed(), 0);
            hub.metrics.explained(start.elapsed());
            item.explained(ended);
            if let Some(store) = &hub.store
                && !item.state().phase.is_final()
            {
                let stored = store.write(&item);
                if stored.is_err() {
                    hub.metrics.not_stored();
                    hub.log.line("a finished explanation could not be stored");
                }
                item.kept_in_store(stored);
            }
            let in_time = item.end(Phase::Done);
            // It was cancelled, and perhaps forgotten, while it was written.
            if !in_time && let Some(store) = &hub.store {
                store.remove(item.id);
            }
        }
    }
}

fn ended(explained: Explained) -> Result<Ended, Problem> {
    let Explained { rows, run, report, files } = explained;
    if let Some(name) = files.keys().find(|name| !is_plain(name)) {
        let message = format!("a file of the result has no plain name ({} bytes)", name.len());
        return Err(Problem::new(ProblemKind::Internal, message));
    }
    let rows = rows.iter().map(|row| Ok((row.index, Json::of(row)?)));
    Ok(Ended {
        rows: rows.collect::<Result<_, _>>().map_err(unwritable)?,
        run: Json::of(&run).map_err(unwritable)?,
        result: Page {
            report: report.into(),
            files: files.into_iter().map(|(name, data)| (name, Bytes::from(data))).collect(),
        },
    })
}

fn unwritable(_: serde_json::Error) -> Problem {
    Problem::new(ProblemKind::Internal, "the result cannot be written as JSON")
}

fn fail(item: &Item, problem: Problem) {
    let phase = match problem.kind {
        ProblemKind::Cancelled => Phase::Cancelled,
        _ => Phase::Failed(problem),
    };
    item.end(phase);
}

/// A name that is no path anywhere.
pub(crate) fn is_plain(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn names_are_no_paths() {
        assert!(is_plain("explanation.json") && is_plain("picture-1.png"));
        for name in ["", ".", "..", ".x", "a/b", "a\\b", "a\0", "ä", "a b", &"a".repeat(101)] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
