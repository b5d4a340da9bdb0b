//! Files put in place whole: written beside their place, then renamed.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use super::Error;

/// Files that are written but not yet in place. What is dropped before [`Staged::commit`] leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// Where each is now, and where it is to be.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Staged {
    /// Opens a file beside its place, which is put there with the others.
    pub(crate) fn create(&mut self, path: &Path) -> Result<BufWriter<File>, Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let name = format!(".{}.{}.partial", name.to_string_lossy(), std::process::id());
        let beside = path.with_file_name(name);
        let file = File::options().write(true).create_new(true).open(&beside).map_err(failed)?;
        self.files.push((beside, path.to_owned()));
        Ok(BufWriter::new(file))
    }

    /// Puts all files in place.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        while let Some((beside, path)) = self.files.first() {
            fs::rename(beside, path)
                .map_err(|source| Error::Write { path: path.clone(), source })?;
            self.files.remove(0);
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (beside, _) in &self.files {
            // Nothing can be done about a file that does not go.
            let _ = fs::remove_file(beside);
        }
    }
}

/// Sends everything to the disk, so that a name never stands for half a file.
pub(crate) fn finish(out: BufWriter<File>) -> io::Result<()> {
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Refuses a place where something stands that `ours` does not know.
pub(crate) fn refuse_strangers(path: &Path, ours: fn(&Path) -> bool) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
        Ok(found) if found.is_file() && ours(path) => Ok(()),
        Ok(_) => Err(Error::InTheWay { path: path.to_owned() }),
    }
}
