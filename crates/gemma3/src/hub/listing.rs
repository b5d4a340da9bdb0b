//! What the hub says of a model: its commit and its files. Names, hashes and sizes are checked here, before any of them means
//! anything.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::Client;
use super::{REQUIRED, SMALL, cache};
use crate::Error;
use crate::shown::{line, quoted};
use crate::weights::{INDEX, SINGLE};

/// Bytes of one answer of the hub's API: far above a page of a listing with a thousand files.
const ANSWER_LIMIT: u64 = 8 << 20;
/// Pages of a listing, and files in all: a checkpoint has a few dozen.
const MOST_PAGES: usize = 100;
const MOST_FILES: usize = 20_000;
/// Bytes of `tokenizer.json` (33 MB in this family), of the other small files, and of one file of weights.
const TOKENIZER_LIMIT: u64 = 128 << 20;
const SMALL_LIMIT: u64 = 8 << 20;
const WEIGHTS_LIMIT: u64 = 1 << 40;

/// A file as the hub lists it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) size: u64,
    /// Its name among the blobs of the cache: the SHA-256 of a large file, git's id of a small one, in hexadecimal.
    pub(super) blob: String,
    pub(super) sha256: Option<String>,
}

pub(super) type Listing = BTreeMap<String, Remote>;

/// The commit that a revision is at.
pub(super) fn commit(client: &Client<'_>, id: &str, revision: &str) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Info {
        sha: Option<String>,
    }
    let revision_segment = revision.replace('/', "%2F").replace('+', "%2B");
    let address = client.address(&format!("api/models/{id}/revision/{revision_segment}"));
    let (body, _) = client.text(&address, ANSWER_LIMIT)?;
    let info: Info = parse(client, &body)?;
    let commit = info.sha.filter(|commit| cache::is_commit(commit));
    commit.ok_or_else(|| client.failed(format!("it names no commit for revision {revision:?}")))
}

/// The files of a commit that could be wanted.
pub(super) fn list(client: &Client<'_>, id: &str, commit: &str) -> Result<Listing, Error> {
    let (mut listing, mut seen) = (Listing::new(), 0);
    let mut next = Some(client.address(&format!("api/models/{id}/tree/{commit}")));
    for _ in 0..MOST_PAGES {
        let Some(address) = next else { return Ok(listing) };
        let (body, following) = client.text(&address, ANSWER_LIMIT)?;
        let entries: Vec<Entry> = parse(client, &body)?;
        seen += entries.len();
        if seen > MOST_FILES {
            return Err(client.failed(format!("it lists more than {MOST_FILES} files")));
        }
        for entry in entries.into_iter().filter(Entry::is_wanted) {
            let (path, remote) = entry.checked().map_err(|reason| client.failed(reason))?;
            listing.insert(path, remote);
        }
        next = following;
    }
    Err(client.failed(format!("its listing has more than {MOST_PAGES} pages")))
}

fn parse<T: serde::de::DeserializeOwned>(client: &Client<'_>, body: &[u8]) -> Result<T, Error> {
    // serde_json refuses deep nesting where it builds something, and passes over the rest without recursion.
    serde_json::from_slice(body).map_err(|e| {
        client.failed(format!("its answer is not what it should be: {}", line(&e.to_string())))
    })
}

/// A file or folder in a listing.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    oid: Option<String>,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

/// What is said of a large file, whose `oid` is that of a small file that stands for it in git.
#[derive(Deserialize)]
struct Lfs {
    oid: Option<String>,
    sha256: Option<String>,
    size: Option<u64>,
}

impl Entry {
    /// Whether it is a file that a checkpoint can need.
    fn is_wanted(&self) -> bool {
        let name = self.path.as_str();
        self.kind == "file" && (limit(name).is_some())
    }

    fn checked(self) -> Result<(String, Remote), String> {
        let name = quoted(&self.path);
        let size = self.lfs.as_ref().and_then(|lfs| lfs.size).or(self.size);
        let size = size.ok_or_else(|| format!("it gives no size for {name}"))?;
        let most = limit(&self.path).unwrap_or(0);
        if size > most {
            return Err(format!(
                "it lists {name} with {size} bytes, more than the {most} that a real one can have"
            ));
        }
        let sha256 = self.lfs.and_then(|lfs| lfs.oid.or(lfs.sha256));
        let (blob, digits) = match &sha256 {
            Some(sha256) => (sha256.clone(), 64),
            None => (self.oid.unwrap_or_default(), 40),
        };
        if blob.len() != digits
            || !blob.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(format!(
                "it lists {name} with the hash {}, which is not one",
                quoted(&blob)
            ));
        }
        Ok((self.path, Remote { size, blob, sha256 }))
    }
}

/// The most bytes that a file of this name can have; `None` for a name that no wanted file has.
fn limit(name: &str) -> Option<u64> {
    match name {
        "tokenizer.json" => Some(TOKENIZER_LIMIT),
        INDEX => Some(SMALL_LIMIT),
        SINGLE => Some(WEIGHTS_LIMIT),
        _ if SMALL.contains(&name) || REQUIRED.contains(&name) => Some(SMALL_LIMIT),
        _ if cache::is_file_name(name) && name.ends_with(".safetensors") => Some(WEIGHTS_LIMIT),
        _ => None,
    }
}
