//! Chromium, in which the interactive report is tried: found, and installed where that was asked for.
//!
//! Only these tests use it: nothing else fails without it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

#[path = "../../../crates/visualization/tests/browser/program.rs"]
mod program;

/// What an administrator of Debian types. Ubuntu has Chromium as a snap alone.
const BY_HAND: &str = "apt-get install --no-install-recommends chromium";

/// A Chromium that starts; `None` where there is none.
///
/// Its own `--version` is asked: Ubuntu's `chromium-browser` may be a stub that only says where to get the snap. A program
/// that `CHROMIUM` names and that does not start is an error.
pub(crate) fn find() -> Result<Option<PathBuf>> {
    let [chosen, path] = ["CHROMIUM", "PATH"].map(std::env::var_os);
    let Some(program) = program::find(chosen.as_deref(), path.as_deref()) else { return Ok(None) };
    if starts(&program) {
        return Ok(Some(program));
    }
    let is_chosen = chosen.is_some_and(|chosen| !chosen.is_empty());
    ensure!(!is_chosen, "CHROMIUM names {}, which does not start", program.display());
    Ok(None)
}

/// What to do where [`find`] gave `None`.
pub(crate) fn advice() -> String {
    format!(
        "no Chromium in CHROMIUM or PATH (as root on Debian: cargo xtask setup --chromium, or {BY_HAND})"
    )
}

/// Makes sure that there is a Chromium; root of a machine with apt-get gets it installed, everybody else is told how.
pub(crate) fn provide() -> Result<()> {
    let found = find()?;
    let machine = Machine { is_root: is_root(), has_apt: has_apt() };
    match plan(found.as_deref(), machine) {
        Plan::Nothing => {}
        Plan::Install => install(&["chromium"])?,
        Plan::Ask(why) => bail!("no Chromium in CHROMIUM or PATH; {why}"),
    }
    let program = find()?.context("Chromium was installed, and still none starts")?;
    println!("Chromium: {}", program.display());
    Ok(())
}

/// What decides whether a package can be installed.
#[derive(Clone, Copy)]
struct Machine {
    is_root: bool,
    has_apt: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// It is there.
    Nothing,
    Install,
    /// The user has to do it: how.
    Ask(String),
}

fn plan(found: Option<&Path>, machine: Machine) -> Plan {
    match (found, machine) {
        (Some(_), _) => Plan::Nothing,
        (None, Machine { is_root: true, has_apt: true }) => Plan::Install,
        (None, Machine { has_apt: true, .. }) => Plan::Ask(format!("run: sudo {BY_HAND}")),
        (None, Machine { has_apt: false, .. }) => {
            Plan::Ask("install it with your system's packages, or name one in CHROMIUM".to_owned())
        }
    }
}

/// Whether packages of the system can be installed here.
pub(crate) fn can_install() -> bool {
    is_root() && has_apt()
}

/// Twice, because mirrors fail now and then.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let once = || {
        steps(packages).iter_mut().try_for_each(|(step, limit)| process::run_within(step, *limit))
    };
    once().or_else(|error| {
        println!("{error:#}; once more");
        once()
    })
}

/// The download is a step of its own: ending that one at its limit leaves no half-installed package.
fn steps(packages: &[&str]) -> [(Command, Duration); 3] {
    let package = ["install", "--no-install-recommends", "--yes"];
    let download = Duration::from_mins(5);
    [
        (apt(&["update"]), Duration::from_mins(2)),
        (apt(&[&package[..], &["--download-only"], packages].concat()), download),
        (apt(&[&package[..], packages].concat()), download),
    ]
}

fn apt(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet=2").args(["-o", "DPkg::Lock::Timeout=60"]).args(args);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    command
}

fn starts(program: &Path) -> bool {
    process::succeeds(Command::new(program).arg("--version"))
}

fn has_apt() -> bool {
    process::succeeds(Command::new("apt-get").arg("--version"))
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_chosen_program_wins_over_the_path_and_names_are_looked_for_folder_by_folder() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        let find = |chosen: Option<&str>| program::find(chosen.map(OsStr::new), Some(&path));
        assert_eq!(find(None), None);
        assert_eq!(find(Some("/opt/browser")), Some("/opt/browser".into()));
        std::fs::create_dir(first.path().join("chromium")).unwrap(); // a folder is no program
        std::fs::write(second.path().join("chromium"), "").unwrap();
        assert_eq!(find(None), Some(second.path().join("chromium")));
        std::fs::write(first.path().join("google-chrome"), "").unwrap();
        assert_eq!(find(Some("")), Some(first.path().join("google-chrome")));
        assert_eq!(program::find(None, None), None);
    }

    #[test]
    fn only_root_of_a_machine_with_apt_gets_it_installed() {
        let plan = |found: Option<&str>, is_root, has_apt| {
            plan(found.map(Path::new), Machine { is_root, has_apt })
        };
        assert_eq!(plan(Some("/usr/bin/chromium"), true, true), Plan::Nothing);
        assert_eq!(plan(None, true, true), Plan::Install);
        let Plan::Ask(how) = plan(None, false, true) else { panic!("a user is asked") };
        assert_eq!(how, "run: sudo apt-get install --no-install-recommends chromium");
        let Plan::Ask(how) = plan(None, true, false) else { panic!("there is no apt-get") };
        assert!(how.contains("CHROMIUM") && !how.contains("apt"), "{how}");
    }

    #[test]
    fn a_stub_is_no_browser() {
        assert!(starts(Path::new("true")));
        assert!(!starts(Path::new("false")));
    }

    #[test]
    fn nothing_is_asked_while_installing_and_no_recommended_package_comes_along() {
        for (step, _) in &steps(&["chromium"]) {
            let shown = process::shown(step);
            assert!(step.get_envs().any(|(name, _)| name == "DEBIAN_FRONTEND"), "{shown}");
            let installs = shown.contains(" install ");
            assert_eq!(installs, shown.contains("--no-install-recommends --yes"), "{shown}");
        }
    }
}
