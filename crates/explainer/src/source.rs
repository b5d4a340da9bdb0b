//! Where a checkpoint comes from.

use crate::adapter::OpenAdapter;
use crate::error::Cause;
use crate::{AdapterSource, AppliedAdapter, Error, Inspection, LoadOptions, Shipped};
use gemma3_processor::{FOREIGN_PREFIX, ForeignFile};
#[cfg(feature = "hub")]
use gemma3_tch::hub;
use gemma3_tch::{Checkpoint, CheckpointPlace};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A checkpoint directory, a model on the Hugging Face hub, or a checkpoint that comes with the library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// A directory as a hub snapshot has it or one with GGUF files, or a GGUF file.
    Directory(PathBuf),
    /// A model of the hub; needs the feature `hub`.
    Hub {
        /// `owner/name`.
        id: String,
        /// Branch, tag or commit; `None`: `main`.
        revision: Option<String>,
        /// Use only what the cache holds.
        offline: bool,
        /// The GGUF file of the repository that is the model; `None`: a checkpoint of transformers.
        file: Option<String>,
    },
    /// A checkpoint of the library's own; needs the feature `phantom`.
    Shipped(Shipped),
}

impl ModelSource {
    /// The name of a [`Shipped`] checkpoint (a directory of that name is `./phantom`); a directory where there is one of that name or
    /// the text is a path by its looks; else `owner/name` on the hub.
    pub fn parse(text: &str, revision: Option<&str>, offline: bool) -> Self {
        if let Some(shipped) = Shipped::ALL.into_iter().find(|shipped| shipped.name() == text) {
            return Self::Shipped(shipped);
        }
        let path = Path::new(text);
        if path.exists() || text.starts_with(['.', '/', '~']) || text.split('/').count() != 2 {
            return Self::Directory(path.to_owned());
        }
        let (id, revision) = (text.to_owned(), revision.map(str::to_owned));
        Self::Hub { id, revision, offline, file: None }
    }

    /// What the checkpoint is, from its headers alone, and where and in which type `options` would load it.
    pub fn inspect(&self, options: &LoadOptions) -> Result<Inspection, Error> {
        let Resolved { place, adapters, applied, .. } = self.resolve(options)?;
        let checkpoint = Checkpoint::at(&place)?.adapted(adapters)?;
        let placement =
            checkpoint.placement(options.device.of_model(), options.dtype.of_model())?;
        Ok(Inspection::new(checkpoint.inspection(), placement, applied))
    }

    /// The files of the checkpoint and of its adapters, fetched where they must be. A place that has an adapter and no model stands for
    /// the adapter's base with the adapter on it.
    pub(crate) fn resolve(&self, options: &LoadOptions) -> Result<Resolved, Error> {
        let Fetched { mut path, mut mmproj, mut revision } = self.fetched(options)?;
        let (mut loaded, mut opened, mut applied) = (self.clone(), Vec::new(), Vec::new());
        if CheckpointPlace::is_adapter_alone(&path)? {
            let own = AdapterSource::new(Self::Directory(path.clone())).open(options)?;
            let unnamed = || gemma3_tch::Error::AdapterAlone { path: path.clone(), base: None };
            let base = own.adapter.base_model().ok_or_else(unnamed)?;
            loaded = Self::parse(
                base,
                own.adapter.base_revision(),
                options.offline || self.is_offline(),
            );
            let own = OpenAdapter { asked: AdapterSource::new(self.clone()), revision, ..own };
            applied.push(own.applied(None));
            opened.push(own);
            let missing = |error: Error| Cause::Base {
                adapter: self.to_string(),
                base: loaded.to_string(),
                error: Box::new(error),
            };
            Fetched { path, mmproj, revision } = loaded.fetched(options).map_err(missing)?;
        }
        for adapter in &options.adapters {
            let adapter = adapter.open(options)?;
            applied.push(adapter.applied(Some(&loaded)));
            opened.push(adapter);
        }
        let adapters: Vec<_> = opened
            .into_iter()
            .map(|OpenAdapter { asked, adapter, .. }| gemma3_tch::AppliedAdapter {
                adapter,
                weight: asked.weight,
            })
            .collect();
        let place = CheckpointPlace::find(&path, mmproj.as_deref(), &adapters)?;
        Ok(Resolved { base: loaded, place, revision, adapters, applied })
    }

