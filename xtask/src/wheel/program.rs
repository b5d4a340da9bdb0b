//! The command as it goes into a wheel.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::process;

/// The oldest C library that the wheels of torch themselves run with: 2.28.
const OLDEST_GLIBC: u32 = 28;
/// Where a command looks for libtorch by itself, as in `rpath.rs`; the Python package tells it.
const RPATH: &str = "$ORIGIN/libtorch/lib";

/// A built command.
pub(crate) struct Program {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Program {
    /// An error unless it is the command of this version.
    pub(crate) fn checked(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let said = process::output(Command::new(&path).arg("--version"))?;
        let expected = concat!("medgemma-explainer ", env!("CARGO_PKG_VERSION"));
        ensure!(
            said.trim() == expected,
            "{} says `{}`, and this is {expected}",
            path.display(),
            said.trim()
        );
        let bytes =
            std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        Ok(Self { path, bytes })
    }

    /// The tag of the platform: by the newest version of the C library that the command asks for.
    pub(crate) fn platform(&self) -> Result<String> {
        let newest = newest_glibc(&self.bytes)
            .with_context(|| format!("{} asks for no version of glibc", self.path.display()))?;
        Ok(format!("manylinux_2_{}", newest.max(OLDEST_GLIBC)))
    }

    /// Puts it into `folder` without symbols and without paths of this machine, and beside it what it was built for.
    pub(crate) fn put(&self, folder: &Path, torch: &str, patchelf: &Path) -> Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)
                .with_context(|| format!("could not remove {}", folder.display()))?;
        }
        let partial = folder.with_extension("partial");
        if partial.exists() {
            std::fs::remove_dir_all(&partial)?;
        }
        std::fs::create_dir_all(&partial)
            .with_context(|| format!("could not create {}", partial.display()))?;
        let program = partial.join("medgemma-explainer");
        std::fs::write(&program, &self.bytes)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        process::run(Command::new("strip").arg(&program))
            .context("binutils are needed to make the command small")?;
        process::run(Command::new(patchelf).args(["--set-rpath", RPATH]).arg(&program))?;
        let build = json!({ "torch": torch, "version": env!("CARGO_PKG_VERSION") });
        std::fs::write(partial.join("build.json"), format!("{build:#}\n"))?;
        std::fs::rename(&partial, folder)
            .with_context(|| format!("could not create {}", folder.display()))
    }
}

/// The largest N of the names `GLIBC_2.N` of versions that a program asks for. They are texts that end in a zero byte; another text of this
/// form could only make the tag stricter.
fn newest_glibc(bytes: &[u8]) -> Option<u32> {
    const PREFIX: &[u8] = b"GLIBC_2.";
    let starts = bytes.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX);
    let number = |(start, _): (usize, &[u8])| {
        let rest = bytes.get(start + PREFIX.len()..)?;
        let text: Vec<u8> = rest.iter().copied().take(8).take_while(|byte| *byte != 0).collect();
        // `2.2.5` is older than all that matter.
        std::str::from_utf8(&text).ok()?.parse().ok()
    };
    starts.filter_map(number).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_decides() {
        let bytes =
            b"\0GLIBC_2.2.5\0GLIBC_2.17\0GLIBC_2.34\0GLIBC_2.99x\0GLIBC_PRIVATE\0GLIBC_2.9\0";
        assert_eq!(newest_glibc(bytes), Some(34));
        assert_eq!(newest_glibc(b"GLIBC_2."), None);
    }

    #[test]
    fn another_program_is_refused() {
        let error = Program::checked(Path::new("/bin/true")).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("and this is medgemma-explainer"), "{error}");
    }
}
