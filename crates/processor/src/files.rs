//! Bounded reading of checkpoint files.

use std::fmt::Display;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::Error;

/// Real `tokenizer.json` files of the family are 33 MB.
pub(crate) const TOKENIZER_LIMIT: u64 = 256 << 20;
/// Configurations and templates are a few kilobytes; `tokenizer_config.json` reaches 1.2 MB.
pub(crate) const CONFIG_LIMIT: u64 = 16 << 20;

/// The whole file, at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a full file from a longer one, whatever its metadata says.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::FileTooLarge { path: path.into(), limit });
    }
    Ok(bytes)
}

/// The whole file, or `None` where there is no such file.
pub(crate) fn read_if_present(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    match read(path, limit) {
        Err(Error::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// A parsed JSON file with the path it came from, for messages.
pub(crate) struct Document<T> {
    pub(crate) path: PathBuf,
    pub(crate) value: T,
}

impl<T: DeserializeOwned> Document<T> {
    pub(crate) fn read(path: PathBuf) -> Result<Self, Error> {
        let bytes = read(&path, CONFIG_LIMIT)?;
        Self::parse(path, &bytes)
    }

    pub(crate) fn read_if_present(path: PathBuf) -> Result<Option<Self>, Error> {
        read_if_present(&path, CONFIG_LIMIT)?.map(|bytes| Self::parse(path, &bytes)).transpose()
    }

    fn parse(path: PathBuf, bytes: &[u8]) -> Result<Self, Error> {
        match serde_json::from_slice(bytes) {
            Ok(value) => Ok(Self { path, value }),
            Err(source) => Err(Error::Json { path, source }),
        }
    }
}

impl<T> Document<T> {
    pub(crate) fn missing(&self, field: &str) -> Error {
        Error::MissingField { path: self.path.clone(), field: field.into() }
    }

    pub(crate) fn wrong(&self, field: &str, found: &dyn Display, expected: &str) -> Error {
        Error::Field {
            path: self.path.clone(),
            field: field.into(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }
}

/// The text of a file that must be UTF-8.
pub(crate) fn read_text_if_present(path: &Path) -> Result<Option<String>, Error> {
    let Some(bytes) = read_if_present(path, CONFIG_LIMIT)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|error| Error::Read {
        path: path.into(),
        source: std::io::Error::new(ErrorKind::InvalidData, error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused_and_one_at_it_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0; 10]).unwrap();
        assert_eq!(read(file.path(), 10).unwrap().len(), 10);
        assert!(matches!(read(file.path(), 9), Err(Error::FileTooLarge { limit: 9, .. })));
    }

    #[test]
    fn an_absent_file_is_none_and_a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_if_present(&folder.path().join("absent"), 1).unwrap().is_none());
        assert!(read_if_present(folder.path(), 1).is_err());
    }
}