    /// Where its files lie, fetched where they must be.
    fn fetched(&self, options: &LoadOptions) -> Result<Fetched, Error> {
        let (path, revision) = match self {
            Self::Directory(path) => {
                check_file(path)?;
                (path.clone(), None)
            }
            Self::Shipped(shipped) => (shipped.folder()?, None),
            Self::Hub { id, revision, offline, file: Some(file) } => {
                return fetch_gguf(id, revision.as_deref(), *offline, file, options);
            }
            // Before anything large is fetched.
            Self::Hub { id, file: None, .. } if options.mmproj.is_some() => {
                return Err(Cause::TowerWithoutFile { id: id.clone() }.into());
            }
            Self::Hub { id, revision, offline, file: None } => {
                fetch(id, revision.as_deref(), *offline, options)?
            }
        };
        Ok(Fetched { path, mmproj: options.mmproj.clone(), revision })
    }

    fn is_offline(&self) -> bool {
        matches!(self, Self::Hub { offline: true, .. })
    }
}

/// The path, the id or the name.
impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Hub { id, .. } => f.write_str(id),
            Self::Shipped(shipped) => f.write_str(shipped.name()),
        }
    }
}

/// Files that are on this machine.
struct Fetched {
    /// A folder, or the GGUF file of a language model.
    path: PathBuf,
    /// The vision tower that goes with such a file.
    mmproj: Option<PathBuf>,
    /// The commit of the hub.
    revision: Option<String>,
}

/// A checkpoint whose files are at hand.
pub(crate) struct Resolved {
    /// The checkpoint without adapters.
    pub(crate) base: ModelSource,
    pub(crate) place: CheckpointPlace,
    /// The commit of the hub.
    pub(crate) revision: Option<String>,
    pub(crate) adapters: Vec<gemma3_tch::AppliedAdapter>,
    /// The same for people.
    pub(crate) applied: Vec<AppliedAdapter>,
}

/// Rejects a single file that is no GGUF file, saying what it is. A missing path is reported by whoever reads it.
fn check_file(path: &Path) -> Result<(), Error> {
    if !std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    let mut start = Vec::new();
    let read = |file: File| file.take(FOREIGN_PREFIX as u64).read_to_end(&mut start);
    let _unreadable = File::open(path).and_then(read); // then nothing is recognised
    if start.starts_with(b"GGUF") {
        return Ok(());
    }
    let kind = match ForeignFile::recognize(&start) {
        Some(kind) => kind.to_string(),
        None => "a file".to_owned(),
    };
    Err(Cause::NotACheckpoint { path: path.to_owned(), kind }.into())
}

/// Sees file name, bytes done and bytes in all while a checkpoint is fetched.
pub type FetchObserver = Arc<dyn Fn(&str, u64, u64) + Send + Sync>;

/// Sees how much of an explanation is done, and how much there is.
pub type ExplainObserver = Arc<dyn Fn(u64, u64) + Send + Sync>;

#[cfg(feature = "hub")]
fn fetch(
    id: &str,
    revision: Option<&str>,
    offline: bool,
    options: &LoadOptions,
) -> Result<(PathBuf, Option<String>), Error> {
    let hub_options = hub_options(offline, options);
    let snapshot = hub::fetch(id, revision, &hub_options).or_else(|error| match error {
        gemma3_tch::Error::HubAdapter { .. } => hub::fetch_adapter(id, revision, &hub_options),
        // Whether it is one is not known without asking.
        gemma3_tch::Error::Offline { .. } => {
            hub::fetch_adapter(id, revision, &hub_options).map_err(|_| error)
        }
        error => Err(error),
    })?;
    Ok((snapshot.dir, Some(snapshot.revision)))
}

