//! `cargo xtask demo`: the main job on a machine with nothing prepared.

use std::process::Command;

use anyhow::Result;

use crate::synthesize::{self, Options, Size};
use crate::workspace::Workspace;
use crate::{process, setup};

const PICTURE: &str = "assets/phantom.png";
const PROMPT: &str = "Is there a nodule in the lung?";

/// Set up, build, make a small random checkpoint, explain a picture with it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, None)?;
    let build = ["build", "--release", "--package", "medgemma-explainer-cli"];
    process::run(&mut workspace.cargo(&build))?;
    let target = workspace.target_folder()?;
    let folder = target.join("demo");
    let checkpoint = folder.join("checkpoint");
    if !checkpoint.exists() {
        let options = Options::usual(Size::Tiny, checkpoint.clone());
        synthesize::run(&options)?;
    }
    let out = folder.join("explanation");
    let mut command = Command::new(target.join("release/medgemma-explainer"));
    command
        .arg("explain")
        .arg("--model")
        .arg(&checkpoint)
        .arg("--image")
        .arg(workspace.root().join(PICTURE));
    command
        .args(["--prompt", PROMPT, "--answer-span", "--max-new-tokens", "12"])
        .arg("--out")
        .arg(&out);
    println!("\n{PROMPT}");
    process::run(&mut command)?;
    println!(
        "\nThe checkpoint is small and random: its words mean nothing, and neither does the map."
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_there() {
        let bytes = std::fs::read(Workspace::find().unwrap().root().join(PICTURE)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() < 150_000);
    }
}
