//! How long a server is waited for and how often it is asked, and that a caller who has had enough is heard meanwhile.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::HubOptions;
use crate::Error;

/// Between two looks at whether the caller has had enough.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// How long a server is waited for, and how often it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes.
    pub read: Duration,
    /// For an answer as a whole, all attempts together; a file gets in addition the time that it takes at the `slowest` rate.
    pub total: Duration,
    /// Bytes per second.
    pub slowest: u64,
    /// Attempts, where one may fail and the next succeed: no connection, one that broke off, status 408, 429 and 5xx. A download that
    /// got ahead by a megabyte counts anew.
    pub attempts: u32,
    /// Before the second attempt; doubled for each further one.
    pub first_pause: Duration,
    /// The longest pause, also where the server asks for one (`Retry-After`): for a longer one it is not waited at all.
    pub longest_pause: Duration,
    /// For another process that downloads the same file.
    pub lock: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            read: seconds(30),
            total: seconds(120),
            slowest: 32 << 10,
            attempts: 5,
            first_pause: Duration::from_millis(300),
            longest_pause: seconds(60),
            lock: seconds(10),
        }
    }
}

/// Why one attempt failed.
pub(super) enum Failure {
    /// Another attempt may succeed, after the pause that the server asks for.
    Passing(Error, Option<Duration>),
    /// Another attempt would fail, too.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// When an operation has to be over, and how often it was tried.
pub(super) struct Patience<'o> {
    id: &'o str,
    options: &'o HubOptions,
    deadline: Instant,
    failed: u32,
}

impl<'o> Patience<'o> {
    /// For an operation on the model `id` that brings so many bytes.
    pub(super) fn new(id: &'o str, options: &'o HubOptions, bytes: u64) -> Self {
        let timeouts = &options.timeouts;
        let slowest = Duration::from_secs(bytes / timeouts.slowest.max(1));
        let deadline = Instant::now().checked_add(timeouts.total.saturating_add(slowest));
        // Timeouts longer than a clock can hold end after a day.
        let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_hours(24));
        Self { id, options, deadline, failed: 0 }
    }

    /// The same for something on the side that must not take long.
    pub(super) fn at_most(&self, time: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + time), ..*self }
    }

    /// The time that is left.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Resets the count of attempts, because the last one made progress.
    pub(super) fn restart_count(&mut self) {
        self.failed = 0;
    }

    /// Repeats `attempt` with growing pauses while it fails in a way that may pass.
    pub(super) fn persist<T>(
        mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let timeouts = &self.options.timeouts;
        loop {
            self.check_cancelled()?;
            let (error, asked) = match attempt(&mut self) {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, asked)) => (error, asked),
            };
            self.failed += 1;
            let doubled = timeouts.first_pause.saturating_mul(1 << (self.failed - 1).min(16));
            let pause = asked.unwrap_or(doubled.min(timeouts.longest_pause));
            let is_too_long = pause > timeouts.longest_pause.min(self.left());
            if self.failed >= timeouts.attempts || is_too_long {
                return Err(error);
            }
            self.sleep(pause)?;
        }
    }

    /// Sleeps, and wakes when the caller has had enough.
    pub(super) fn sleep(&self, pause: Duration) -> Result<(), Error> {
        let end = Instant::now() + pause;
        loop {
            self.check_cancelled()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// An error where the caller has had enough.
    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        let cancel = self.options.cancel.as_ref();
        if cancel.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(Error::HubCancelled { id: self.id.to_owned() });
        }
        Ok(())
    }
}
