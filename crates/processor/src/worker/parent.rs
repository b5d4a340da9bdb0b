//! The side that asks: starts the process, gives it a job, waits with a clock, and says what became of it.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use super::{ARGUMENT, MEMORY, SECONDS};
use crate::quote::shown;
use crate::template::Job;

/// Longest wait for a job. Its processor time is bounded by the process itself; this ends one that does not compute.
const PATIENCE: Duration = Duration::from_secs(45);
/// Bytes of the process's error text that are looked at.
const ERROR_BYTES: u64 = 4096;

/// What came back from the process.
struct Heard {
    answer: Vec<u8>,
    error: String,
}

/// Does a job in a process of its own.
///
/// # Errors
/// What the template did wrong, or what ended the process.
pub(crate) fn run(job: &Job) -> Result<Vec<String>, String> {
    let failed =
        |error: std::io::Error| format!("the process that renders it cannot be used: {error}");
    let request = serde_json::to_vec(job).map_err(|error| failed(error.into()))?;
    // JSON takes up to six bytes for one.
    let limit =
        (job.limit.saturating_mul(6).saturating_add(1024)).saturating_mul(job.names.len() + 1);
    // The link works even when the program's file was replaced meanwhile.
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let heard = converse(&mut child, request, limit as u64);
    // A process that was heard to the end has ended, and the signal finds nobody.
    let _gone = child.kill();
    let status = child.wait().map_err(failed)?;
    let Some(heard) = heard else { return Err(too_long()) };
    if !status.success() {
        return Err(cause(status, &heard.error));
    }
    serde_json::from_slice(&heard.answer).unwrap_or_else(|_| Err("it writes without end".into()))
}

/// Writes the request and reads what comes back, on a thread, so that this one can watch the clock. `None`: too long.
fn converse(child: &mut Child, request: Vec<u8>, limit: u64) -> Option<Heard> {
    let (mut stdin, stdout, stderr) =
        (child.stdin.take()?, child.stdout.take()?, child.stderr.take()?);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Reading tells what became of a process that does not take its request.
        let _ended = stdin.write_all(&request);
        drop((stdin, request));
        let mut answer = Vec::new();
        let whole = stdout.take(limit).read_to_end(&mut answer);
        let mut error = Vec::new();
        if whole.is_ok_and(|length| (length as u64) < limit) {
            let _ended = stderr.take(ERROR_BYTES).read_to_end(&mut error);
        }
        let error = String::from_utf8_lossy(&error).into_owned();
        let _nobody_waits = sender.send(Heard { answer, error });
    });
    receiver.recv_timeout(PATIENCE).ok()
}

/// Why the process ended early, from its status and from what Rust's runtime writes before it aborts.
fn cause(status: ExitStatus, error: &str) -> String {
    let signal = status.signal();
    let is = |which: Signal| signal == Some(which.as_raw());
    if is(Signal::XCPU) || is(Signal::KILL) {
        return too_long();
    }
    if error.contains("has overflowed its stack") {
        return "expressions, blocks or values in it are nested too deeply".into();
    }
    if error.contains("memory allocation of") || error.contains("capacity overflow") {
        return format!("it needs more than {} MB of memory", MEMORY >> 20);
    }
    format!("the process that renders it ended with {status}: {}", shown(error.trim_end()))
}

fn too_long() -> String {
    format!("it takes more than {SECONDS} seconds of processor time")
}
