//! A process of its own for chat templates that nobody has read.
//!
//! A template is a program, and a checkpoint may be anybody's. The engine bounds the steps of a template and what it
//! writes, but not what a step does: one multiplication of a string takes gigabytes, one `in` of long lists takes hours,
//! and expressions or values nested deeply enough end the process. So a template that is not one of the known ones is
//! compiled and rendered by a second process of the same program, which gives up memory, processor time and stack before
//! it reads anything. Whatever happens there is an error here.
//!
//! An application takes part by calling `serve_if_asked` before all else:
//!
//! ```
//! fn main() {
//!     gemma3_processor::worker::serve_if_asked();
//!     // ...
//! }
//! ```

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the second process would find its way to [`serve_if_asked`].
static READY: AtomicBool = AtomicBool::new(false);

/// Makes this program its own worker; to be called first in `main`, before threads, arguments and other libraries.
///
/// Where this process was started to render a template, that is done and the process ends. Otherwise the call returns at
/// once, and from then on templates that are not known are rendered apart. Linux only: elsewhere the limits cannot be
/// set, the call does nothing, and such templates are refused unless they are trusted
/// ([`crate::ProcessorOptions::trust_template`]).
pub fn serve_if_asked() {
    #[cfg(target_os = "linux")]
    child::serve_if_asked();
    READY.store(cfg!(target_os = "linux"), Ordering::Relaxed);
}

/// Whether templates can be rendered apart.
pub(crate) fn is_ready() -> bool {
    READY.load(Ordering::Relaxed)
}

#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod parent;

#[cfg(target_os = "linux")]
pub(crate) use parent::run;

/// Does a job in a process of its own.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &crate::template::Job) -> Result<Vec<String>, String> {
    Err("templates can be rendered apart on Linux only".into())
}

/// The only argument of a process that is to serve.
#[cfg(target_os = "linux")]
const ARGUMENT: &str = "--gemma3-processor-template-worker";
/// Seconds of processor time for a job, the start of the program included.
#[cfg(target_os = "linux")]
const SECONDS: u64 = 5;
/// Bytes of memory beyond what the program has when it starts.
#[cfg(target_os = "linux")]
const MEMORY: u64 = 512 << 20;
/// Bytes of stack.
#[cfg(target_os = "linux")]
const STACK: usize = 8 << 20;
