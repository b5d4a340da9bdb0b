//! The layout of the shared cache (`models--owner--name/{blobs,refs,snapshots}`) and our notes of what was verified.
//!
//! Every part of a path here is a constant, an id or revision that was checked, a commit, a hash or the plain name of a file.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::verify::is_sha256;
use crate::{Error, files};

/// Bytes of a reference, of a note or of a list of names.
const SMALL_LIMIT: u64 = 1 << 20;

/// Folder of our notes in a model's part of the cache; other programs leave it alone.
const NOTES: &str = ".gemma3-tch";

/// One model's part of the cache.
pub(super) struct Cache {
    repo: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(super) fn new(cache: &Path, id: &str) -> Self {
        let folder = format!("models--{}", id.replace('/', "--"));
        Self { repo: cache.join(&folder), locks: cache.join(".locks").join(folder) }
    }

    /// A file by its hash.
    pub(super) fn blob(&self, hash: &str) -> PathBuf {
        self.repo.join("blobs").join(hash)
    }

    /// The file that whoever writes a blob has locked.
    pub(super) fn lock(&self, hash: &str) -> PathBuf {
        self.locks.join(format!("{hash}.lock"))
    }

    /// Puts a blob into the snapshot of a commit under its name.
    pub(super) fn link(&self, commit: &str, name: &str, hash: &str) -> Result<(), Error> {
        let path = self.file(commit, name);
        let fail = |source| Error::Write { path: path.clone(), source };
        fs::create_dir_all(path.parent().expect("it is below the cache")).map_err(fail)?;
        remove_file(&path)?; // a link to a blob that is gone
        #[cfg(unix)]
        let linked = {
            let up = "../".repeat(name.split('/').count() + 1);
            std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(hash), &path)
        };
        #[cfg(not(unix))]
        let linked = fs::copy(self.blob(hash), &path).map(drop);
        linked.map_err(fail)
    }

    /// The directory of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    /// A file of a commit: a link to a blob.
    pub(super) fn file(&self, commit: &str, name: &str) -> PathBuf {
        self.snapshot(commit).join(name)
    }

    /// The commit that a revision was at when it was last fetched.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = read(&self.repo.join("refs").join(revision))?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes that all files of a commit are there, and points the revision to it.
    pub(super) fn complete(
        &self,
        revision: &str,
        commit: &str,
        names: &[String],
    ) -> Result<(), Error> {
        write(&self.manifest_path(commit), &names.join("\n"))?;
        self.point(revision, commit)
    }

    /// Points the revision to a commit.
    pub(super) fn point(&self, revision: &str, commit: &str) -> Result<(), Error> {
        if is_commit(revision) {
            return Ok(());
        }
        write(&self.repo.join("refs").join(revision), commit)
    }

    /// The files of a commit that was fetched completely.
    pub(super) fn manifest(&self, commit: &str) -> Option<Vec<String>> {
        let text = read(&self.manifest_path(commit))?;
        let names: Vec<String> = text.lines().map(str::to_owned).collect();
        (!names.is_empty() && names.iter().all(|name| is_file_name(name))).then_some(names)
    }

    /// Whether the file passed verification and has not changed since.
    pub(super) fn is_verified(&self, path: &Path) -> bool {
        let noted = self.note(path).and_then(|note| Some((read(&note)?, stamp(path)?)));
        noted.is_some_and(|(noted, stamp)| noted == stamp)
    }

    /// Notes that the file passed.
    pub(super) fn mark_verified(&self, path: &Path) -> Result<(), Error> {
        match self.note(path).zip(stamp(path)) {
            Some((note, stamp)) => write(&note, &stamp),
            None => Ok(()), // no time of change here: it will be verified again
        }
    }

    /// Removes a file of a snapshot with the blob behind it, so that nobody takes it for the finished file.
    pub(super) fn remove(&self, path: &Path) -> Result<(), Error> {
        let blob = fs::canonicalize(path).map_err(Error::read(path))?;
        let inside = fs::canonicalize(&self.repo).is_ok_and(|repo| blob.starts_with(repo));
        remove_file(path)?;
        if inside { remove_file(&blob) } else { Ok(()) }
    }

    fn manifest_path(&self, commit: &str) -> PathBuf {
        self.repo.join(NOTES).join("complete").join(commit)
    }

    /// Where the note of a file is: it goes by the blob, which several snapshots may share.
    fn note(&self, path: &Path) -> Option<PathBuf> {
        let blob = fs::canonicalize(path).ok()?;
        Some(self.repo.join(NOTES).join("verified").join(blob.file_name()?))
    }
}

/// The SHA-256 of a file of the cache that passed verification, was named by it, and has not changed since.
pub(super) fn verified_sha256(path: &Path) -> Option<String> {
    let blob = fs::canonicalize(path).ok()?;
    let name = blob.file_name()?.to_str()?;
    let repo = blob.parent().filter(|folder| folder.ends_with("blobs"))?.parent()?;
    let noted = read(&repo.join(NOTES).join("verified").join(name))?;
    (is_sha256(name) && noted == stamp(&blob)?).then(|| name.to_owned())
}

/// Whether a revision is a full commit hash.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Bytes that are free on the disk of a folder, which need not be there yet; `None` where that cannot be known.
pub(super) fn free_space(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let there = folder.ancestors().find(|folder| folder.exists())?;
        let found = rustix::fs::statvfs(there).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

/// Size and time of change of the blob.
fn stamp(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {}", metadata.len(), changed.as_nanos()))
}

/// Whether a text is the name of a file in one folder, whatever the system.
pub(super) fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let plain = matches!(components.next(), Some(Component::Normal(first)) if first == name);
    plain && components.next().is_none() && name.len() <= 255 && !name.contains(['\\', ':', '\0'])
}

/// The text of a small file; `None` where there is none, or something else in its place.
fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    files::open(path).ok()?.take(SMALL_LIMIT).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Writes a small file so that no reader sees half of it.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().expect("all paths here are below the cache");
    let beside = folder.join(format!(".{}.tmp", std::process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&beside, text))
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::Write { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
