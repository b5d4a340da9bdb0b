//! Ctrl-C: the first ends the work between two tokens or two layers, and nothing is written; the second ends the process.

use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What a shell expects of a program that a SIGINT ended.
pub(crate) const EXIT_CODE: u8 = 130;

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The flag that Ctrl-C sets; the handler is installed with the first call.
pub(crate) fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    if let Some(flag) = FLAG.get() {
        return Ok(Arc::clone(flag));
    }
    let flag = Arc::clone(FLAG.get_or_init(Arc::default));
    ctrlc::set_handler(|| {
        if FLAG.get().is_some_and(|flag| flag.swap(true, Ordering::Relaxed)) {
            std::process::exit(i32::from(EXIT_CODE));
        }
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(flag)
}

/// Whether Ctrl-C was pressed.
pub(crate) fn happened() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}
