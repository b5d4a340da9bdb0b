//! Ctrl-C, and on Unix SIGTERM and SIGHUP too: the first ends the work between two tokens, two layers or two pictures, the second
//! ends the process. What is unfinished is removed either way.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::Context;

static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// The number of the first signal; 0 while there was none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// Whether something looks at the flag.
static IS_HEEDED: AtomicBool = AtomicBool::new(false);
/// Whether what looks at the flag is done soon and must not be disturbed.
static IS_SHORT: AtomicBool = AtomicBool::new(false);

/// Watches for signals from here on. Until [`flag`] is called, the first ends the process.
pub(crate) fn watch() -> anyhow::Result<()> {
    imp::watch().context("cannot watch for signals")
}

/// The flag that the first signal sets.
pub(crate) fn flag() -> Arc<AtomicBool> {
    IS_HEEDED.store(true, Ordering::SeqCst);
    Arc::clone(&FLAG)
}

/// The same for work that looks at the flag every few seconds: no further signal ends the process in the middle of a file.
pub(crate) fn flag_of_short_steps() -> Arc<AtomicBool> {
    IS_SHORT.store(true, Ordering::SeqCst);
    flag()
}

/// What a shell expects of a program that a signal ended, if one arrived.
pub(crate) fn exit_code() -> Option<u8> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        signal => u8::try_from(128 + signal).ok(),
    }
}

/// On a thread of its own, so that it may do everything.
fn received(signal: i32) {
    let is_first = SIGNAL.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    FLAG.store(true, Ordering::SeqCst);
    let is_heeded = IS_HEEDED.load(Ordering::SeqCst);
    if is_heeded && (is_first || IS_SHORT.load(Ordering::SeqCst)) {
        return;
    }
    medgemma_explainer::remove_unfinished();
    if is_first {
        crate::output::interrupted();
    }
    imp::exit(128 + signal);
}

#[cfg(unix)]
mod imp {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;

    pub(super) fn watch() -> std::io::Result<()> {
        // A file past the limit of `ulimit -f` is an error with a reason then, in place of a silent end.
        signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default())?;
        let ignored = ignored();
        let watched = [SIGINT, SIGTERM, SIGHUP].into_iter();
        let mut signals = Signals::new(watched.filter(|signal| ignored >> (signal - 1) & 1 == 0))?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(super::received))
            .map(drop)
    }

    /// At once: other threads are at work, and what the C library does at an orderly end would pull the ground from under them.
    pub(super) fn exit(code: i32) {
        signal_hook::low_level::exit(code)
    }

    /// Bit n − 1 for every signal n that the process was told to ignore, as `nohup` does, or a shell for what runs in the
    /// background. They stay ignored. Only Linux tells without unsafe code.
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }
}

#[cfg(not(unix))]
mod imp {
    pub(super) fn watch() -> Result<(), ctrlc::Error> {
        ctrlc::set_handler(|| super::received(2))
    }

    pub(super) fn exit(code: i32) {
        std::process::exit(code)
    }
}
