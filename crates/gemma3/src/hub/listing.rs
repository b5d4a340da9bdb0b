//! What the hub says of a model: its commit and its files. Names, hashes and sizes are checked here, before any of them means
//! anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::client::Client;
use super::wanted::{folder, is_gguf_name};
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

/// The files of a commit that a checkpoint could want.
pub(super) fn list(client: &Client<'_>, id: &str, commit: &str) -> Result<Listing, Error> {
    let mut listing = Listing::new();
    let address = client.address(&format!("api/models/{id}/tree/{commit}"));
    let mut seen = 0;
    pages(client, address, &mut seen, &mut |entry| match limit(&entry.path) {
        Some(most) if entry.is_file() => entry.add(most, client, &mut listing),
        _ => Ok(()),
    })?;
    Ok(listing)
}

/// The files of a commit that have these names, where it has them.
pub(super) fn of_names(
    client: &Client<'_>,
    id: &str,
    commit: &str,
    names: &[String],
) -> Result<Listing, Error> {
    let mut listing = Listing::new();
    let folders: BTreeSet<&str> = names.iter().map(|name| folder(name)).collect();
    let mut seen = 0;
    for folder in folders {
        let below = if folder.is_empty() { String::new() } else { format!("/{folder}") };
        let address = client.address(&format!("api/models/{id}/tree/{commit}{below}"));
        pages(client, address, &mut seen, &mut |entry| {
            let is_wanted = entry.is_file() && names.contains(&entry.path);
            let most = most_of_named(&entry.path);
            if is_wanted { entry.add(most, client, &mut listing) } else { Ok(()) }
        })?;
    }
    Ok(listing)
}

/// Names of GGUF files of a commit, in whatever folder.
pub(super) fn gguf_names(
    client: &Client<'_>,
    id: &str,
    commit: &str,
) -> Result<Vec<String>, Error> {
    let mut names = BTreeSet::new();
    let address = client.address(&format!("api/models/{id}/tree/{commit}?recursive=true"));
    let mut seen = 0;
    pages(client, address, &mut seen, &mut |entry| {
        if entry.is_file() && is_gguf_name(&entry.path) {
            names.insert(entry.path);
        }
        Ok(())
    })?;
    Ok(names.into_iter().collect())
}

/// Shows the entries of a listing, page by page; `seen` counts those of all listings of one commit.
fn pages(
    client: &Client<'_>,
    first: String,
    seen: &mut usize,
    see: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut next = Some(first);
    for _ in 0..MOST_PAGES {
        let Some(address) = next else { return Ok(()) };
        let (body, following) = client.text(&address, ANSWER_LIMIT)?;
        let entries: Vec<Entry> = parse(client, &body)?;
        *seen += entries.len();
        if *seen > MOST_FILES {
            return Err(client.failed(format!("it lists more than {MOST_FILES} files")));
        }
        entries.into_iter().try_for_each(&mut *see)?;
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
    fn is_file(&self) -> bool {
        self.kind == "file"
    }

    /// Checks what is said of a wanted file, which can have so many bytes, and takes it in.
    fn add(self, most: u64, client: &Client<'_>, listing: &mut Listing) -> Result<(), Error> {
        let (path, remote) = self.checked(most).map_err(|reason| client.failed(reason))?;
        listing.insert(path, remote);
        Ok(())
    }

    fn checked(self, most: u64) -> Result<(String, Remote), String> {
        let name = quoted(&self.path);
        let size = self.lfs.as_ref().and_then(|lfs| lfs.size).or(self.size);
        let size = size.ok_or_else(|| format!("it gives no size for {name}"))?;
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

/// The most bytes that a file can have which was named.
fn most_of_named(name: &str) -> u64 {
    let is_json = Path::new(name).extension().is_some_and(|extension| extension == "json");
    if is_json { SMALL_LIMIT } else { WEIGHTS_LIMIT }
}

/// The most bytes that a file of a checkpoint with this name can have; `None` for a name that none has.
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
