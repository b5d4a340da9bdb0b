//! Reading the small files of a checkpoint directory, within limits.

use std::fs::{self, File, FileType};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use serde_json::Value;

use crate::Error;

/// Far above the largest metadata file seen: the index of a 27B checkpoint has about 0.2 MB. Once parsed, a file can take some thirty
/// times its size; deeper nesting than 128 levels is refused by `serde_json`.
pub(crate) const LIMIT: u64 = 4 << 20;

/// Checks that `dir` is a directory that can be read.
pub(crate) fn check_directory(dir: &Path) -> Result<(), Error> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => fs::read_dir(dir).map(drop).map_err(Error::read(dir)),
        Ok(_) => Err(Error::NotADirectory { path: dir.to_owned() }),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Error::MissingDirectory { path: dir.to_owned() })
        }
        Err(e) => Err(Error::read(dir)(e)),
    }
}

/// The JSON in a file that must exist.
pub(crate) fn read_json(path: &Path) -> Result<Value, Error> {
    let bytes = read_limited(path)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// The JSON in a file that may be absent.
pub(crate) fn read_json_if_present(path: &Path) -> Result<Option<Value>, Error> {
    match read_json(path) {
        Err(Error::MissingFile { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Opens a file that must exist. A folder, pipe, socket or device in its place is refused: some of them never end, others are waited
/// for until somebody writes.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    let fail = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => Error::MissingFile { path: path.to_owned() },
        _ => Error::read(path)(e),
    };
    let found = fs::metadata(path).map_err(fail)?.file_type();
    if !found.is_file() {
        return Err(Error::NotAFile { path: path.to_owned(), found: kind_of(found) });
    }
    File::open(path).map_err(fail)
}

/// Names a file type other than a regular file, for messages.
fn kind_of(found: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if found.is_fifo() {
            return "a named pipe";
        } else if found.is_socket() {
            return "a socket";
        } else if found.is_char_device() || found.is_block_device() {
            return "a device";
        }
    }
    if found.is_dir() { "a folder" } else { "something else" }
}

/// The bytes of a file of bounded size.
fn read_limited(path: &Path) -> Result<Vec<u8>, Error> {
    let file = open(path)?;
    let found = file.metadata().map_err(Error::read(path))?.len();
    if LIMIT < found {
        return Err(Error::TooLarge { path: path.to_owned(), limit: LIMIT, found });
    }
    let mut bytes = Vec::new();
    // The limit again: some files of the system have no length, and any may grow.
    file.take(LIMIT).read_to_end(&mut bytes).map_err(Error::read(path))?;
    Ok(bytes)
}
