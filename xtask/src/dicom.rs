//! `cargo xtask dicom-table`: which files of pydicom are read, beside pydicom; writes docs/dicom.md and .json.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::validators;
use crate::workspace::Workspace;

/// Asks pydicom, then our reader. JPEG-LS needs cmake, from the system or from the validators' Python (`pip install cmake`).
pub(crate) fn table(workspace: &Workspace) -> Result<()> {
    let python = validators::find(workspace).context(validators::advice())?;
    let root = workspace.root();
    let references = root.join("target/dicom-table");
    std::fs::create_dir_all(&references)?;
    let script = root.join("crates/medical/tests/reference.py");
    process::run(Command::new(&python).arg(script).arg(&references))?;
    let example = [
        "run",
        "--release",
        "-p",
        "medical-pictures",
        "--features",
        "jpeg-ls",
        "--example",
        "dicom_table",
        "--",
    ];
    let mut ours = workspace.cargo(&example);
    ours.arg(&references).arg(root.join("docs/dicom.md")).arg(root.join("docs/dicom.json"));
    if let Some(folder) = python.parent() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
        ours.env("PATH", std::env::join_paths(all)?);
    }
    process::run(&mut ours)
}
