//! Pictures that came as bytes, on their way to a reader of files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::{Builder, TempDir};

/// Where memory is a folder on Linux: what lies there never comes to a disk.
const IN_MEMORY: &str = "/dev/shm";

/// A folder of the process's own, which nobody else can read and which goes with this value. Names in it are ours.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: TempDir,
    files: usize,
}

impl Spool {
    pub(crate) fn new() -> Result<Self> {
        let builder = || Builder::new().prefix("medgemma-explainer-").to_owned();
        let memory = Path::new(IN_MEMORY).is_dir().then(|| builder().tempdir_in(IN_MEMORY));
        // A machine may have the folder and not let us use it.
        let folder = match memory {
            Some(Ok(folder)) => folder,
            _ => builder().tempdir().context("cannot make a temporary folder")?,
        };
        Ok(Self { folder, files: 0 })
    }

    /// Puts a file's bytes there, and gives back where.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.next();
        std::fs::write(&path, bytes).context("cannot keep a picture in the temporary folder")?;
        Ok(path)
    }

    /// Moves files that lie in it into a folder of their own, as the slices of a series lie.
    pub(crate) fn gather(&mut self, files: &[PathBuf]) -> Result<PathBuf> {
        let folder = self.next();
        std::fs::create_dir(&folder).context("cannot make a temporary folder")?;
        for (index, file) in files.iter().enumerate() {
            std::fs::rename(file, folder.join(index.to_string()))
                .context("cannot keep a picture in the temporary folder")?;
        }
        Ok(folder)
    }

    /// A place in it where nothing is yet.
    pub(crate) fn free_place(&mut self) -> PathBuf {
        self.next()
    }

    fn next(&mut self) -> PathBuf {
        self.files += 1;
        self.folder.path().join(self.files.to_string())
    }
}
