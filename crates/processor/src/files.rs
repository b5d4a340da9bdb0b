//! Bounded reading of checkpoint files.

use std::fmt::Display;
use std::fs::{File, FileType, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::Error;

/// How large and how deep a file may be; a JSON file is held to all three before it is parsed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    /// Values of a JSON file, those inside of others counted, too: each takes tens of bytes once parsed.
    pub(crate) values: usize,
    /// Arrays and objects inside each other.
    pub(crate) depth: usize,
}

/// Real `tokenizer.json` files of the family have 33 MB and 2 million values, 5 deep.
pub(crate) const TOKENIZER: Limits = Limits { bytes: 128 << 20, values: 12_000_000, depth: 32 };
/// Configurations are a few kilobytes; `tokenizer_config.json` reaches 1.2 MB and 52 000 values.
pub(crate) const CONFIG: Limits = Limits { bytes: 8 << 20, values: 500_000, depth: 32 };

/// The whole file, at most `limit` bytes. Anything but a regular file is an error, before it is read.
///
/// # Errors
/// [`Error::Read`], [`Error::NotAFile`] and [`Error::FileTooLarge`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.into(), source };
    let file = open(path).map_err(failed)?;
    // Asked of the open file: nobody can put another in its place between the question and the reading.
    let kind = file.metadata().map_err(failed)?.file_type();
    if !kind.is_file() {
        return Err(Error::NotAFile { path: path.into(), found: name_of(kind) });
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a full file from a longer one, whatever its metadata says.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::FileTooLarge { path: path.into(), limit });
    }
    Ok(bytes)
}

/// Opens for reading without waiting for the other end of a pipe.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.open(path)
}

fn name_of(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "no regular file" }
}

/// The whole file, or `None` where there is no such file.
pub(crate) fn read_if_present(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    match read(path, limit) {
        Err(Error::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Holds a JSON text to its limits without parsing it: counts what stands outside of strings.
pub(crate) fn check_shape(path: &Path, bytes: &[u8], limits: Limits) -> Result<(), Error> {
    let beyond = |what, limit| Error::JsonTooLarge { path: path.into(), what, limit };
    let (mut depth, mut values) = (0_usize, 1_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > limits.depth {
            return Err(beyond("levels of nesting", limits.depth));
        }
        if values > limits.values {
            return Err(beyond("values", limits.values));
        }
    }
    Ok(())
}

/// A parsed JSON file with the path it came from, for messages.
pub(crate) struct Document<T> {
    pub(crate) path: PathBuf,
    pub(crate) value: T,
}

impl<T: DeserializeOwned> Document<T> {
    pub(crate) fn read(path: PathBuf) -> Result<Self, Error> {
        let bytes = read(&path, CONFIG.bytes)?;
        Self::parse(path, &bytes)
    }

    pub(crate) fn read_if_present(path: PathBuf) -> Result<Option<Self>, Error> {
        read_if_present(&path, CONFIG.bytes)?.map(|bytes| Self::parse(path, &bytes)).transpose()
    }

    fn parse(path: PathBuf, bytes: &[u8]) -> Result<Self, Error> {
        check_shape(&path, bytes, CONFIG)?;
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
        Error::field(&self.path, field, &found.to_string(), expected)
    }
}

/// The text of a file that must be UTF-8.
pub(crate) fn read_text_if_present(path: &Path, limit: u64) -> Result<Option<String>, Error> {
    read_if_present(path, limit)?.map(|bytes| text(path, bytes)).transpose()
}

/// The same of a file that must be there.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    text(path, read(path, limit)?)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| Error::Read {
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
        let error = read_if_present(folder.path(), 1).unwrap_err();
        assert!(matches!(error, Error::NotAFile { found: "a folder", .. }), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pipes_devices_and_sockets_are_errors_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(read(&pipe, 1), Err(Error::NotAFile { found: "a pipe", .. })));
        let zero = Path::new("/dev/zero");
        assert!(matches!(read(zero, 1), Err(Error::NotAFile { found: "a device", .. })));
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(read(&socket, 1).is_err());
    }

    #[test]
    fn shapes_are_counted_outside_of_strings() {
        let limits = Limits { bytes: 1000, values: 5, depth: 2 };
        let check = |text: &str| check_shape(Path::new("a.json"), text.as_bytes(), limits);
        assert!(check(r#"{"a": [1, 2], "b]}[[[[[,,,,,,\\\"[[[[[[": 0}"#).is_ok());
        let deep = check("[[[1]]]").unwrap_err().to_string();
        assert!(deep.contains("a.json") && deep.contains("more than 2 levels"), "{deep}");
        let many = check("[1,2,3,4,5]").unwrap_err().to_string();
        assert!(many.contains("more than 5 values"), "{many}");
        assert!(check(r#"["\\",[[1]]]"#).is_err(), "an escaped backslash ends no string");
    }
}
