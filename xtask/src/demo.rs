//! `cargo xtask demo`: the demonstration on a machine with nothing prepared.

use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{process, setup};

/// Sets up, builds, and runs `medgemma-explainer demo`. The demonstration has its model with it: the hub, which is more than a third of
/// all crates, is not built.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, None)?;
    let build =
        ["build", "--release", "--package", "medgemma-explainer-cli", "--no-default-features"];
    process::run(&mut workspace.cargo(&build))?;
    let target = workspace.target_folder()?;
    let mut command = Command::new(target.join("release/medgemma-explainer"));
    process::run(command.arg("demo").arg("--out").arg(target.join("demo")))
}
