//! On what was measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::setup;
use crate::workspace::Workspace;

/// A Python that has what the comparison needs.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    python: String,
    torch: String,
    transformers: String,
}

impl Peer {
    /// Asks the interpreter; an error says what is missing.
    pub(crate) fn probe(python: &Path) -> Result<Self, String> {
        const SCRIPT: &str = "import platform, torch, transformers; \
            print(platform.python_version(), torch.__version__, transformers.__version__)";
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).stdin(Stdio::null());
        let output = command
            .output()
            .map_err(|error| format!("{} cannot be started: {error}", python.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self::parse(&text).ok_or_else(|| {
            let why = stderr.lines().rfind(|line| !line.trim().is_empty());
            format!("Python with torch and transformers is needed: {}", why.unwrap_or("no answer"))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [python, torch, transformers] = words.as_slice() else { return None };
        let owned = |word: &&str| (*word).to_owned();
        Some(Self { python: owned(python), torch: owned(torch), transformers: owned(transformers) })
    }
}

/// Machine and versions, the head of the report.
pub(crate) fn head(workspace: &Workspace, device: &str, peer: Option<&Peer>) -> Map<String, Value> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let gpu = if device == "cpu" { None } else { gpu() };
    let mut head = Map::new();
    let machine = json!({
        "processor": processor(&read("/proc/cpuinfo")).or_else(apple_processor),
        "threads": threads,
        "memory_bytes": memory(&read("/proc/meminfo")),
        "system": system(&read("/etc/os-release"), first_line("uname", &["-sr"]).as_deref()),
        "gpu": gpu,
    });
    head.insert("machine".to_owned(), machine);
    let git = |args: &[&str]| first_line_in("git", args, workspace.root());
    let versions = json!({
        "medgemma-explainer": env!("CARGO_PKG_VERSION"),
        "commit": git(&["describe", "--always", "--dirty"]),
        "rustc": first_line("rustc", &["--version"]),
        // Where there is no Rust the program that measures was built elsewhere, and says nothing of it.
        "libtorch": setup::wanted_version(workspace).ok(),
        "python": peer.map(|peer| &peer.python),
        "torch": peer.map(|peer| &peer.torch),
        "transformers": peer.map(|peer| &peer.transformers),
    });
    head.insert("versions".to_owned(), versions);
    head
}

/// Programs that were running or waiting on average in the last minute; Linux only.
pub(crate) fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The first processor that Linux lists.
fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn apple_processor() -> Option<String> {
    first_line("sysctl", &["-n", "machdep.cpu.brand_string"])
}

fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The distribution, where it names itself, and the kernel.
fn system(os_release: &str, kernel: Option<&str>) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map(|name| name.trim_matches('"').to_owned());
    let parts: Vec<String> = [name, kernel.map(str::to_owned)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn gpu() -> Option<String> {
    first_line("nvidia-smi", &["--query-gpu=name,driver_version", "--format=csv,noheader"])
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    first_line_in(program, args, &PathBuf::from("."))
}

fn first_line_in(program: &str, args: &[&str], folder: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let cpu = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nprocessor\t: 1\n";
        assert_eq!(processor(cpu).unwrap(), "A CPU @ 2 GHz");
        assert_eq!(processor(""), None);
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:       24 kB\n"), Some(24 * 1024));
        let release = "NAME=x\nPRETTY_NAME=\"An OS 1\"\n";
        assert_eq!(system(release, Some("Linux 6")).unwrap(), "An OS 1, Linux 6");
        assert_eq!(system("", None), None);
    }

    #[test]
    fn a_peer_is_three_versions() {
        let peer = Peer::parse("3.12.1 2.13.0 5.23.0\n").unwrap();
        assert_eq!((peer.torch.as_str(), peer.transformers.as_str()), ("2.13.0", "5.23.0"));
        assert!(Peer::parse("").is_none());
        let error = Peer::probe(Path::new("a-python-that-nobody-has")).unwrap_err();
        assert!(error.contains("cannot be started"), "{error}");
    }
}
