//! A file of the hub on its way into the cache: held against its listed size while it comes, verified before it gets its name.
//!
//! The layout is that of `huggingface_hub`, with its locks: `blobs/HASH`, written as `blobs/HASH.incomplete`, and a link to it from
//! `snapshots/COMMIT/NAME`. A large file that broke off is continued the next time, because its SHA-256 will tell whether that went well.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::cache::Cache;
use super::client::{Answer, Client, Request};
use super::listing::Remote;
use super::patience::{Failure, LOOK, Patience};
use super::{FetchProgress, FetchStep, HubOptions, verify};
use crate::{Error, files};

/// Bytes between two reports of progress, and the least that counts as getting ahead.
const STEP: u64 = 1 << 20;

/// One file to be fetched.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) cache: &'a Cache,
    pub(super) options: &'a HubOptions,
    pub(super) id: &'a str,
    pub(super) commit: &'a str,
    pub(super) name: &'a str,
    pub(super) remote: &'a Remote,
}

impl Download<'_> {
    /// Brings the file into the cache and verifies it, unless its blob is there: then it is only linked.
    pub(super) fn run(&self) -> Result<Fetched, Error> {
        let blob = self.cache.blob(&self.remote.blob);
        let _lock = self.lock()?;
        let fetched = if blob.exists() {
            Fetched::Linked
        } else {
            self.fetch(&blob)?;
            Fetched::Verified
        };
        self.cache.link(self.commit, self.name, &self.remote.blob)?;
        Ok(fetched)
    }

    fn fetch(&self, blob: &Path) -> Result<(), Error> {
        let mut beside = blob.as_os_str().to_owned();
        beside.push(".incomplete");
        let beside = PathBuf::from(beside);
        let mut partial = Partial::open(beside, self.remote)?;
        let resumed = partial.done > 0;
        let fetched = self.fill(&mut partial).and_then(|()| self.check(&partial));
        let fetched = match fetched {
            Err(Error::HubDamaged { .. }) if resumed => {
                partial.restart()?;
                self.fill(&mut partial).and_then(|()| self.check(&partial))
            }
            other => other,
        };
        match fetched {
            Ok(()) => partial.publish(blob),
            Err(damaged @ Error::HubDamaged { .. }) => partial.remove().and(Err(damaged)),
            Err(other) => Err(other),
        }
    }

    /// Verifies what came, before it gets its name.
    fn check(&self, partial: &Partial) -> Result<(), Error> {
        partial.file.sync_data().map_err(|source| partial.failed(source))?;
        let subject = verify::Subject {
            name: self.name,
            path: &partial.path,
            expected: self.remote.sha256.as_deref(),
        };
        verify::check(&subject, Some(self.remote.size), self.options.progress.as_deref()).map_err(
            |failure| match failure {
                verify::Failure::Read(error) => error,
                verify::Failure::Damaged(reason) => self.damaged(reason),
            },
        )
    }

    /// Fills the file up to the listed size, in as many attempts as it takes and patience allows.
    fn fill(&self, partial: &mut Partial) -> Result<(), Error> {
        let patience = self.client.patience(self.remote.size - partial.done);
        let address =
            self.client.address(&format!("{}/resolve/{}/{}", self.id, self.commit, self.name));
        patience.persist(|patience| {
            if self.remote.sha256.is_none() {
                partial.restart()?;
            }
            let before = partial.done;
            self.report(partial.done);
            if before == self.remote.size && before > 0 {
                return Ok(());
            }
            let outcome = self.attempt(&address, partial, patience);
            if partial.done >= before + STEP {
                patience.restart_count();
            }
            outcome
        })
    }

    fn attempt(
        &self,
        address: &str,
        partial: &mut Partial,
        patience: &Patience<'_>,
    ) -> Result<(), Failure> {
        let missing = format!("it lists {} and does not have it", self.name);
        let request = Request { address, start: partial.done, missing: &missing };
        let mut answer = self.client.get(&request, patience)?;
        if answer.commit().is_some_and(|commit| commit != self.commit) {
            let reason = format!("it answered for another commit than {}", self.commit);
            return Err(self.client.failed(reason).into());
        }
        if !answer.continues(partial.done, self.remote.size) {
            if !answer.is_whole() {
                return Err(self
                    .client
                    .failed(format!("it sent another part of {} than was asked for", self.name))
                    .into());
            }
            partial.restart()?;
        }
        self.check_length(&mut answer, partial.done, patience)?;
        let mut reported = partial.done;
        while let Some(chunk) = answer.chunk(patience)? {
            if chunk.len() as u64 > self.remote.size - partial.done {
                let reason =
                    format!("it has more than {} bytes{}", self.remote.size, verify::hint(&chunk));
                return Err(self.damaged(reason).into());
            }
            partial.append(&chunk)?;
            if partial.done - reported >= STEP || partial.done == self.remote.size {
                reported = partial.done;
                self.report(reported);
            }
        }
        Ok(())
    }

    /// Refuses a body of another length than the listed one before anything of it is written.
    fn check_length(
        &self,
        answer: &mut Answer<'_>,
        done: u64,
        patience: &Patience<'_>,
    ) -> Result<(), Failure> {
        let Some(found) = answer.length().map(|length| done.saturating_add(length)) else {
            return Ok(());
        };
        if found == self.remote.size {
            return Ok(());
        }
        let start = answer.chunk(patience).ok().flatten();
        let hint = start.map_or("", |start| verify::hint(&start));
        Err(self.damaged(format!("it has {found} bytes and not {}{hint}", self.remote.size)).into())
    }

    fn damaged(&self, reason: String) -> Error {
        Error::HubDamaged { name: self.name.to_owned(), reason }
    }

    fn report(&self, done: u64) {
        if let Some(report) = &self.options.progress {
            let (file, total) = (self.name.to_owned(), self.remote.size);
            report(&FetchProgress { file, step: FetchStep::Download, done, total });
        }
    }

    /// Keeps other programs from writing the same blob; they lock the same file.
    fn lock(&self) -> Result<File, Error> {
        let path = self.cache.lock(&self.remote.blob);
        let fail = |source| Error::Write { path: path.clone(), source };
        fs::create_dir_all(path.parent().expect("it is below the cache")).map_err(fail)?;
        if path.exists() {
            files::open(&path)?; // no pipe, which would be waited for
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(fail)?;
        let end = Instant::now() + self.options.timeouts.lock;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::Error(source)) => return Err(fail(source)),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < end => {
                    self.client.patience(0).sleep(LOOK)?;
                }
                Err(fs::TryLockError::WouldBlock) => {
                    let reason = format!(
                        "another process is downloading it (lock {}); wait for it",
                        path.display()
                    );
                    return Err(self.client.failed(reason));
                }
            }
        }
    }
}

