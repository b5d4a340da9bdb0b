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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use tch::{Device, Kind, Tensor};

    use super::*;

    /// Tests here set the hook of the process: one at a time.
    static ONE: Mutex<()> = Mutex::new(());

    /// A hook that counts panics whose text has `word`, in place of the former one until it is dropped.
    struct Counting {
        seen: Arc<AtomicUsize>,
        former: Option<Arc<Hook>>,
    }

    impl Counting {
        fn set(word: &'static str) -> Self {
            let seen = Arc::new(AtomicUsize::new(0));
            let (counter, former) = (Arc::clone(&seen), Arc::new(std::panic::take_hook()));
            let others = Arc::clone(&former);
            std::panic::set_hook(Box::new(move |info| {
                if info.payload_as_str().is_some_and(|text| text.contains(word)) {
                    counter.fetch_add(1, Ordering::SeqCst);
                } else {
                    others(info);
                }
            }));
            Self { seen, former: Some(former) }
        }

        fn seen(&self) -> usize {
            self.seen.load(Ordering::SeqCst)
        }
    }

    impl Drop for Counting {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                let former = self.former.take().expect("it is taken here alone");
                std::panic::set_hook(Box::new(move |info| former(info)));
            }
        }
    }

    fn fail() -> Tensor {
        let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        a.matmul(&a)
    }

    fn panic_with(word: &'static str) {
        let outcome = std::thread::spawn(move || panic!("{word}")).join();
        assert!(outcome.is_err());
    }

    #[test]
    fn a_torch_failure_becomes_an_error_that_says_what_happened() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let error = guard("multiplying", fail).unwrap_err();
        assert!(
            error.to_string().ends_with("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
            "{error}"
        );
        assert!(error.to_string().starts_with("multiplying: "), "{error}");
        let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        assert!(guard("looking", || a.size()).is_ok());
    }

    #[test]
    fn the_applications_hook_is_back_after_a_call_and_sees_no_failure_of_torch() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let torch = Counting::set("Torch(\"");
        let own = Counting::set("of the application");
        let nested = guard("outside", || guard("inside", fail).map(drop)).unwrap();
        assert!(nested.is_err() && guard("again", fail).is_err());
        panic_with("of the application, after the call");
        assert_eq!((torch.seen(), own.seen()), (0, 1));
    }

    #[test]
    fn panics_of_other_threads_reach_the_hook_during_a_call() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let own = Counting::set("of another thread");
        let (entered, inside) = channel();
        let (leave, left) = channel::<()>();
        let guarded = std::thread::spawn(move || {
            guard("waiting", || {
                entered.send(()).unwrap();
                left.recv().unwrap();
            })
        });
        inside.recv().unwrap();
        panic_with("of another thread");
        assert_eq!(own.seen(), 1);
        // A call that ends while another goes on takes nothing away.
        assert!(guard("beside", fail).is_err());
        panic_with("of another thread");
        assert_eq!(own.seen(), 2);
        leave.send(()).unwrap();
        guarded.join().unwrap().unwrap();
        panic_with("of another thread");
        assert_eq!(own.seen(), 3);
    }

    #[test]
    fn a_hook_that_is_set_during_a_call_stays() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Counting::set("before");
        let own = guard("setting a hook", || Counting::set("set meanwhile")).unwrap();
        panic_with("set meanwhile");
        panic_with("before"); // the hook that was set passes on what is not its own
        assert_eq!((own.seen(), before.seen()), (1, 1));
    }

    #[test]
    fn a_mistake_of_the_program_is_passed_on_with_its_message() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let own = Counting::set("index out of bounds");
        let numbers = [1, 2, 3];
        let index = std::hint::black_box(7);
        let outcome = catch_unwind(|| guard("counting", || numbers[index]));
        let payload = outcome.expect_err("a panic, not an Error::Torch");
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(text.contains("the len is 3 but the index is 7"), "{text}");
        assert_eq!(own.seen(), 1, "the hook tells it with its place");
    }
}
