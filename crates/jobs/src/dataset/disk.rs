//! Every step that changes a file of a data set, so that tests can end the process before and within each.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

/// Adds bytes to a file and waits until they are on the disk.
pub(crate) fn append(file: &mut File, bytes: &[u8]) -> Result<()> {
    #[cfg(test)]
    fault::write(file, bytes)?;
    file.write_all(bytes)?;
    #[cfg(test)]
    fault::step()?;
    file.sync_data()
}

/// Cuts a file to this length.
pub(crate) fn cut(file: &File, length: u64) -> Result<()> {
    #[cfg(test)]
    fault::step()?;
    file.set_len(length)?;
    file.sync_data()
}

/// Writes a file whole or not at all: under the temporary name, which is that of no other process, then renamed.
pub(crate) fn put(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    remove(temporary)?;
    #[cfg(test)]
    fault::step()?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
    append(&mut file, bytes)?;
    #[cfg(test)]
    fault::step()?;
    file.sync_all()?;
    #[cfg(test)]
    fault::step()?;
    fs::rename(temporary, path)?;
    #[cfg(test)]
    fault::step()?;
    sync_folder(path)
}

/// Removes a file that may be there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    #[cfg(test)]
    fault::step()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in the folder of a file last.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().ok_or_else(|| Error::other("the file is in no folder"))?;
    // Elsewhere folders cannot be opened, and a rename lasts without.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A process that ends at a chosen step, as if it was killed: this step and all after it fail and do nothing.
#[cfg(test)]
pub(crate) mod fault {
    use std::cell::Cell;

    use super::{Error, File, Result, Write};

    thread_local! {
        /// Steps until the end; `None`: none is near.
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// The process ends after so many steps.
    pub(crate) fn after(steps: u64) {
        LEFT.set(Some(steps));
    }

    /// The process lives on; whether it had ended.
    pub(crate) fn clear() -> bool {
        LEFT.replace(None) == Some(0)
    }

    pub(crate) fn step() -> Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(Error::other("killed")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }

    /// A write, of which the last step before the end does a half.
    pub(crate) fn write(file: &mut File, bytes: &[u8]) -> Result<()> {
        if LEFT.get() == Some(1) {
            LEFT.set(Some(0));
            file.write_all(&bytes[..bytes.len() / 2])?;
        }
        step()
    }
}
