//! The side that renders: limits first, then one job from stdin, its outcome to stdout.

use std::io::{self, Read as _, Write as _};
use std::process::exit;

use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};

use super::{ARGUMENT, MEMORY, SECONDS, STACK};
use crate::template::Job;

/// Serves and ends the process if it was started for that.
pub(super) fn serve_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == ARGUMENT) && args.next().is_none() {
        exit(match limit().and_then(|()| serve()) {
            Ok(()) => 0,
            Err(error) => {
                let _closed = writeln!(io::stderr(), "{error}");
                1
            }
        });
    }
}

/// Gives up what a job does not need; there is no way back.
fn limit() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    lower(Resource::Core, 0)?; // a template that overflows the stack must not leave a core file
    lower(Resource::Cpu, SECONDS)?;
    lower(Resource::As, address_space()? + MEMORY)
}

fn lower(resource: Resource, limit: u64) -> io::Result<()> {
    let limit = getrlimit(resource).maximum.map_or(limit, |maximum| maximum.min(limit));
    let both = Rlimit { current: Some(limit), maximum: Some(limit) };
    Ok(setrlimit(resource, both)?)
}

/// Bytes of address space that the program and its libraries take by themselves.
fn address_space() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes
        .map(|kilobytes| kilobytes << 10)
        .ok_or_else(|| io::Error::other("no VmSize in /proc/self/status"))
}

fn serve() -> io::Result<()> {
    let mut request = Vec::new();
    io::stdin().lock().read_to_end(&mut request)?;
    let job: Job = serde_json::from_slice(&request)?;
    drop(request);
    // A thread for its stack: that of the first thread has whatever size the user's limits give it.
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || job.run())?;
    let outcome = thread.join().map_err(|_| io::Error::other("the template engine panicked"))?;
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &outcome)?;
    stdout.flush()
}
