//! Where a checkpoint lies: a folder as transformers has it, or GGUF files.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use quantised_weights::Gguf;

use crate::adapter::{self, Adapter, AppliedAdapter};
use crate::config::GGUF_ARCHITECTURE;
use crate::weights::{INDEX, SINGLE};
use crate::{Error, files};

/// The files of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointPlace {
    /// A folder with `config.json` and safetensors.
    Folder(PathBuf),
    /// GGUF files.
    Gguf {
        /// The language model.
        model: PathBuf,
        /// The vision tower; `None`: there are no pictures.
        mmproj: Option<PathBuf>,
    },
}

/// GGUF files of a folder that are looked at; more are not one model.
const MOST_FILES: usize = 64;

impl CheckpointPlace {
    /// What lies at `path`: a GGUF file, a folder with GGUF files and no `config.json` beside them, or a folder of transformers. A vision
    /// tower that a folder has beside its language model is taken with it; `mmproj` names another one.
    ///
    /// # Errors
    /// [`Error::AdapterAlone`] for a folder with an adapter of PEFT, [`Error::AdapterBeside`] for one that has a model as well and is none
    /// of `adapters`, [`Error::SeveralGguf`] for a folder with several language models or vision towers, [`Error::MmprojWithoutGguf`],
    /// and files that cannot be read.
    pub fn find(
        path: &Path,
        mmproj: Option<&Path>,
        adapters: &[AppliedAdapter],
    ) -> Result<Self, Error> {
        if fs::metadata(path).is_ok_and(|found| found.is_file()) {
            return Ok(Self::Gguf { model: path.to_owned(), mmproj: mmproj.map(Path::to_owned) });
        }
        if Adapter::is_in(path) {
            let is_same =
                |folder: &Path| fs::canonicalize(folder).ok() == fs::canonicalize(path).ok();
            if !has_model(path)? {
                let base =
                    Adapter::open(path).ok().and_then(|own| own.base_model().map(str::to_owned));
                return Err(Error::AdapterAlone { path: path.to_owned(), base });
            } else if !adapters.iter().any(|applied| is_same(applied.adapter.folder())) {
                return Err(Error::AdapterBeside { path: path.join(adapter::CONFIG) });
            }
        }
        let found = if path.join("config.json").exists() { Vec::new() } else { in_folder(path)? };
        if found.is_empty() {
            return match mmproj {
                None => Ok(Self::Folder(path.to_owned())),
                Some(_) => Err(Error::MmprojWithoutGguf { path: path.to_owned() }),
            };
        }
        let (mut towers, mut models) = (Vec::new(), Vec::new());
        for file in found {
            let header = Gguf::read(&file, files::open(&file)?)?;
            let sees = header.text(GGUF_ARCHITECTURE)? == "clip";
            if sees { towers.push(file) } else { models.push(file) }
        }
        let one = |mut files: Vec<PathBuf>, what| match files.len() {
            0 | 1 => Ok(files.pop()),
            _ => Err(Error::SeveralGguf {
                path: path.to_owned(),
                what,
                files: files.iter().map(|file| name(file)).collect(),
            }),
        };
        let tower = match mmproj {
            Some(given) => Some(given.to_owned()),
            None => one(towers, "vision towers")?,
        };
        let model = one(models, "language models")?;
        let model = model.ok_or_else(|| Error::NoWeights { path: path.to_owned() })?;
        Ok(Self::Gguf { model, mmproj: tower })
    }

    /// Whether a path is a folder with an adapter of PEFT and without the weights of a model.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn is_adapter_alone(path: &Path) -> Result<bool, Error> {
        Ok(Adapter::is_in(path) && !has_model(path)?)
    }

    /// What says what the model is: the bytes of `config.json`, or the header of the GGUF file of the language model.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn configuration(&self) -> Result<Vec<u8>, Error> {
        let (path, length) = match self {
            Self::Folder(path) => (path.join("config.json"), None),
            Self::Gguf { model, .. } => {
                let header = Gguf::read(model, files::open(model)?)?;
                (model.clone(), Some(header.header_bytes()))
            }
        };
        let mut bytes = Vec::new();
        let file = files::open(&path)?;
        let read = file.take(length.unwrap_or(files::LIMIT)).read_to_end(&mut bytes);
        read.map_err(Error::read(&path))?;
        Ok(bytes)
    }

    /// The folder or the file of the language model: what names the checkpoint.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Gguf { model: path, .. } => path,
        }
    }
}

/// Whether a folder has the weights of a model, whatever else lies there.
fn has_model(path: &Path) -> Result<bool, Error> {
    let has = |name: &str| path.join(name).exists();
    Ok(has("config.json") && (has(SINGLE) || has(INDEX)) || !in_folder(path)?.is_empty())
}

fn in_folder(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(Vec::new()) }; // whoever reads it says why
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.map_err(Error::read(path))?.path();
        if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) {
            found.push(file);
        }
        if MOST_FILES < found.len() {
            return Err(Error::SeveralGguf {
                path: path.to_owned(),
                what: "files",
                files: Vec::new(),
            });
        }
    }
    found.sort();
    Ok(found)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::write(path.join(adapter::CONFIG), "{}").unwrap();
        let message = CheckpointPlace::find(path, None, &[]).unwrap_err().to_string();
        assert!(message.contains("is an adapter, not a model"), "{message}");
        for file in ["config.json", SINGLE] {
            fs::write(path.join(file), "{}").unwrap();
        }
        let message = CheckpointPlace::find(path, None, &[]).unwrap_err().to_string();
        assert!(
            message.contains(adapter::CONFIG) && message.contains("move the file away"),
            "{message}"
        );
        fs::remove_file(path.join(adapter::CONFIG)).unwrap();
        let found = CheckpointPlace::find(path, None, &[]).unwrap();
        assert_eq!(found, CheckpointPlace::Folder(path.to_owned()));
    }
}
