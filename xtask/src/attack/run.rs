//! One run of the command with limits that are set from outside.

use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::case::{Call, Interruption, Signal};
use super::sandbox::Sandbox;

/// What a run may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Address space, in MiB.
    pub(crate) address_mib: u64,
    /// Memory in use at once, in MiB.
    pub(crate) resident_mib: u64,
    /// Time of all processors together, in seconds.
    pub(crate) processor_s: u64,
    /// Time on the clock.
    pub(crate) wall: Duration,
}

impl Limits {
    /// libtorch alone maps about half a GiB. A hub that says nothing is waited for two minutes, without a processor.
    pub(crate) const USUAL: Self = Self {
        address_mib: 4096,
        resident_mib: 1536,
        processor_s: 20,
        wall: Duration::from_secs(150),
    };
    /// For an unoptimised program on a machine that has other work: no test fails because it is slow.
    pub(crate) const PATIENT: Self =
        Self { processor_s: 60, wall: Duration::from_mins(10), ..Self::USUAL };
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// The time on the clock ran out, and it was ended.
    pub(crate) timed_out: bool,
    pub(crate) stdout: Said,
    pub(crate) stderr: Said,
    /// The most memory that was seen in use.
    pub(crate) peak_mib: u64,
    pub(crate) took: Duration,
}

/// What was printed, cut at [`LONGEST`].
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) bytes: Vec<u8>,
    pub(crate) total: u64,
}

/// Nobody reads more than this.
pub(crate) const LONGEST: usize = 1 << 20;

/// Runs one call in its sandbox; `endpoint` is the hub that it gets.
pub(crate) fn run(
    binary: &std::path::Path,
    call: &Call,
    sandbox: &Sandbox,
    limits: Limits,
    endpoint: &str,
) -> Result<Ended> {
    let mut command = command(binary, call, sandbox, limits);
    command.env("HF_ENDPOINT", endpoint);
    let begun = Instant::now();
    let mut child = command.spawn().context("could not start sh")?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let mut watch = Watch { begun, wall: limits.wall, peak_mib: 0, timed_out: false };
    let status = watch.wait(&mut child, call.interruption)?;
    signal_group(&child, Signal::Kill); // whatever it started and left behind
    Ok(Ended {
        code: status.code(),
        signal: status.signal(),
        timed_out: watch.timed_out,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
        peak_mib: watch.peak_mib,
        took: begun.elapsed(),
    })
}

fn command(binary: &std::path::Path, call: &Call, sandbox: &Sandbox, limits: Limits) -> Command {
    let (kib, cpu, blocks) = (limits.address_mib * 1024, limits.processor_s, call.file_blocks);
    let redirect = call.redirect;
    // Soft limits of time send SIGXCPU, which tells them from other ends.
    let script = format!(
        "ulimit -c 0; ulimit -v {kib}; ulimit -f {blocks}; ulimit -S -t {cpu}; ulimit -H -t {}; exec \"$@\" {redirect}",
        cpu + 10
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(binary);
    let root = sandbox.root().to_string_lossy().into_owned();
    for arg in &call.args {
        // Only what is text can hold the mark.
        match arg.to_str() {
            Some(text) => command.arg(text.replace("{root}", &root)),
            None => command.arg(arg),
        };
    }
    command.current_dir(sandbox.place()).env_clear();
    for kept in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
        .env("HOME", sandbox.home())
        .env("HF_HOME", sandbox.home())
        .env("TMPDIR", sandbox.temporary());
    command
        .env("HF_TOKEN", super::hub::TOKEN)
        .env("OMP_NUM_THREADS", "1")
        .env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command
}

struct Watch {
    begun: Instant,
    wall: Duration,
    peak_mib: u64,
    timed_out: bool,
}

impl Watch {
    /// Waits for the end, sends the signals that are asked for, and ends what takes too long.
    fn wait(
        &mut self,
        child: &mut Child,
        interruption: Option<Interruption>,
    ) -> Result<std::process::ExitStatus> {
        let mut signals = interruption.map(|it| {
            let first = (it.after, it.signal);
            if it.twice { vec![first, (it.after * 2, it.signal)] } else { vec![first] }
        });
        loop {
            if let Some(status) = child.try_wait().context("could not wait")? {
                return Ok(status);
            }
            self.peak_mib = self.peak_mib.max(peak_mib(child.id()).unwrap_or(0));
            if let Some(signals) = &mut signals
                && let Some(&(after, signal)) = signals.first()
                && after <= self.begun.elapsed()
            {
                signals.remove(0);
                signal_process(child, signal);
            }
            if self.wall <= self.begun.elapsed() {
                self.timed_out = true;
                signal_group(child, Signal::Kill);
                return child.wait().context("could not wait");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn signal_process(child: &Child, signal: Signal) {
    kill(signal, &child.id().to_string());
}

/// The child and all that it started.
fn signal_group(child: &Child, signal: Signal) {
    kill(signal, &format!("-{}", child.id()));
}

fn kill(signal: Signal, whom: &str) {
    let mut kill = Command::new("kill");
    kill.args(["-s", signal.name(), "--", whom]).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = kill.status(); // it may have ended by itself
}

/// The most memory that a process had in use so far; Linux only.
fn peak_mib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

/// Reads all of a pipe and keeps its beginning.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Said> {
    std::thread::spawn(move || {
        let mut said = Said::default();
        let Some(mut pipe) = pipe else { return said };
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            said.total += n as u64;
            let room = LONGEST.saturating_sub(said.bytes.len()).min(n);
            said.bytes.extend_from_slice(&buffer[..room]);
        }
        said
    })
}
