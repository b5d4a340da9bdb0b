//! `cargo xtask setup`: libtorch where this workspace finds it.
//!
//! `.cargo/config.toml` points `LIBTORCH` at `.libtorch`. Here that name becomes a symbolic link into a per-user cache,
//! filled once from the PyTorch wheel by the ordinary pip. A user's own `LIBTORCH` or `LIBTORCH_USE_PYTORCH` is
//! respected and only checked.

mod cache;
pub(crate) mod chromium;
mod fetch;
mod pip;
mod platform;
mod project;
pub(crate) mod real;
mod user;
pub(crate) mod validators;
pub(crate) mod wanted;
mod wheel;

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;
pub(crate) use wanted::version as wanted_version;

/// What of libtorch is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The CPU library alone.
    Cpu,
    /// The CUDA libraries and everything that they need.
    Cuda,
}

impl Variant {
    /// `None`: whichever is there, else the CPU parts.
    pub(crate) fn from_flags(cuda: bool, cpu: bool) -> Result<Option<Self>> {
        match (cuda, cpu) {
            (true, true) => bail!("--cuda and --cpu exclude each other"),
            (true, false) => Ok(Some(Self::Cuda)),
            (false, true) => Ok(Some(Self::Cpu)),
            (false, false) => Ok(None),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// Makes libtorch available to cargo, or says what the user has to do.
pub(crate) fn run(workspace: &Workspace, variant: Option<Variant>) -> Result<()> {
    let start = Instant::now();
    require_compiler()?;
    let version = wanted::version(workspace)?;
    let found = match user::choice(&workspace.libtorch())? {
        user::Choice::Python => user::check_python(&version)?,
        user::Choice::Folder(folders) => user::check_folder(&folders, &version)?,
        user::Choice::Project => project::provide(&workspace.libtorch(), &version, variant)?,
    };
    println!("libtorch {version}: {found} ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(())
}

/// Whether the project has libtorch for CUDA, and the machine a GPU for it.
pub(crate) fn has_gpu(workspace: &Workspace) -> bool {
    let library = workspace.libtorch().join("lib").join(platform::Platform::CUDA_LIBRARY);
    library.is_file() && process::succeeds(Command::new("nvidia-smi").arg("-L"))
}

/// torch-sys compiles C++; its own failure comes minutes later and says less.
fn require_compiler() -> Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    // `CXX` may carry a launcher and options (`ccache g++`); its first word is enough to know whether it is there.
    let text = compiler.to_string_lossy();
    let program = text.split_whitespace().next().unwrap_or("c++");
    if process::succeeds(Command::new(program).arg("--version")) {
        return Ok(());
    }
    bail!(
        "no C++ compiler: `{program} --version` does not run; install one \
         (Debian, Ubuntu: apt install g++ · Fedora: dnf install gcc-c++ · macOS: xcode-select --install) or set CXX"
    );
}
