//! Progress on stderr when it is a terminal; silence otherwise.

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use medgemma_explainer::{FetchObserver, escape_controls};
use std::sync::Arc;
use std::time::Duration;

use crate::output;

/// Shows `what` with a spinner while `work` runs.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let spinner =
        if output::shows_progress() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    spinner.set_message(what.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let result = work();
    spinner.finish_and_clear();
    result
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