/// How a file came to be in the snapshot.
pub(super) enum Fetched {
    /// Another snapshot has it. Its content has not been looked at.
    Linked,
    /// It was downloaded and verified.
    Verified,
}

/// A file that is not complete.
struct Partial {
    path: PathBuf,
    file: File,
    /// Bytes that are in it.
    done: u64,
}

impl Partial {
    /// Opens what is there of a file, or begins it. A partial file longer than the listed size is discarded.
    fn open(path: PathBuf, remote: &Remote) -> Result<Self, Error> {
        let fail = |source| Error::Write { path: path.clone(), source };
        fs::create_dir_all(path.parent().expect("it is below the cache")).map_err(fail)?;
        match files::open(&path) {
            Ok(_) | Err(Error::MissingFile { .. }) => {}
            Err(other) => return Err(other),
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(fail)?;
        let done = file.seek(SeekFrom::End(0)).map_err(fail)?;
        let mut partial = Self { path, file, done };
        if remote.sha256.is_none() || remote.size < done {
            partial.restart()?;
        }
        Ok(partial)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|source| self.failed(source))?;
        self.done += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|source| self.failed(source))?;
        self.done = 0;
        Ok(())
    }

    fn remove(self) -> Result<(), Error> {
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(self.failed(source)),
            _ => Ok(()),
        }
    }

    /// Gives the file its name.
    fn publish(self, blob: &Path) -> Result<(), Error> {
        let Self { path, file, .. } = self;
        drop(file);
        fs::rename(&path, blob).map_err(|source| Error::Write { path: blob.to_owned(), source })
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Write { path: self.path.clone(), source }
    }
}
