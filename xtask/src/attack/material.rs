//! What inputs are made of: the checkpoint that comes with the program, a picture, a stored explanation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use super::picture;

pub(crate) struct Material {
    /// The checkpoint `phantom`.
    checkpoint: PathBuf,
    /// The command under attack.
    binary: PathBuf,
    folder: PathBuf,
    stored: OnceLock<PathBuf>,
    help: OnceLock<Vec<(String, String)>>,
}

/// The commands whose options the attack reads from their own help.
const COMMANDS: [&str; 6] = ["inspect", "answer", "explain", "report", "diagnose", "phantom"];

impl Material {
    /// `folder`: where a stored explanation is made when one is wanted.
    pub(crate) fn new(checkpoint: PathBuf, binary: PathBuf, folder: PathBuf) -> Self {
        Self { checkpoint, binary, folder, stored: OnceLock::new(), help: OnceLock::new() }
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn checkpoint(&self) -> &Path {
        &self.checkpoint
    }

    /// A file of the checkpoint.
    pub(crate) fn file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.checkpoint.join(name);
        fs::read(&path).with_context(|| format!("could not read {}", path.display()))
    }

    /// A small language model in a GGUF file.
    #[expect(clippy::unused_self, reason = "material is asked for what it is made of")]
    pub(crate) fn gguf(&self) -> Result<Vec<u8>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf/model.gguf");
        fs::read(path).with_context(|| format!("could not read {path}"))
    }

    /// A file of the checkpoint, as text.
    pub(crate) fn text(&self, name: &str) -> Result<String> {
        Ok(String::from_utf8(self.file(name)?)?)
    }

    /// A folder that `explain` wrote.
    pub(crate) fn stored(&self) -> Result<PathBuf> {
        if let Some(folder) = self.stored.get() {
            return Ok(folder.clone());
        }
        fs::create_dir_all(&self.folder)?;
        let (picture, out) = (self.folder.join("picture.png"), self.folder.join("stored"));
        let _ = fs::remove_dir_all(&out);
        fs::write(&picture, picture::good())?;
        let mut command = Command::new(&self.binary);
        command.args(["explain", "--model", "phantom", "--image"]).arg(&picture);
        command.args(["--prompt", "Describe the radiograph.", "--max-new-tokens", "4"]);
        command.args(["--answer-span", "--reliance", "mean", "--out"]).arg(&out);
        let output = command.env("HOME", self.folder.join("home")).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("the explanation that inputs are made of failed: {said}");
        }
        Ok(self.stored.get_or_init(|| out).clone())
    }

    /// Commands and their help.
    pub(crate) fn help(&self) -> Result<&[(String, String)]> {
        if let Some(help) = self.help.get() {
            return Ok(help);
        }
        let mut pages = Vec::new();
        for name in COMMANDS {
            let output = Command::new(&self.binary).args([name, "--help"]).output()?;
            let text = String::from_utf8(output.stdout).context("help that is not UTF-8")?;
            pages.push((name.to_owned(), text));
        }
        Ok(self.help.get_or_init(|| pages))
    }
}
