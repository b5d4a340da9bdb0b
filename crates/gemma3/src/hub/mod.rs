//! Checkpoints from the Hugging Face hub, by id and revision, into the cache that all Hugging Face programs share.
//!
//! Only the files that a Gemma3 needs are fetched. What arrives is verified, because the client stores whatever body it gets as the
//! file: its size against the hub's listing, its SHA-256 where the hub knows one (all large files), and that it can be parsed.
//! What fails is removed from the cache. Hashing many gigabytes at every start would be slow, so a file that passed is remembered
//! by size and time of change (in `.gemma3-tch` beside the snapshots) and checked again only if those differ.
//!
//! The environment counts as for other programs: `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, and `HF_HUB_OFFLINE` or
//! `TRANSFORMERS_OFFLINE`.

mod cache;
mod client;
mod verify;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::weights::{INDEX, SINGLE, parse_index};
use crate::{Error, files};
use cache::Cache;
use client::Hub;

/// Files that are fetched beside the weights, where a repository has them.
const SMALL: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
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

/// A complete, verified checkpoint in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The checkpoint directory.
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
///
/// # Errors
/// [`Error::HubAccess`] where a licence must be accepted first, [`Error::HubDamaged`] where the hub sent something else than
/// the file, [`Error::Offline`] where no request may be made and files are missing, and those of the network and the disk.
pub fn fetch(id: &str, revision: Option<&str>, options: &HubOptions) -> Result<Snapshot, Error> {
    if !is_model_id(id) {
        return Err(Error::HubId { found: id.to_owned() });
    }
    let revision = revision.unwrap_or("main");
    if !is_revision(revision) {
        return Err(Error::HubRevision { found: revision.to_owned() });
    }
    let hub = Hub::open(id, options)?;
    let cache = Cache::new(hub.cache(), id);
    let job = Job { cache, options, commit: String::new(), verified: 0 };
    let offline = options.offline.unwrap_or_else(|| offline_by(|name| std::env::var(name).ok()));
    // A commit never changes: once it is complete there is nothing to ask.
    if offline || job.is_pinned_and_complete(revision) {
        job.find(id, revision)
    } else {
        job.fetch(&hub, revision)
    }
}

/// A file as the hub lists it.
struct Remote {
    size: u64,
    sha256: Option<String>,
}

type Listing = BTreeMap<String, Remote>;

/// The work on one snapshot.
struct Job<'a> {
    cache: Cache,
    options: &'a HubOptions,
    commit: String,
    verified: usize,
}

impl Job<'_> {
    fn fetch(mut self, hub: &Hub, revision: &str) -> Result<Snapshot, Error> {
        self.commit = hub.commit(revision)?;
        let listing = hub.list(&self.commit)?;
        let mut names: Vec<String> = SMALL
            .iter()
            .filter(|&&name| listing.contains_key(name))
            .map(ToString::to_string)
            .collect();
        if let Some(name) = REQUIRED.iter().find(|&&name| !listing.contains_key(name)) {
            return Err(hub.lacks(name));
        }
        for name in &names {
            self.obtain(hub, name, &listing)?;
        }
        let weights = self.weights(hub, &listing)?;
        for name in &weights {
            self.obtain(hub, name, &listing)?;
        }
        names.extend(weights);
        self.cache.complete(revision, &self.commit, &names)?;
        Ok(self.snapshot())
    }

    /// Names of the weight files; the index, where there is one, is obtained.
    fn weights(&mut self, hub: &Hub, listing: &Listing) -> Result<Vec<String>, Error> {
        if listing.contains_key(SINGLE) {
            return Ok(vec![SINGLE.to_owned()]);
        }
        if !listing.contains_key(INDEX) {
            return Err(hub.lacks("model.safetensors and model.safetensors.index.json"));
        }
        self.obtain(hub, INDEX, listing)?;
        let path = self.cache.file(&self.commit, INDEX);
        let shards = parse_index(&files::read_json(&path)?, &path)?.into_keys();
        Ok(std::iter::once(INDEX.to_owned()).chain(shards).collect())
    }

    /// Downloads a file unless it is there, and verifies it unless it was.
    fn obtain(&mut self, hub: &Hub, name: &str, listing: &Listing) -> Result<(), Error> {
        let remote = listing.get(name).ok_or_else(|| hub.lacks(name))?;
        let path = self.cache.file(&self.commit, name);
        if !path.exists() {
            let stored = hub.download(name, &self.commit, self.options)?;
            if stored != path {
                return Err(
                    hub.failed(format!("it answered for another commit than {}", self.commit))
                );
            }
        }
        self.verify(name, Some(remote))
    }

    fn verify(&mut self, name: &str, remote: Option<&Remote>) -> Result<(), Error> {
        let path = self.cache.file(&self.commit, name);
        if self.cache.is_verified(&path) {
            return Ok(());
        }
        verify::check(&path, remote, self.options.progress.as_deref()).map_err(|failure| {
            match failure {
                verify::Failure::Read(error) => error,
                verify::Failure::Damaged(reason) => match self.cache.remove(&path) {
                    Ok(()) => Error::HubDamaged { name: name.to_owned(), reason },
                    Err(error) => error,
                },
            }
        })?;
        self.verified += 1;
        self.cache.mark_verified(&path)
    }

    /// Takes a snapshot from the cache without asking the hub.
    fn find(mut self, id: &str, revision: &str) -> Result<Snapshot, Error> {
        let offline = |missing: Vec<String>| Error::Offline {
            id: id.to_owned(),
            revision: revision.to_owned(),
            missing,
        };
        self.commit =
            self.cache.commit(revision).ok_or_else(|| offline(vec!["everything".to_owned()]))?;
        let names = match self.cache.manifest(&self.commit) {
            Some(names) => names,
            None => self.guess_names()?,
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
        cache::is_commit(revision)
            && self.cache.manifest(revision).is_some_and(|names| names.iter().all(there))
    }

    fn snapshot(self) -> Snapshot {
        Snapshot {
            dir: self.cache.snapshot(&self.commit),
            revision: self.commit,
            verified: self.verified,
        }
    }
}

/// Whether the environment forbids requests, as `huggingface_hub` and `transformers` read it.
fn offline_by(variable: impl Fn(&str) -> Option<String>) -> bool {
    let on =
        |value: String| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str());
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().filter_map(variable).any(on)
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

    #[test]
    fn the_environment_can_forbid_requests() {
        let with = |name: &'static str, value: &'static str| {
            offline_by(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(
            with("HF_HUB_OFFLINE", "1")
                && with("TRANSFORMERS_OFFLINE", "True")
                && with("HF_HUB_OFFLINE", "yes")
        );
        assert!(!with("HF_HUB_OFFLINE", "0") && !with("HF_HUB_OFFLINE", "") && !with("OTHER", "1"));
    }
}
