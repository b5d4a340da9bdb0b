//! The only place that touches the network: the hub's client, its answers and its errors in our terms.

use std::path::{Path, PathBuf};

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync, RepoTypeModel};

use super::verify::is_sha256;
use super::{FetchProgress, FetchStep, HubOptions, Listing, ProgressCallback, Remote, cache};
use crate::Error;

/// One model on the hub.
pub(super) struct Hub {
    repo: HFRepositorySync<RepoTypeModel>,
    id: String,
    endpoint: String,
    cache: PathBuf,
}

impl Hub {
    /// Prepares a client. Nothing is sent.
    pub(super) fn open(id: &str, options: &HubOptions) -> Result<Self, Error> {
        let fail = |error: HFError| Error::Hub { id: id.to_owned(), reason: error.to_string() };
        let client = client(options).map_err(fail)?;
        let (endpoint, cache) = (client.endpoint().to_owned(), client.cache_dir().to_owned());
        let (owner, name) = hf_hub::split_id(id);
        let repo = HFClientSync::from_inner(client).map_err(fail)?.model(owner, name);
        Ok(Self { repo, id: id.to_owned(), endpoint, cache })
    }

    /// The cache folder in use.
    pub(super) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The commit that a revision is at.
    pub(super) fn commit(&self, revision: &str) -> Result<String, Error> {
        let info = self.repo.info().revision(revision).send().map_err(|e| self.error(e))?;
        let commit = info.sha.filter(|commit| cache::is_commit(commit));
        commit.ok_or_else(|| self.failed(format!("it names no commit for revision {revision:?}")))
    }

    /// The files of a commit.
    pub(super) fn list(&self, commit: &str) -> Result<Listing, Error> {
        let entries = self.repo.list_tree().revision(commit).send().map_err(|e| self.error(e))?;
        let file = |entry| match entry {
            RepoTreeEntry::File { path, size, lfs, .. } => {
                let sha256 = lfs.and_then(|lfs| lfs.sha256).filter(|hash| is_sha256(hash));
                Some((path, Remote { size, sha256 }))
            }
            RepoTreeEntry::Directory { .. } => None,
        };
        Ok(entries.into_iter().filter_map(file).collect())
    }

    /// Downloads a file into the cache. What arrives must be verified: the client takes any body for the file.
    pub(super) fn download(
        &self,
        name: &str,
        commit: &str,
        options: &HubOptions,
    ) -> Result<PathBuf, Error> {
        let progress =
            options.progress.clone().map(|report| Reporter { file: name.to_owned(), report });
        let request = self.repo.download_file().filename(name).revision(commit);
        request.maybe_progress(progress).send().map_err(|e| self.error(e))
    }

    /// The hub does not have a file that is needed.
    pub(super) fn lacks(&self, name: &str) -> Error {
        self.failed(format!("it has no {name}"))
    }

    /// Something else is wrong with the hub's answer.
    pub(super) fn failed(&self, reason: String) -> Error {
        Error::Hub { id: self.id.clone(), reason }
    }

    fn error(&self, error: HFError) -> Error {
        match error {
            HFError::AuthRequired { context } | HFError::Forbidden { context } => {
                self.refused(context.server_message.as_deref())
            }
            HFError::Http { context } if [401, 403].contains(&context.status.as_u16()) => {
                self.refused(context.server_message.as_deref())
            }
            HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => {
                self.failed("there is no such model or revision; check the spelling".to_owned())
            }
            HFError::Request { source, .. } if source.is_connect() || source.is_timeout() => {
                Error::HubUnreachable {
                    endpoint: self.endpoint.clone(),
                    reason: root_cause(&source),
                }
            }
            HFError::Request { source, .. } => self.failed(root_cause(&source)),
            HFError::CacheLockTimeout { path } => {
                let reason = format!(
                    "another process is downloading it (lock {}); wait for it",
                    path.display()
                );
                self.failed(reason)
            }
            other => self.failed(other.to_string()),
        }
    }

    /// A licence to accept, a private model, or a token that does not count: the hub often does not tell which.
    fn refused(&self, message: Option<&str>) -> Error {
        let said = message.map(|said| format!("; the hub says: {said}")).unwrap_or_default();
        Error::HubAccess {
            id: self.id.clone(),
            page: format!("{}/{}", self.endpoint, self.id),
            said,
        }
    }
}

fn client(options: &HubOptions) -> Result<HFClient, HFError> {
    let mut builder = HFClient::builder();
    if let Some(token) = &options.token {
        builder = builder.token(token);
    }
    if let Some(cache) = &options.cache {
        builder = builder.cache_dir(cache);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.endpoint(endpoint);
    }
    builder.build()
}

/// The innermost message of a chain of errors, which is the one that says what happened.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.last().map(ToString::to_string).unwrap_or_default()
}

/// Passes the client's events on as ours.
struct Reporter {
    file: String,
    report: ProgressCallback,
}

impl ProgressHandler for Reporter {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else { return };
        let (done, total) = match event {
            DownloadEvent::Start { total_bytes, .. } => (0, *total_bytes),
            DownloadEvent::AggregateProgress { bytes_completed, total_bytes, .. } => {
                (*bytes_completed, *total_bytes)
            }
            DownloadEvent::Progress { files } => match files.first() {
                Some(file) => (file.bytes_completed, file.total_bytes),
                None => return,
            },
            DownloadEvent::Complete => return,
        };
        (self.report)(&FetchProgress {
            file: self.file.clone(),
            step: FetchStep::Download,
            done,
            total,
        });
    }
}
