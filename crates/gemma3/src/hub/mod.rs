//! Checkpoints from the Hugging Face hub, by id and revision, into the cache that all Hugging Face programs share.
//!
//! Only the files that a Gemma3 needs are fetched: those of a checkpoint of transformers ([`fetch`]), GGUF files by name
//! ([`fetch_gguf`]), or those of an adapter of PEFT ([`fetch_adapter`]). A hub, a mirror or a proxy on the way is not trusted: what it says of names, hashes
//! and sizes is checked before anything is written, a body is held against its listed size while it comes, and a file gets its name
//! in the cache only when its size, its SHA-256 where the hub knows one (all large files) and its form have been verified. The token
//! goes to the hub's own address alone. Waiting has limits ([`Timeouts`]); what may pass is tried again.
//! Hashing many gigabytes at every start would be slow, so a file that passed is remembered by size and time of change (in
//! `.gemma3-tch` beside the snapshots) and checked again only if those differ.
//!
//! The environment counts as for other programs: `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, and `HF_HUB_OFFLINE` or
//! `TRANSFORMERS_OFFLINE`.

mod cache;
mod client;
mod download;
mod env;
mod listing;
mod patience;
mod verify;
mod wanted;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::adapter::CONFIG as ADAPTER_CONFIG;
use crate::weights::{INDEX, SINGLE, parse_index};
use crate::{Bytes, Error, files};
use cache::Cache;
use client::Client;
use download::{Download, Fetched};
use listing::{Listing, Remote};
use wanted::Wanted;

pub use patience::Timeouts;

/// Files that are fetched beside the weights, where a repository has them.
const SMALL: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    // Not to be used, but so that nobody passes over an adapter that lies beside a checkpoint.
    ADAPTER_CONFIG,
];

/// Files without which nothing works.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];

/// How to reach the hub. The default takes everything from the environment.
#[derive(Clone, Default)]
pub struct HubOptions {
    /// Access token; `None` takes that of the environment or of an earlier login.
    pub token: Option<String>,
    /// Cache folder; `None` takes that of the environment.
    pub cache: Option<PathBuf>,
    /// Address of the hub; `None` takes that of the environment or the public one.
    pub endpoint: Option<String>,
    /// Whether to make no request and use what the cache has; `None` asks the environment.
    pub offline: Option<bool>,
    /// Called often while files are downloaded and verified. It must not block.
    pub progress: Option<ProgressCallback>,
    /// Ends the work soon after it is set, with [`Error::HubCancelled`]. What came of a large file is kept, and the next call goes on.
    pub cancel: Option<Arc<AtomicBool>>,
    /// How long a server is waited for.
    pub timeouts: Timeouts,
}

/// Is told how far the work is, from any thread.
pub type ProgressCallback = Arc<dyn Fn(&FetchProgress) + Send + Sync>;

/// How far the work on one file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchProgress {
    /// Name of the file.
    pub file: String,
    /// What is being done.
    pub step: FetchStep,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What is being done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchStep {
    /// It is on its way.
    Download,
    /// Its hash is being computed.
    Verify,
}

/// Verified files in the cache: those of a checkpoint, or those that were named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The directory of the commit, which holds them.
    pub dir: PathBuf,
    /// The commit that it is.
    pub revision: String,
    /// Files that were verified in this call; the others had been, and have not changed since.
    pub verified: usize,
}

/// Whether a text can be the id of a model: `owner/name`.
pub fn is_model_id(text: &str) -> bool {
    let plain = |part: &str| {
        let legal = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        legal && part.bytes().any(|byte| byte.is_ascii_alphanumeric()) && !part.starts_with('.')
    };
    text.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name))
}

