//! Turns a failure inside libtorch (a C++ exception, which tch's operators make a panic) into an error.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tch::TchError;

use crate::Error;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a failure of libtorch inside becomes [`Error::Torch`] with `context`, without the usual message on stderr.
///
/// The shapes of a model are proven when it is loaded, so what can fail later is exhaustion of memory. Weights are read only and
/// results are dropped with the unwinding stack: what `work` borrows stays usable.
///
/// The application's panic hook is in its place again when no thread is inside this function any more; meanwhile it is called for
/// every panic but those of libtorch in guarded work. A hook that the application sets meanwhile stays.
///
/// # Panics
/// Where `work` panics for another reason than a failure of libtorch: that is a mistake in the program, and is passed on.
pub fn guard<T>(context: &str, work: impl FnOnce() -> T) -> Result<T, Error> {
    let quiet = Quiet::enter();
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    drop(quiet);
    outcome.map_err(|payload| match torch_message(payload.as_ref()) {
        Some(message) => Error::torch(context)(TchError::Torch(message)),
        None => resume_unwind(payload),
    })
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

/// While one of these lives, the process has a panic hook that says nothing about failures of libtorch in guarded work.
struct Quiet;

/// The hooks of the process while work is guarded.
struct Hooks {
    /// Guarded pieces of work, on all threads.
    running: usize,
    /// The application's hook, which ours passes on to.
    former: Option<Arc<Hook>>,
    /// Where our hook is in memory: how it is known again.
    ours: usize,
}

static HOOKS: Mutex<Hooks> = Mutex::new(Hooks { running: 0, former: None, ours: 0 });

impl Quiet {
    /// `None` on a thread that is unwinding: hooks cannot be changed there.
    fn enter() -> Option<Self> {
        if std::thread::panicking() {
            return None;
        }
        let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.running += 1;
        if hooks.running == 1 {
            let former = Arc::new(std::panic::take_hook());
            let passed_on = Arc::clone(&former);
            let ours: Hook = Box::new(move |info| {
                if !(GUARDED.get() && torch_message(info.payload()).is_some()) {
                    passed_on(info);
                }
            });
            (hooks.former, hooks.ours) = (Some(former), address(&ours));
            std::panic::set_hook(ours);
        }
        Some(Self)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.running -= 1;
        if hooks.running > 0 {
            return;
        }
        let Some(former) = hooks.former.take() else { return };
        // Our hook holds the other reference: without it, the application has set a hook of its own meanwhile.
        if Arc::strong_count(&former) == 1 {
            return;
        }
        let current = std::panic::take_hook();
        if address(&current) != hooks.ours {
            return std::panic::set_hook(current); // the application's own, which passes on to ours
        }
        drop(current);
        std::panic::set_hook(match Arc::try_unwrap(former) {
            Ok(former) => former,
            Err(shared) => Box::new(move |info| shared(info)),
        });
    }
}

fn address(hook: &Hook) -> usize {
    std::ptr::from_ref(&**hook).cast::<()>().addr()
}

/// What a panic says if it is a failure of libtorch: the error that tch's operators unwrap, without the words of `unwrap` and without
/// the C++ stack trace.
fn torch_message(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())?;
    let (_, message) = text.split_once("Torch(\"")?;
    // The payload is a Debug form: its line ends are escaped.
    Some(message.split("\\n").next().unwrap_or(message).to_owned())
}
