//! Pictures that came as bytes, on their way to a reader of files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

    /// The same of a text in base64.
    pub(crate) fn put_base64(&mut self, text: &str) -> Result<PathBuf> {
        match STANDARD.decode(text) {
            Ok(bytes) => self.put(&bytes),
            Err(error) => bail!("the data of a picture is no base64: {error}"),
        }
    }

    /// Puts several files together into a folder, as the slices of a series lie.
    pub(crate) fn put_together<'a>(
        &mut self,
        all: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<PathBuf> {
        let folder = self.next();
        std::fs::create_dir(&folder).context("cannot make a temporary folder")?;
        for (index, bytes) in all.into_iter().enumerate() {
            std::fs::write(folder.join(index.to_string()), bytes)
                .context("cannot keep a picture in the temporary folder")?;
        }
        Ok(folder)
    }

    /// A folder in it that is still empty.
    pub(crate) fn empty_folder(&mut self) -> PathBuf {
        self.next()
    }

    fn next(&mut self) -> PathBuf {
        self.files += 1;
        self.folder.path().join(self.files.to_string())
    }
}