/// Brings a model into the cache, or finds it there, and verifies it. `revision` is a branch, tag or commit; `None` is `main`.
/// It blocks and has a runtime of its own: asynchronous code calls it from a thread for blocking work.
///
/// # Errors
/// [`Error::HubAccess`] where a licence must be accepted first, [`Error::HubDamaged`] where the hub sent something else than
/// the file, [`Error::HubAdapter`] where it is an adapter ([`fetch_adapter`]), [`Error::HubGguf`] where the model is there in GGUF files alone, [`Error::Offline`] where no request may be made and files
/// are missing, and those of the network and the disk.
pub fn fetch(id: &str, revision: Option<&str>, options: &HubOptions) -> Result<Snapshot, Error> {
    obtain(id, revision, &Wanted::Checkpoint, options)
}

/// Brings GGUF files of a repository into the cache, as [`fetch`] does with a checkpoint, and nothing else of it. A name is the path of a
/// file in the repository; below [`Snapshot::dir`] it is the same.
///
/// # Errors
/// Those of [`fetch`]; [`Error::HubFileName`] for a text that cannot be such a name, [`Error::HubGguf`] where there is no such file.
pub fn fetch_gguf(
    id: &str,
    revision: Option<&str>,
    names: &[&str],
    options: &HubOptions,
) -> Result<Snapshot, Error> {
    obtain(id, revision, &Wanted::gguf(names)?, options)
}

/// Brings an adapter of PEFT into the cache, as [`fetch`] does with a checkpoint: `adapter_config.json`, `adapter_model.safetensors`, and
/// nothing else of its repository.
///
/// # Errors
/// Those of [`fetch`].
pub fn fetch_adapter(
    id: &str,
    revision: Option<&str>,
    options: &HubOptions,
) -> Result<Snapshot, Error> {
    obtain(id, revision, &Wanted::adapter(), options)
}

fn obtain(
    id: &str,
    revision: Option<&str>,
    wanted: &Wanted,
    options: &HubOptions,
) -> Result<Snapshot, Error> {
    if !is_model_id(id) {
        return Err(Error::HubId { found: id.to_owned() });
    }
    let revision = revision.unwrap_or("main");
    if !is_revision(revision) {
        return Err(Error::HubRevision { found: revision.to_owned() });
    }
    let client = Client::open(id, options)?;
    let cache = Cache::new(client.cache(), id);
    let job = Job { id, cache, wanted, options, commit: String::new(), verified: 0 };
    let offline = options.offline.unwrap_or_else(env::is_offline);
    // A commit never changes: once it is complete there is nothing to ask.
    if offline || job.is_pinned_and_complete(revision) {
        job.find(revision)
    } else {
        job.fetch(&client, revision)
    }
}

/// The SHA-256 of a file in the cache, where it is known without reading the file: it was verified when it was fetched or found, and has
/// not changed since.
pub fn verified_sha256(path: &Path) -> Option<String> {
    cache::verified_sha256(path)
}

/// The work on one snapshot.
struct Job<'a> {
    id: &'a str,
    cache: Cache,
    wanted: &'a Wanted,
    options: &'a HubOptions,
    commit: String,
    verified: usize,
}

