//! A folder that one process at a time writes to, and the hidden folder in it where results are made before they are put in place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use same_file::Handle;

use crate::Error;

/// By this file a hidden folder is known to be of this program.
const MARK: &str = ".medgemma-explainer";
/// Where this file is, results are being put in place: what a process that ended left so is put in place by the next one.
pub(crate) const PLACING: &str = ".placing";

/// The right to write to a folder, until it is dropped: a file locked by the operating system, which lets go of it whatever ends
/// the process.
#[derive(Debug)]
pub(crate) struct Workplace {
    folder: PathBuf,
    traces: Traces,
    id: u64,
    _lock: File,
}

/// What a run has in a folder while it is not done.
#[derive(Debug, Clone)]
struct Traces {
    lock: PathBuf,
    staging: PathBuf,
    /// Folders that were not there, innermost first.
    made: Vec<PathBuf>,
}

/// Tells one workplace of this process from another.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// The traces of this process.
static OPEN: Mutex<Vec<(u64, Traces)>> = Mutex::new(Vec::new());

/// Removes what unfinished exports of this process have made so far, for a program that is about to end, as on a second Ctrl-C.
/// Results that are just being put in place are waited for. Whatever still writes fails.
pub fn remove_unfinished() {
    for (_, traces) in open().drain(..) {
        traces.remove();
    }
}

fn open() -> MutexGuard<'static, Vec<(u64, Traces)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner) // a list of paths is whole whatever a panic left
}

impl Workplace {
    /// Makes the folder where it is not there, and takes it for this process. Two with other `names` do not bar each other.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Foreign`] for a file of others under the name of the lock, [`Error::Write`].
    pub(crate) fn open(folder: &Path, name: &str) -> Result<Self, Error> {
        let absent = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made: Vec<PathBuf> =
            folder.ancestors().take_while(absent).map(Path::to_owned).collect();
        let staging = folder.join(format!(".unfinished-{name}"));
        let lock = folder.join(format!(".unfinished-{name}.lock"));
        let traces = Traces { lock, staging, made };
        if folder.exists() && !folder.is_dir() {
            return Err(Error::write(folder)(ErrorKind::NotADirectory.into()));
        }
        let lock = acquire(folder, &traces.lock).inspect_err(|_| traces.remove_folders())?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        open().push((id, traces.clone()));
        Ok(Self { folder: folder.to_owned(), traces, id, _lock: lock })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The hidden folder; [`Workplace::stage`] makes it.
    pub(crate) fn staging(&self) -> &Path {
        &self.traces.staging
    }

    /// Whether a process ended while it put results in place.
    pub(crate) fn was_placing(&self) -> bool {
        is_ours(self.staging()) && self.staging().join(PLACING).is_file()
    }

    /// Makes the hidden folder. What is there is of a process that ended, since this one holds the lock; it goes, unless this
    /// program did not make it.
    pub(crate) fn stage(&self) -> Result<(), Error> {
        let staging = self.staging();
        let failed = |source| Error::write(staging)(source);
        match fs::symlink_metadata(staging) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(_) if is_ours(staging) => fs::remove_dir_all(staging).map_err(failed)?,
            // It may have ended before it made the mark; a folder with anything else in it stays.
            Ok(found) if found.is_dir() && fs::remove_dir(staging).is_ok() => {}
            Ok(_) => return Err(in_the_way(&self.folder, staging)),
        }
        fs::create_dir(staging).map_err(Error::write(&self.folder))?;
        fs::write(staging.join(MARK), "").map_err(Error::write(&self.folder))
    }

    /// Lets `work` put results in place. It ends undisturbed: [`remove_unfinished`] waits for it. Folders that were made stay then.
    pub(crate) fn place<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let mut open = open();
        let Some((_, traces)) = open.iter_mut().find(|(id, _)| *id == self.id) else {
            return Err(Error::write(&self.folder)(ErrorKind::Interrupted.into()));
        };
        let done = work()?;
        traces.made.clear();
        Ok(done)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let mut open = open();
        if let Some(at) = open.iter().position(|(id, _)| *id == self.id) {
            open.swap_remove(at).1.remove();
        }
    }
}

impl Traces {
    /// While the lock is held. Results that could not all be put in place stay for the next run.
    fn remove(&self) {
        if is_ours(&self.staging) && !self.staging.join(PLACING).exists() {
            // Another thread may still be writing into it, until it is gone.
            let _in_use = (0..100).find(|_| {
                let _later = fs::remove_dir_all(&self.staging);
                !self.staging.exists()
            });
        }
        let _gone = fs::remove_file(&self.lock);
        self.remove_folders();
    }

