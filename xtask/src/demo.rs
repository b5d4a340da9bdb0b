//! `cargo xtask demo`: the main job on a machine with nothing prepared.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

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
    process::run(&mut command)?;
    report(&out)
}

/// Says what the record says, so that the demo shows what scripts may rely on.
fn report(out: &Path) -> Result<()> {
    let path = out.join("explanation.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let record: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let answer = record["answer"].as_str().context("explanation.json has no answer")?;
    println!("\nquestion:  {PROMPT}");
    println!("answer:    {answer}   (the checkpoint is random: the words mean nothing)");
    for target in record["targets"].as_array().context("explanation.json has no targets")? {
        println!("explained: {}", target["text"].as_str().context("a target has no text")?);
    }
    for file in files(out)? {
        println!("file:      {file}");
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.path().display().to_string());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_there() {
        let bytes = std::fs::read(Workspace::find().unwrap().root().join(PICTURE)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() < 150_000);
    }

    #[test]
    fn a_record_without_an_answer_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(report(folder.path()).is_err());
        std::fs::write(folder.path().join("explanation.json"), "{}").unwrap();
        assert!(report(folder.path()).unwrap_err().to_string().contains("no answer"));
        let record = r#"{"answer": "yes", "targets": [{"text": "yes"}]}"#;
        std::fs::write(folder.path().join("explanation.json"), record).unwrap();
        report(folder.path()).unwrap();
    }
}
