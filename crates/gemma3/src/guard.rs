//! Turns a failure inside libtorch (a C++ exception, which tch's operators make a panic) into an error.

use crate::Error;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use tch::TchError;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic inside becomes [`Error::Torch`] with `context`, without the usual message on stderr.
///
/// The shapes of a model are proven when it is loaded, so what can fail later is exhaustion of memory. Weights are read only and
/// results are dropped with the unwinding stack: what `work` borrows stays usable.
pub fn guard<T>(context: &str, work: impl FnOnce() -> T) -> Result<T, Error> {
    quiet_hook();
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.map_err(|payload| Error::torch(context)(TchError::Torch(message(payload.as_ref()))))
}

/// Installs, once, a panic hook that keeps silent inside [`guard`] and is the former hook elsewhere.
fn quiet_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                former(info);
            }
        }));
    });
}

/// What a panic says, without the wrapping of `unwrap` and without the C++ stack trace.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("unknown failure");
    let text = text.split_once("Torch(\"").map_or(text, |(_, inner)| inner);
    text.split("\\n").next().unwrap_or(text).to_owned() // the payload is a Debug form: its line ends are escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn a_torch_failure_becomes_an_error_that_says_what_happened() {
        let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let error = guard("multiplying", || a.matmul(&a)).unwrap_err();
        assert!(
            error.to_string().ends_with("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
            "{error}"
        );
        assert!(error.to_string().starts_with("multiplying: "), "{error}");
        assert!(guard("looking", || a.size()).is_ok());
    }
}