    fn remove_folders(&self) {
        for folder in &self.made {
            let _in_use = fs::remove_dir(folder); // fails, rightly, when something is in it
        }
    }
}

/// A real folder, no link to one, with the mark in it.
fn is_ours(staging: &Path) -> bool {
    let is = |path: &Path, kind: fn(&fs::Metadata) -> bool| {
        fs::symlink_metadata(path).is_ok_and(|found| kind(&found))
    };
    is(staging, fs::Metadata::is_dir) && is(&staging.join(MARK), fs::Metadata::is_file)
}

fn acquire(folder: &Path, path: &Path) -> Result<File, Error> {
    /// As often as others may end just now, each removing the file that it had locked.
    const TRIES: usize = 100;
    let failed = |source| Error::write(folder)(source);
    let mut last = Error::InUse { folder: folder.to_owned() };
    for _ in 0..TRIES {
        fs::create_dir_all(folder).map_err(failed)?;
        let is_another = |found: fs::Metadata| !found.is_file() || 0 < found.len();
        if fs::symlink_metadata(path).is_ok_and(is_another) {
            return Err(in_the_way(folder, path));
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = match file {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                last = failed(error); // the folder went, or nothing can be made in it
                continue;
            }
            file => file.map_err(failed)?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse { folder: folder.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // The one before may have removed it in the meantime; then another may hold the lock of a file of the same name.
        let locked = file.try_clone().and_then(Handle::from_file).map_err(failed)?;
        if Handle::from_path(path).is_ok_and(|there| there == locked) {
            return Ok(file);
        }
    }
    Err(last)
}

fn in_the_way(folder: &Path, path: &Path) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let reason = "this program needs the name for itself".to_owned();
    Error::Foreign { folder: folder.to_owned(), files: vec![name], reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn one_writes_and_the_other_is_told() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let first = Workplace::open(&folder, "x").unwrap();
        let error = Workplace::open(&folder, "x").unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        Workplace::open(&folder, "y").unwrap();
        drop(first);
        assert_eq!(entries(root.path()), 0);
        drop(Workplace::open(&folder, "x").unwrap());
    }

    #[test]
    fn of_many_at_once_one_at_a_time_has_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        let counter = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let Ok(_place) = Workplace::open(&folder, "x") else { continue };
                        assert_eq!(counter.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        assert_eq!(counter.fetch_sub(1, Ordering::SeqCst), 1);
                    }
                });
            }
        });
        drop(Workplace::open(&folder, "x").unwrap());
        // Who found the folder there, because another was about to take it away, leaves it: empty.
        assert!(!folder.exists() || entries(&folder) == 0);
    }

    #[test]
    fn what_a_dead_process_left_goes_and_a_folder_of_the_user_stays() {
        let root = tempfile::tempdir().unwrap();
        let staging = root.path().join(".unfinished-x");
        fs::write(root.path().join(".unfinished-x.lock"), "").unwrap();
        fs::create_dir(&staging).unwrap();
        fs::write(staging.join(MARK), "").unwrap();
        fs::write(staging.join("half"), "ha").unwrap();
        let place = Workplace::open(root.path(), "x").unwrap();
        place.stage().unwrap();
        assert_eq!(entries(&staging), 1, "the mark");
        drop(place);
        assert_eq!(entries(root.path()), 0);

        fs::create_dir(&staging).unwrap();
        fs::write(staging.join("thesis"), "mine").unwrap();
        let place = Workplace::open(root.path(), "x").unwrap();
        let error = place.stage().unwrap_err().to_string();
        assert!(error.contains(".unfinished-x"), "{error}");
        drop(place);
        assert_eq!(fs::read_to_string(staging.join("thesis")).unwrap(), "mine");

        fs::write(root.path().join(".unfinished-x.lock"), "mine").unwrap();
        let error = Workplace::open(root.path(), "x").unwrap_err().to_string();
        assert!(error.contains(".unfinished-x.lock"), "{error}");
        assert_eq!(fs::read_to_string(root.path().join(".unfinished-x.lock")).unwrap(), "mine");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_in_the_place_of_the_hidden_folder_is_not_followed() {
        let [root, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        fs::write(other.path().join(MARK), "").unwrap();
        std::os::unix::fs::symlink(other.path(), root.path().join(".unfinished-x")).unwrap();
        let place = Workplace::open(root.path(), "x").unwrap();
        assert!(matches!(place.stage(), Err(Error::Foreign { .. })));
        drop(place);
        assert!(other.path().join(MARK).exists());
    }
}
