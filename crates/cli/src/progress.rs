//! Progress on stderr when it is a terminal; silence otherwise.

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use medgemma_explainer::{FetchObserver, escape_controls};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::output;
use crate::task::{Follower, Step};

/// Shows `what` with a spinner while `work` runs.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let spinner = spin(what);
    let result = work();
    stop(&spinner);
    result
}

fn spin(what: &str) -> ProgressBar {
    let spinner =
        if output::shows_progress() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    spinner.set_message(what.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    *shown() = Some((what.to_owned(), spinner.clone()));
    spinner
}

fn stop(spinner: &ProgressBar) {
    *shown() = None;
    spinner.finish_and_clear();
}

/// Follows a task in the terminal: a spinner for each step, notes as lines.
#[derive(Default)]
pub(crate) struct InTerminal {
    spinner: RefCell<Option<ProgressBar>>,
}

impl Follower for InTerminal {
    fn begins(&self, step: Step) {
        let what = match step {
            Step::Explaining => "explaining",
            Step::Reliance => "scoring without the picture",
            Step::BlankControl => "explaining without the picture",
            Step::Certificate => "certifying",
            Step::Drawing => "drawing",
        };
        self.end();
        *self.spinner.borrow_mut() = Some(spin(what));
    }

    fn note(&self, text: &str) {
        output::note(text);
    }
}

impl InTerminal {
    fn end(&self) {
        if let Some(spinner) = self.spinner.borrow_mut().take() {
            stop(&spinner);
        }
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        self.end();
    }
}

/// The spinner that is shown, with what it stands for.
fn shown() -> MutexGuard<'static, Option<(String, ProgressBar)>> {
    static SHOWN: Mutex<Option<(String, ProgressBar)>> = Mutex::new(None);
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner) // a spinner cannot be half set
}

/// How much of the work that a spinner stands for is done, and about how long the rest takes.
pub(crate) fn advance(done: u64, total: u64) {
    let shown = shown();
    let Some((what, spinner)) = shown.as_ref().filter(|_| 0 < done && done <= total) else {
        return;
    };
    let left = spinner.elapsed().mul_f64((total - done) as f64 / done as f64);
    let percent = 100 * done / total;
    spinner.set_message(format!("{what}: {percent} %, about {} s left", left.as_secs() + 1));
}

/// A bar that counts to `count`.
pub(crate) fn counter(what: &'static str, count: u64) -> anyhow::Result<ProgressBar> {
    if !output::shows_progress() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")
        .context("progress bar")?;
    Ok(ProgressBar::new(count).with_style(style).with_message(what))
}

/// A bar for each file that is fetched from the hub.
pub(crate) fn fetch_bars() -> anyhow::Result<Option<FetchObserver>> {
    if !output::shows_progress() {
        return Ok(None);
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}")
        .context("progress bar")?;
    let bar = ProgressBar::new(0).with_style(style);
    Ok(Some(Arc::new(move |file: &str, done: u64, total: u64| {
        bar.set_length(total);
        bar.set_message(escape_controls(file, &[]).into_owned());
        bar.set_position(done);
    })))
}
