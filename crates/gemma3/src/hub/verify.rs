//! Whether a file in the cache is what the hub has: size, hash, and that it can be parsed.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::Path;

use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use super::{FetchProgress, FetchStep, Remote};
use crate::Error;
use crate::weights::Shard;

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
            Error::Header { .. } | Error::Length { .. } => Self::Damaged(error.to_string()),
            other => Self::Read(other),
        }
    }
}

type Progress<'a> = Option<&'a (dyn Fn(&FetchProgress) + Send + Sync)>;

/// Checks one file of a snapshot. Without the hub's listing, its SHA-256 is still known where the blob is named by it.
pub(super) fn check(
    path: &Path,
    remote: Option<&Remote>,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let blob = fs::canonicalize(path).map_err(Error::read(path))?;
    let size = fs::metadata(&blob).map_err(Error::read(&blob))?.len();
    if let Some(remote) = remote.filter(|remote| remote.size != size) {
        let reason =
            format!("it has {size} bytes and not {}{}", remote.size, looks_like_page(&blob));
        return Err(Failure::Damaged(reason));
    }
    let name = blob.file_name().and_then(|name| name.to_str()).filter(|name| is_sha256(name));
    let expected = remote.and_then(|remote| remote.sha256.as_deref()).or(name);
    if let Some(expected) = expected {
        let found = hash(path, size, progress)?;
        if !found.eq_ignore_ascii_case(expected) {
            return Err(Failure::Damaged(format!(
                "its SHA-256 is {found} and not {expected}{}",
                looks_like_page(&blob)
            )));
        }
    }
    parse(path, &blob)
}

/// Whether a text is a SHA-256 in hexadecimal, as the hub names large files.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Checks that a file of a known kind can be read as that kind.
fn parse(path: &Path, blob: &Path) -> Result<(), Failure> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Shard::open(path).map(drop).map_err(Failure::from),
        Some("json") => {
            let file = File::open(path).map_err(Error::read(path))?;
            let parsed = serde_json::from_reader::<_, IgnoredAny>(BufReader::new(file));
            parsed.map(drop).map_err(|e| {
                Failure::Damaged(format!("it is not JSON: {e}{}", looks_like_page(blob)))
            })
        }
        _ => Ok(()),
    }
}

/// SHA-256 of a file in hexadecimal.
fn hash(path: &Path, total: u64, progress: Progress<'_>) -> Result<String, Error> {
    let mut file = File::open(path).map_err(Error::read(path))?;
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut state = FetchProgress { file: file_name, step: FetchStep::Verify, done: 0, total };
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

/// A hint for the most common kind of damage.
fn looks_like_page(blob: &Path) -> &'static str {
    let mut start = [0; 64];
    let read = File::open(blob).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    if start[..read].trim_ascii_start().starts_with(b"<") {
        "; it looks like a web page"
    } else {
        ""
    }
}
