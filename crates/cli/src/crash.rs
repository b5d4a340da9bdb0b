//! A mistake of the program itself, a panic, ends it with one line and an exit code of its own.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::{Mutex, PoisonError};

use crate::output;

/// `EX_SOFTWARE` of sysexits.h: an internal error was detected.
pub(crate) const EXIT_CODE: u8 = 70;

/// The newest panic of any thread. Whether it is a mistake is not known before somebody catches it: failures of libtorch are
/// panics that the model's guard turns into errors.
static NEWEST: Mutex<Option<Panic>> = Mutex::new(None);

struct Panic {
    message: String,
    place: String,
    backtrace: Option<String>,
}

/// From here on a panic writes nothing by itself: [`caught`] does where it arrives.
pub(crate) fn watch() {
    set_hook(Box::new(|info| {
        let panic = Panic::of(info);
        let mut newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
        // These abort the process after the hook; the panic before them says more.
        if ABORTING.iter().any(|beginning| panic.message.starts_with(beginning)) {
            newest.as_ref().unwrap_or(&panic).report();
            std::process::exit(EXIT_CODE.into());
        }
        // A thread that was waited for panicked itself.
        if newest.is_none() || panic.message != "a scoped thread panicked" {
            *newest = Some(panic);
        }
    }));
}

/// How the standard library's messages begin where nothing can be unwound.
const ABORTING: [&str; 3] =
    ["panic in a function that cannot unwind", "panic in a destructor", "unsafe precondition"];

/// The value of `work`; nothing, and a line on stderr, where it panics. Threads of rayon and scoped threads hand theirs on to it.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let payload = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => return Some(value),
        Err(payload) => payload,
    };
    let newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner).take();
    newest.unwrap_or_else(|| Panic::without_place(payload.as_ref())).report();
    None
}

impl Panic {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let backtrace = Backtrace::capture();
        let is_wanted = backtrace.status() == BacktraceStatus::Captured;
        let place = info.location().map_or_else(String::new, |place| {
            format!("{}:{}:{}", source(place.file()), place.line(), place.column())
        });
        let backtrace = is_wanted.then(|| backtrace.to_string());
        Self { place, backtrace, ..Self::without_place(info.payload()) }
    }

    fn without_place(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let message = text.unwrap_or("a panic without a message").chars().take(400).collect();
        Self { message, place: String::new(), backtrace: None }
    }

    fn report(&self) {
        let (version, address) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_REPOSITORY"));
        let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
        let Self { message, place, backtrace } = self;
        let place = if place.is_empty() { String::new() } else { format!(" [{place}]") };
        let whom = if address.is_empty() { "to its makers" } else { address };
        output::error(format_args!(
            "medgemma-explainer {version} ({system}, {machine}) hit an internal error: {message}{place}; please report this line {whom}, with the command you ran"
        ));
        if let Some(backtrace) = backtrace {
            output::trace(backtrace);
        }
    }
}

/// The file of a dependency without the folder of the machine that built the program.
fn source(file: &str) -> &str {
    let registry = file.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    let std = file.split_once("/library/").filter(|_| file.starts_with("/rustc/"));
    registry.or(std).map_or(file, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output, exit};

    use super::*;

    /// Set in the process that is to panic.
    const CHILD: &str = "CRASH_TEST_KIND";

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("while dropping");
        }
    }

    /// Does nothing but in the process that `child` starts.
    #[test]
    fn panics_where_asked() {
        let Ok(kind) = std::env::var(CHILD) else { return };
        watch();
        let work = || match kind.as_str() {
            "main" => panic!("too {}\n\u{1b}[31m", "red"),
            "thread" => std::thread::scope(|scope| {
                scope.spawn(|| panic!("in a thread"));
            }),
            "twice" => {
                let _dropped = PanicsWhenDropped;
                panic!("first");
            }
            "guarded" => {
                let caught = catch_unwind(|| panic!("of no interest"));
                assert!(caught.is_err());
            }
            _ => exit(99),
        };
        exit(caught(work).map_or(EXIT_CODE.into(), |()| 0));
    }

    fn child(kind: &str, backtrace: &str) -> (Option<i32>, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["crash::tests::panics_where_asked", "--exact", "--nocapture"]);
        command.env(CHILD, kind).env("RUST_BACKTRACE", backtrace);
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }

    #[test]
    fn a_panic_is_one_line_and_exit_code_70() {
        for (kind, message) in [
            ("main", "hit an internal error: too red\\n\\u{1b}[31m [crates/cli/src/crash.rs:"),
            ("thread", "hit an internal error: in a thread [crates/cli/src/crash.rs:"),
            ("twice", "hit an internal error: while dropping [crates/cli/src/crash.rs:"),
        ] {
            let (code, stderr) = child(kind, "0");
            assert_eq!(code, Some(70), "{kind}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{kind}: {stderr}");
            assert!(stderr.starts_with("error: medgemma-explainer "), "{kind}: {stderr}");
            assert!(stderr.contains(message), "{kind}: {stderr}");
            assert!(stderr.contains("please report this line"), "{kind}: {stderr}");
        }
        let (code, stderr) = child("main", "1");
        assert!(code == Some(70) && 2 < stderr.lines().count(), "{stderr}");
        assert_eq!(child("guarded", "0"), (Some(0), String::new()));
    }

    #[test]
    fn a_place_in_a_dependency_says_nothing_of_the_builder() {
        let file = "/builder/.cargo/registry/src/index-1/tokenizers-0.23.2/src/lib.rs";
        assert_eq!(source(file), "tokenizers-0.23.2/src/lib.rs");
        assert_eq!(source("/rustc/0123/library/core/src/option.rs"), "core/src/option.rs");
        assert_eq!(source("crates/cli/src/main.rs"), "crates/cli/src/main.rs");
    }
}