impl Job<'_> {
    fn fetch(mut self, client: &Client<'_>, revision: &str) -> Result<Snapshot, Error> {
        self.commit = listing::commit(client, self.id, revision)?;
        match self.wanted {
            Wanted::Checkpoint => self.fetch_checkpoint(client, revision),
            Wanted::Named(names) => self.fetch_named(client, revision, names),
        }
    }

    fn fetch_named(
        mut self,
        client: &Client<'_>,
        revision: &str,
        names: &[String],
    ) -> Result<Snapshot, Error> {
        let listing = listing::of_names(client, self.id, &self.commit, names)?;
        if let Some(name) = names.iter().find(|&name| !listing.contains_key(name)) {
            return Err(self.without(client, name));
        }
        self.check_space(client, names, &listing)?;
        for name in names {
            self.obtain(client, name, &listing)?;
        }
        self.cache.point(revision, &self.commit)?;
        Ok(self.snapshot())
    }

    /// The hub does not have a file: where it has GGUF files one of them may be meant.
    fn without(&self, client: &Client<'_>, name: &str) -> Error {
        let asked = match self.wanted {
            Wanted::Named(_) if !wanted::is_gguf_name(name) => return client.lacks(name),
            Wanted::Named(_) => Some(name.to_owned()),
            Wanted::Checkpoint => None,
        };
        match listing::gguf_names(client, self.id, &self.commit) {
            Ok(files) if !files.is_empty() => {
                Error::HubGguf { id: self.id.to_owned(), asked, files }
            }
            _ => client.lacks(name),
        }
    }

    fn fetch_checkpoint(mut self, client: &Client<'_>, revision: &str) -> Result<Snapshot, Error> {
        let listing = listing::list(client, self.id, &self.commit)?;
        let mut names: Vec<String> = SMALL
            .iter()
            .filter(|&&name| listing.contains_key(name))
            .map(ToString::to_string)
            .collect();
        // Some repositories have the configuration beside GGUF files.
        if ![SINGLE, INDEX].iter().any(|&name| listing.contains_key(name)) {
            if listing.contains_key(ADAPTER_CONFIG) {
                return Err(Error::HubAdapter { id: self.id.to_owned() });
            }
            return Err(self.without(client, "model.safetensors and model.safetensors.index.json"));
        }
        if let Some(name) = REQUIRED.iter().find(|&&name| !listing.contains_key(name)) {
            return Err(client.lacks(name));
        }
        for name in &names {
            self.obtain(client, name, &listing)?;
        }
        let weights = self.weights(client, &listing)?;
        self.check_space(client, &weights, &listing)?;
        for name in &weights {
            self.obtain(client, name, &listing)?;
        }
        names.extend(weights);
        self.cache.complete(revision, &self.commit, &names)?;
        Ok(self.snapshot())
    }

    /// Names of the weight files; the index, where there is one, is obtained.
    fn weights(&mut self, client: &Client<'_>, listing: &Listing) -> Result<Vec<String>, Error> {
        if listing.contains_key(SINGLE) {
            return Ok(vec![SINGLE.to_owned()]);
        }
        self.obtain(client, INDEX, listing)?;
        let path = self.cache.file(&self.commit, INDEX);
        let shards = parse_index(&files::read_json(&path)?, &path)?.into_keys();
        Ok(std::iter::once(INDEX.to_owned()).chain(shards).collect())
    }

    /// Checks that the disk has room for the weight files that are not there yet.
    fn check_space(
        &self,
        client: &Client<'_>,
        names: &[String],
        listing: &Listing,
    ) -> Result<(), Error> {
        let mut needed: u64 = 0;
        for name in names {
            let remote = listing.get(name).ok_or_else(|| client.lacks(name))?;
            let blob = self.cache.blob(&remote.blob);
            let partial = std::fs::metadata(blob.with_extension("incomplete"));
            let there = if blob.exists() { remote.size } else { partial.map_or(0, |m| m.len()) };
            needed = needed.saturating_add(remote.size.saturating_sub(there));
        }
        match cache::free_space(client.cache()) {
            Some(free) if free < needed => Err(client.failed(format!(
                "its weights take {} more and the disk of {} has {}; free some, or put the cache elsewhere (HF_HOME)",
                Bytes(needed),
                client.cache().display(),
                Bytes(free)
            ))),
            _ => Ok(()),
        }
    }

    /// Downloads a file unless it is there, and verifies it unless it was.
    fn obtain(&mut self, client: &Client<'_>, name: &str, listing: &Listing) -> Result<(), Error> {
        let remote = listing.get(name).ok_or_else(|| client.lacks(name))?;
        let (cache, options, id, commit) = (&self.cache, self.options, self.id, &self.commit);
        let path = cache.file(commit, name);
        if !path.exists() {
            let download = Download { client, cache, options, id, commit, name, remote };
            if matches!(download.run()?, Fetched::Verified) {
                self.verified += 1;
                return self.cache.mark_verified(&path);
            }
        }
        self.verify(name, Some(remote))
    }

    fn verify(&mut self, name: &str, remote: Option<&Remote>) -> Result<(), Error> {
        let path = self.cache.file(&self.commit, name);
        if self.cache.is_verified(&path) {
            return Ok(());
        }
        let expected =
            remote.and_then(|remote| remote.sha256.clone()).or_else(|| verify::hash_by_name(&path));
        let subject = verify::Subject { name, path: &path, expected: expected.as_deref() };
        let (listed, progress) =
            (remote.map(|remote| remote.size), self.options.progress.as_deref());
        verify::check(&subject, listed, progress).map_err(|failure| match failure {
            verify::Failure::Read(error) => error,
            verify::Failure::Damaged(reason) => match self.cache.remove(&path) {
                Ok(()) => Error::HubDamaged { name: name.to_owned(), reason },
                Err(error) => error,
            },
        })?;
        self.verified += 1;
        self.cache.mark_verified(&path)
    }

    /// Takes a snapshot from the cache without asking the hub.
    fn find(mut self, revision: &str) -> Result<Snapshot, Error> {
        let id = self.id.to_owned();
        let offline = |missing: Vec<String>| Error::Offline {
            id: id.clone(),
            revision: revision.to_owned(),
            missing,
        };
        self.commit =
            self.cache.commit(revision).ok_or_else(|| offline(vec!["everything".to_owned()]))?;
        let names = match (self.wanted, self.cache.manifest(&self.commit)) {
            (Wanted::Named(names), _) => names.clone(),
            (Wanted::Checkpoint, Some(names)) => names,
            (Wanted::Checkpoint, None) => self.guess_names()?,
        };
        let missing: Vec<String> = names
            .iter()
            .filter(|name| !self.cache.file(&self.commit, name).exists())
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(offline(missing));
        }
        for name in &names {
            self.verify(name, None)?;
        }
        Ok(self.snapshot())
    }

    /// The files that a snapshot made by another program must have: the required ones, the small ones that are there, the weights.
    fn guess_names(&self) -> Result<Vec<String>, Error> {
        let there = |name: &str| self.cache.file(&self.commit, name).exists();
        let small = SMALL.iter().filter(|&&name| REQUIRED.contains(&name) || there(name));
        let mut names: Vec<String> = small.map(ToString::to_string).collect();
        if there(INDEX) && !there(SINGLE) {
            let path = self.cache.file(&self.commit, INDEX);
            names.push(INDEX.to_owned());
            names.extend(parse_index(&files::read_json(&path)?, &path)?.into_keys());
        } else {
            names.push(SINGLE.to_owned());
        }
        Ok(names)
    }

    /// Whether the revision is a commit whose files were all fetched and are still there.
    fn is_pinned_and_complete(&self, revision: &str) -> bool {
        let there = |name: &String| self.cache.file(revision, name).exists();
        let is_complete = || match self.wanted {
            Wanted::Named(names) => names.iter().all(there),
            Wanted::Checkpoint => {
                self.cache.manifest(revision).is_some_and(|names| names.iter().all(there))
            }
        };
        cache::is_commit(revision) && is_complete()
    }

    fn snapshot(self) -> Snapshot {
        Snapshot {
            dir: self.cache.snapshot(&self.commit),
            revision: self.commit,
            verified: self.verified,
        }
    }
}

/// Whether a text can be a branch, tag or commit, and a path below `refs`.
fn is_revision(text: &str) -> bool {
    let legal = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
    };
    text.len() <= 200 && text.split('/').all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_revisions_stay_inside_the_cache() {
        for id in ["google/medgemma-1.5-4b-it", "a/b", "o-o/n_n.n"] {
            assert!(is_model_id(id), "{id}");
        }
        for id in [
            "", "a", "a/", "/b", "../b", "a/..", "a/.b", "a/b/c", "a b/c", "a/b\\c", "a/b?x", "-/-",
        ] {
            assert!(!is_model_id(id), "{id}");
        }
        for revision in ["main", "v1.0", "refs/pr/3", "91850547d9f0b2fdd21aa7c5f4f3d1a8a52c243b"] {
            assert!(is_revision(revision), "{revision}");
        }
        for revision in ["", "..", "a/../b", "/a", "a/", "a b", "a\\b", "a%2e"] {
            assert!(!is_revision(revision), "{revision}");
        }
    }
}
