//! `cargo xtask test`: set-up and every check, in the order of how soon they fail.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{process, setup, tidy};

/// Stops at the first check that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    let steps = steps();
    for (index, step) in steps.iter().enumerate() {
        println!("── {}/{} {}", index + 1, steps.len(), step.name);
        let begun = Instant::now();
        step.action.run(workspace).with_context(|| format!("the check `{}` failed", step.name))?;
        println!("── {} done in {:.1} s", step.name, begun.elapsed().as_secs_f64());
    }
    println!("all {} checks passed in {:.1} s", steps.len(), start.elapsed().as_secs_f64());
    Ok(())
}

struct Step {
    name: &'static str,
    action: Action,
}

enum Action {
    Setup,
    Tidy,
    /// Licences, advisories and sources, if the tool is installed.
    Deny,
    /// `cargo` with these arguments.
    Cargo(&'static [&'static str]),
    /// `cargo doc` with warnings as errors.
    Docs(&'static [&'static str]),
}

impl Action {
    fn run(&self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Setup => setup::run(workspace, None),
            Self::Tidy => tidy::run(workspace),
            Self::Deny => deny(workspace),
            Self::Cargo(args) => process::run(&mut workspace.cargo(args)),
            Self::Docs(args) => {
                process::run(workspace.cargo(args).env("RUSTDOCFLAGS", "-D warnings"))
            }
        }
    }
}

/// The whole workspace is built at once, so its members' default features add up: the feature `hub` is on and tested
/// (tidy sees to that). `--all-features` would add features that need other machines.
fn steps() -> Vec<Step> {
    let step = |name, action| Step { name, action };
    let clippy = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let docs = &["doc", "--workspace", "--no-deps", "--document-private-items"];
    let tests = &["test", "--workspace", "--lib", "--bins", "--tests", "--examples"];
    vec![
        step("setup", Action::Setup),
        step("format", Action::Cargo(&["fmt", "--all", "--check"])),
        step("tidy", Action::Tidy),
        step("clippy", Action::Cargo(clippy)),
        step(
            "without the hub",
            Action::Cargo(&["check", "--package", "medgemma-explainer", "--no-default-features"]),
        ),
        step("docs", Action::Docs(docs)),
        step("deny", Action::Deny),
        step("doc tests", Action::Cargo(&["test", "--workspace", "--doc"])),
        step("tests", Action::Cargo(tests)),
    ]
}

fn deny(workspace: &Workspace) -> Result<()> {
    let mut probe: Command = workspace.cargo(&["deny", "--version"]);
    if !process::succeeds(&mut probe) {
        println!("skipped: cargo-deny is not installed (cargo install --locked cargo-deny)");
        return Ok(());
    }
    process::run(&mut workspace.cargo(&["deny", "--all-features", "check"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_an_error() {
        let workspace = Workspace::find().unwrap();
        let error = Action::Cargo(&["no-such-command"]).run(&workspace).unwrap_err().to_string();
        assert!(error.contains("no-such-command"), "{error}");
    }

    #[test]
    fn warnings_are_errors() {
        let denies = |step: &Step| match step.action {
            Action::Cargo(args) => args.contains(&"-D"),
            Action::Docs(_) => true,
            _ => false,
        };
        assert_eq!(steps().iter().filter(|step| denies(step)).count(), 2);
    }
}
