//! Pictures of the next jobs are read while the model works on the one before.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use explanation_jobs::{Job, Problem, ProblemKind};

use super::{Folders, Posing};
use crate::args::PictureArgs;
use crate::{crash, interrupt};

/// Jobs whose pictures are read before their turn comes. Each holds its pictures in memory.
const AHEAD: usize = 2;
/// How often a signal is looked for while nothing comes.
const PATIENCE: Duration = Duration::from_millis(100);

/// A job that is ready for the model, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) id: String,
    pub(crate) posing: Result<Posing, Problem>,
}

/// A job as it was read, with the id that its result will have.
pub(crate) type Read = (String, Result<Job, Problem>);

/// Jobs in order, each made ready before it is asked for.
#[derive(Debug)]
pub(crate) struct Ahead {
    ready: Receiver<Result<Ready>>,
}

impl Ahead {
    /// Reads `jobs` on a thread of its own. An error among them ends it.
    pub(crate) fn start(
        jobs: impl Iterator<Item = Result<Read>> + Send + 'static,
        defaults: PictureArgs,
        folders: Folders,
    ) -> Result<Self> {
        let (queue, ready) = sync_channel(AHEAD);
        let make_ready = move || {
            for read in jobs {
                let next = read.map(|(id, job)| {
                    // A decoder that panics takes its job with it and no other.
                    let pose = || job.and_then(|job| Posing::new(&job, &defaults, &folders));
                    let posing = crash::caught(pose).unwrap_or_else(|| Err(panicked()));
                    Ready { id, posing }
                });
                if queue.send(next).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("pictures".to_owned()).spawn(make_ready);
        thread.context("cannot start a thread for pictures")?;
        Ok(Self { ready })
    }

    /// The next job; `None` after the last one, and where a signal ends the work.
    pub(crate) fn next(&mut self) -> Result<Option<Ready>> {
        loop {
            match self.ready.recv_timeout(PATIENCE) {
                _ if interrupt::exit_code().is_some() => return Ok(None),
                Ok(ready) => return ready.map(Some),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

/// What became of a job whose work panicked.
pub(crate) fn panicked() -> Problem {
    Problem::new(ProblemKind::Internal, "a mistake of the program; stderr says which")
}
