//! Whether a file in the cache is what the hub has: size, hash, and that it can be parsed.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::Path;

use quantised_weights::Gguf;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use super::{FetchProgress, FetchStep};
use crate::weights::Shard;
use crate::{Error, files};

/// Why a file did not pass.
pub(super) enum Failure {
    /// It is not the hub's file.
    Damaged(String),
    /// It could not be read.
    Read(Error),
}

impl From<Error> for Failure {
    /// A header that is wrong is damage; everything else is a failure to read.
    fn from(error: Error) -> Self {
        match error {
            Error::Header { .. } | Error::Length { .. } | Error::Gguf(_) => {
                Self::Damaged(error.to_string())
            }
            other => Self::Read(other),
        }
    }
}

type Progress<'a> = Option<&'a (dyn Fn(&FetchProgress) + Send + Sync)>;

/// What is checked.
pub(super) struct Subject<'a> {
    /// Its name in the checkpoint, which says what kind of file it is.
    pub(super) name: &'a str,
    /// Where it is now.
    pub(super) path: &'a Path,
    /// Its SHA-256, where that is known.
    pub(super) expected: Option<&'a str>,
}

/// Checks one file, whose size is known while the hub's listing is.
pub(super) fn check(
    subject: &Subject<'_>,
    listed: Option<u64>,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let path = subject.path;
    let size = files::open(path)?.metadata().map_err(Error::read(path))?.len();
    if let Some(listed) = listed.filter(|&listed| listed != size) {
        let reason = format!("it has {size} bytes and not {listed}{}", hint_of(path));
        return Err(Failure::Damaged(reason));
    }
    if let Some(expected) = subject.expected {
        let found = hash(subject, size, progress)?;
        if !found.eq_ignore_ascii_case(expected) {
            return Err(Failure::Damaged(format!(
                "its SHA-256 is {found} and not {expected}{}",
                hint_of(path)
            )));
        }
    }
    parse(subject)
}

/// The SHA-256 of a file of the cache that its blob is named by, if it is.
pub(super) fn hash_by_name(path: &Path) -> Option<String> {
    let blob = fs::canonicalize(path).ok()?;
    blob.file_name()?.to_str().filter(|name| is_sha256(name)).map(str::to_owned)
}

/// Whether a text is a SHA-256 in hexadecimal, as the hub names large files.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Checks that a file of a known kind can be read as that kind.
fn parse(subject: &Subject<'_>) -> Result<(), Failure> {
    let path = subject.path;
    match Path::new(subject.name).extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Shard::open(path).map(drop).map_err(Failure::from),
        Some(extension) if extension.eq_ignore_ascii_case("gguf") => {
            match Gguf::read(path, files::open(path)?) {
                // The hub's file, all the same: whoever loads it says what is not read.
                Ok(_) | Err(quantised_weights::Error::Type { .. }) => Ok(()),
                Err(quantised_weights::Error::Read { path, source }) => {
                    Err(Failure::Read(Error::Read { path, source }))
                }
                Err(error) => Err(Failure::from(Error::from(error))),
            }
        }
        Some("json") => {
            let file = files::open(path)?;
            // Nothing is built, and nesting is passed over without recursion.
            let parsed = serde_json::from_reader::<_, IgnoredAny>(BufReader::new(file));
            parsed
                .map(drop)
                .map_err(|e| Failure::Damaged(format!("it is not JSON: {e}{}", hint_of(path))))
        }
        _ => Ok(()),
    }
}

/// SHA-256 of a file in hexadecimal.
fn hash(subject: &Subject<'_>, total: u64, progress: Progress<'_>) -> Result<String, Error> {
    let path = subject.path;
    let mut file = files::open(path)?;
    let name = subject.name.to_owned();
    let mut state = FetchProgress { file: name, step: FetchStep::Verify, done: 0, total };
    let (mut hasher, mut block) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut block).map_err(Error::read(path))?;
        if read == 0 {
            break;
        }
        hasher.update(&block[..read]);
        state.done += read as u64;
        if let Some(progress) = progress {
            progress(&state);
        }
    }
    Ok(hexadecimal(&hasher.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).expect("four bits");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A hint for the most common kind of damage, from the beginning of a body.
pub(super) fn hint(start: &[u8]) -> &'static str {
    if start.trim_ascii_start().starts_with(b"<") { "; it looks like a web page" } else { "" }
}

fn hint_of(path: &Path) -> &'static str {
    let mut start = [0; 64];
    let read = File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    hint(&start[..read])
}
