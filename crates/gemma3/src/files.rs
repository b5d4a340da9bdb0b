//! Reading the small files of a checkpoint directory, within limits.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use serde_json::Value;

use crate::Error;

/// Far above the largest metadata file seen: the index of a 27B checkpoint has about 0.2 MB.
const LIMIT: u64 = 16 << 20;

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

/// The bytes of a file of bounded size.
fn read_limited(path: &Path) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::MissingFile { path: path.to_owned() },
        _ => Error::read(path)(e),
    })?;
    let found = file.metadata().map_err(Error::read(path))?.len();
    if LIMIT < found {
        return Err(Error::TooLarge { path: path.to_owned(), limit: LIMIT, found });
    }
    let mut bytes = Vec::new();
    // The limit again: a device or a pipe has no length.
    file.take(LIMIT).read_to_end(&mut bytes).map_err(Error::read(path))?;
    Ok(bytes)
}