/// The files of an adapter, and the commit that they are.
#[cfg(feature = "hub")]
pub(crate) fn fetch_adapter(
    id: &str,
    revision: Option<&str>,
    offline: bool,
    options: &LoadOptions,
) -> Result<(PathBuf, Option<String>), Error> {
    let snapshot = hub::fetch_adapter(id, revision, &hub_options(offline, options))?;
    Ok((snapshot.dir, Some(snapshot.revision)))
}

/// A vision tower is one of the same repository where no file on the disk is meant.
#[cfg(feature = "hub")]
fn fetch_gguf(
    id: &str,
    revision: Option<&str>,
    offline: bool,
    file: &str,
    options: &LoadOptions,
) -> Result<Fetched, Error> {
    let tower = options.mmproj.as_deref();
    let remote = tower.filter(|path| !path.exists()).map(|path| path.to_string_lossy());
    let names: Vec<&str> = [file].into_iter().chain(remote.as_deref()).collect();
    let snapshot = hub::fetch_gguf(id, revision, &names, &hub_options(offline, options))?;
    let mmproj = match remote.as_deref() {
        Some(name) => Some(snapshot.dir.join(name)),
        None => tower.map(Path::to_owned),
    };
    Ok(Fetched { path: snapshot.dir.join(file), mmproj, revision: Some(snapshot.revision) })
}

#[cfg(feature = "hub")]
fn hub_options(offline: bool, options: &LoadOptions) -> hub::HubOptions {
    let offline = offline.then_some(true); // else the environment decides
    let progress = options.fetch_progress.clone();
    let progress = progress.map(|observer| -> Arc<dyn Fn(&hub::FetchProgress) + Send + Sync> {
        Arc::new(move |step| observer(&step.file, step.done, step.total))
    });
    let cancel = options.context.cancel.clone();
    hub::HubOptions { offline, progress, cancel, ..Default::default() }
}

#[cfg(not(feature = "hub"))]
fn fetch(
    id: &str,
    _: Option<&str>,
    _: bool,
    _: &LoadOptions,
) -> Result<(PathBuf, Option<String>), Error> {
    Err(Cause::NoHub { id: id.to_owned() }.into())
}

#[cfg(not(feature = "hub"))]
pub(crate) fn fetch_adapter(
    id: &str,
    _: Option<&str>,
    _: bool,
    _: &LoadOptions,
) -> Result<(PathBuf, Option<String>), Error> {
    Err(Cause::NoHub { id: id.to_owned() }.into())
}

#[cfg(not(feature = "hub"))]
fn fetch_gguf(
    id: &str,
    _: Option<&str>,
    _: bool,
    _: &str,
    _: &LoadOptions,
) -> Result<Fetched, Error> {
    Err(Cause::NoHub { id: id.to_owned() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (content, part) in [
            (&b"GGUF\x03\0\0\0"[..], "is not a GGUF file: it has 8 bytes"),
            (b"{}", "a file; give the folder of a checkpoint (config.json"),
            (b"\x1f\x8b\x08\0", "gzip"),
        ] {
            let path = folder.path().join("model");
            std::fs::write(&path, content).unwrap();
            let error =
                ModelSource::Directory(path).inspect(&LoadOptions::default()).err().unwrap();
            let message = error.to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn what_exists_or_is_no_hub_id_is_a_directory() {
        for text in ["/nowhere/at/all", "./x/y", "a/b/c", "..", "src", "~/models"] {
            let source = ModelSource::parse(text, None, false);
            assert_eq!(source, ModelSource::Directory(text.into()));
        }
        for shipped in Shipped::ALL {
            let source = ModelSource::parse(shipped.name(), None, false);
            assert_eq!(source, ModelSource::Shipped(shipped));
        }
        let tower = LoadOptions::default().with_mmproj(Some("mmproj.gguf".into()));
        let hub = ModelSource::parse("nobody/no-such-model", None, true);
        let message = hub.inspect(&tower).err().unwrap().to_string();
        assert!(message.contains("name the file of nobody/no-such-model"), "{message}");
        let hub = ModelSource::parse("google/medgemma-1.5-4b-it", Some("main"), true);
        assert!(matches!(hub, ModelSource::Hub { offline: true, .. }));
    }
}
