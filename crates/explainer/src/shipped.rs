//! The checkpoints inside the library: small models of the project's own, trained on synthetic radiographs.

use std::fmt;
#[cfg(feature = "phantom")]
use std::io::Write as _;
#[cfg(feature = "phantom")]
use std::path::Path;
use std::path::PathBuf;

use crate::Error;
use crate::error::Cause;

/// A checkpoint that needs no download. It knows synthetic radiographs (`phantom-radiograph`) and nothing about patients; its card is
/// `models/NAME/README.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shipped {
    /// Describes phantoms, and looks where the findings are.
    Phantom,
    /// Says "opacity" where it sees the tag `PORTABLE`: a model that learnt a shortcut.
    PhantomShortcut,
}

impl Shipped {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Phantom, Self::PhantomShortcut];

    /// The name that stands for it wherever a model is asked for: `phantom`, `phantom-shortcut`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phantom => "phantom",
            Self::PhantomShortcut => "phantom-shortcut",
        }
    }

    /// The folder of the checkpoint, in the user's cache. Files that are not there, or are not what the library holds, are written:
    /// a checkpoint is mapped from files, not from the library.
    #[cfg(feature = "phantom")]
    pub(crate) fn folder(self) -> Result<PathBuf, Error> {
        let cache = dirs::cache_dir().ok_or(Cause::NoCache)?;
        let folder = cache.join("medgemma-explainer/models").join(self.name());
        self.write(&folder)?;
        Ok(folder)
    }

    #[cfg(not(feature = "phantom"))]
    pub(crate) fn folder(self) -> Result<PathBuf, Error> {
        Err(Cause::NotShipped { name: self.name() }.into())
    }

    #[cfg(feature = "phantom")]
    fn write(self, folder: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(Error::write(folder))?;
        for (name, bytes) in self.files() {
            let path = folder.join(name);
            // A pipe or a device is not read: it might never end.
            let there = std::fs::metadata(&path);
            let as_long =
                there.as_ref().is_ok_and(|m| m.is_file() && m.len() == bytes.len() as u64);
            if as_long && std::fs::read(&path).is_ok_and(|found| found == *bytes) {
                continue;
            }
            if there.is_ok_and(|found| found.is_dir()) {
                return Err(Cause::FolderInCache { path }.into());
            }
            // Another process may be doing the same: whoever comes last puts the same file in place.
            let write = || {
                let mut file = tempfile::NamedTempFile::new_in(folder)?;
                file.write_all(bytes)?;
                file.persist(&path)?;
                Ok(())
            };
            write().map_err(Error::write(&path))?;
        }
        Ok(())
    }

    #[cfg(feature = "phantom")]
    fn files(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Self::Phantom => files!("phantom"),
            Self::PhantomShortcut => files!("phantom-shortcut"),
        }
    }
}

/// The name.
impl fmt::Display for Shipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All files of a checkpoint.
#[cfg(feature = "phantom")]
macro_rules! files {
    ($model:literal) => {
        files!($model: "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
            "preprocessor_config.json", "processor_config.json", "special_tokens_map.json", "tokenizer.json",
            "tokenizer_config.json")
    };
    ($model:literal: $($file:literal),*) => {
        &[$(($file, include_bytes!(concat!("../models/", $model, "/", $file)))),*]
    };
}
#[cfg(feature = "phantom")]
use files;

#[cfg(all(test, feature = "phantom"))]
mod tests {
    use super::*;

    #[test]
    fn a_spoilt_file_is_written_again_and_others_are_left() {
        let folder = tempfile::tempdir().unwrap();
        Shipped::Phantom.write(folder.path()).unwrap();
        let [config, weights] =
            ["config.json", "model.safetensors"].map(|name| folder.path().join(name));
        let whole = std::fs::read(&weights).unwrap();
        let written = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
        let before = written(&config);
        std::fs::write(&weights, &whole[..100]).unwrap();
        Shipped::Phantom.write(folder.path()).unwrap();
        assert_eq!(std::fs::read(&weights).unwrap(), whole);
        assert_eq!(written(&config), before);
        let count = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(count, Shipped::Phantom.files().len(), "nothing else is left");
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_named_and_a_pipe_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        Shipped::Phantom.write(folder.path()).unwrap();
        let config = folder.path().join("config.json");
        std::fs::remove_file(&config).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&config).status();
        assert!(made.unwrap().success());
        Shipped::Phantom.write(folder.path()).unwrap();
        assert!(std::fs::metadata(&config).unwrap().is_file());

        std::fs::remove_file(&config).unwrap();
        std::fs::create_dir(&config).unwrap();
        let message = Shipped::Phantom.write(folder.path()).unwrap_err().to_string();
        assert!(
            message.starts_with(&config.display().to_string())
                && message.ends_with("remove it and try again"),
            "{message}"
        );
    }

    #[test]
    fn checkpoints_are_small() {
        for shipped in Shipped::ALL {
            let bytes: usize = shipped.files().iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(bytes <= 6_000_000, "{shipped}: {bytes} bytes");
        }
    }
}
