//! The files that weights came from, by the SHA-256 of each: what a record needs so that somebody else can have the same model.
//!
//! Hashing takes a second for one to two gigabytes, so it is done when the first record is made and remembered in the user's cache, by path,
//! size and time of change. What the hub's cache has verified is known without it.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use explanation_record::record::{WeightFile, sha256};
use sha2::{Digest as _, Sha256};

use crate::error::Cause;
use crate::{Context, Error};

/// Files that are hashed at once.
const THREADS: usize = 2;
/// A file that changed so recently may change again without another time of change.
const SETTLED: Duration = Duration::from_secs(2);
/// Bytes of a note.
const LONGEST_NOTE: u64 = 200;

/// Files as they were when they were opened.
pub(crate) struct WeightFiles {
    files: Vec<Opened>,
    records: OnceCell<Vec<WeightFile>>,
    /// Where hashes are remembered; `None`: nowhere.
    notes: Option<PathBuf>,
}

struct Opened {
    path: PathBuf,
    stamp: Option<Stamp>,
}

/// Size and time of change, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    changed: u128,
}

impl WeightFiles {
    /// To be called when the files are opened: one that is another when its hash is asked for has none.
    pub(crate) fn of<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        let cache = dirs::cache_dir();
        Self::remembering(paths, cache.map(|cache| cache.join("medgemma-explainer/weight-files")))
    }

    fn remembering<'a>(paths: impl Iterator<Item = &'a Path>, notes: Option<PathBuf>) -> Self {
        let files = paths.map(|path| Opened { path: path.to_owned(), stamp: Stamp::of(path) });
        Self { files: files.collect(), records: OnceCell::new(), notes }
    }

    /// Name, size and hash of each, in order. The first call may take a while.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Cancelled`].
    pub(crate) fn records(&self, context: &Context) -> Result<&[WeightFile], Error> {
        if self.records.get().is_none() {
            let cancel = context.cancel.as_deref();
            let cancelled = || cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed));
            let records = self.hashed(&cancelled).ok_or(Cause::Cancelled)?;
            // Nobody else can fill the cell meanwhile: it is not shared between threads.
            let _ = self.records.set(records);
        }
        Ok(self.records.get().expect("filled above"))
    }

    /// `None` where it was cancelled.
    fn hashed(&self, cancelled: &(dyn Fn() -> bool + Sync)) -> Option<Vec<WeightFile>> {
        let next = AtomicUsize::new(0);
        let hashes = Mutex::new(vec![None; self.files.len()]);
        let (files, notes) = (&self.files, self.notes.as_deref());
        let work = || {
            while let Some((index, file)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, files.get(at)?)))
            {
                let hash = file.hash(notes, cancelled);
                hashes.lock().expect("no thread panics with it")[index] = hash;
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..THREADS.min(files.len()) {
                scope.spawn(work);
            }
            work();
        });
        if cancelled() {
            return None;
        }
        let hashes = hashes.into_inner().expect("no thread panicked with it");
        let records = files.iter().zip(hashes).map(|(file, sha256)| {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            WeightFile { name, bytes: file.stamp.map_or(0, |stamp| stamp.bytes), sha256 }
        });
        Some(records.collect())
    }
}

impl Opened {
    /// `None` for a file that is another by now or cannot be read, and where it was cancelled.
    fn hash(&self, notes: Option<&Path>, cancelled: &dyn Fn() -> bool) -> Option<String> {
        let stamp = self.stamp.filter(|_| self.is_same())?;
        #[cfg(feature = "hub")]
        if let Some(known) = gemma3_tch::hub::verified_sha256(&self.path) {
            return Some(known);
        }
        let note = notes.and_then(|folder| Some(folder.join(note_name(&self.path)?)));
        if let Some(known) = note.as_deref().and_then(|note| stamp.recall(note)) {
            return Some(known);
        }
        let hash = hash(&self.path, cancelled).filter(|_| self.is_same())?;
        if let Some(note) = note.filter(|_| stamp.is_settled()) {
            let _forgotten = stamp.remember(&note, &hash); // then it is computed again the next time
        }
        Some(hash)
    }

    fn is_same(&self) -> bool {
        Stamp::of(&self.path) == self.stamp
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { bytes: metadata.len(), changed: changed.as_nanos() })
    }

    fn is_settled(self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.changed + SETTLED.as_nanos() < now.as_nanos()
    }

    /// The hash of a note, if the note is of such a file.
    fn recall(self, note: &Path) -> Option<String> {
        let mut text = String::new();
        let file = fs::metadata(note).ok().filter(fs::Metadata::is_file).map(|_| File::open(note));
        file?.ok()?.take(LONGEST_NOTE).read_to_string(&mut text).ok()?;
        let hash = text.strip_prefix(&format!("{} {} ", self.bytes, self.changed))?.trim_end();
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| hash.to_owned())
    }

    fn remember(self, note: &Path, hash: &str) -> std::io::Result<()> {
        let folder = note.parent().expect("it is below the cache");
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(file, "{} {} {hash}", self.bytes, self.changed)?;
        file.persist(note)?;
        Ok(())
    }
}

/// A name that tells nothing of the path.
fn note_name(path: &Path) -> Option<String> {
    let whole = fs::canonicalize(path).ok()?;
    Some(sha256(whole.as_os_str().as_encoded_bytes()))
}

fn hash(path: &Path, cancelled: &dyn Fn() -> bool) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let (mut hasher, mut block) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut block).ok()? {
            0 => break,
            _ if cancelled() => return None,
            read => hasher.update(&block[..read]),
        }
    }
    Some(hasher.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn write(path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
        let earlier = SystemTime::now() - Duration::from_mins(1);
        File::options().write(true).open(path).unwrap().set_modified(earlier).unwrap();
    }

    fn hashes(files: &WeightFiles) -> Vec<(String, u64, Option<String>)> {
        let records = files.records(&Context::default()).unwrap().iter();
        records.map(|file| (file.name.clone(), file.bytes, file.sha256.clone())).collect()
    }

    #[test]
    fn a_hash_is_computed_once_and_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let [path, notes] = ["a.safetensors", "notes"].map(|name| folder.path().join(name));
        write(&path, b"abc");
        let opened = || WeightFiles::remembering([path.as_path()].into_iter(), Some(notes.clone()));
        let expected = vec![("a.safetensors".to_owned(), 3, Some(ABC.to_owned()))];
        assert_eq!(hashes(&opened()), expected);
        let note = fs::read_dir(&notes).unwrap().next().unwrap().unwrap().path();
        // What is remembered is believed while size and time are the same, and no longer.
        let other = "0".repeat(64);
        let text = fs::read_to_string(&note).unwrap();
        fs::write(&note, text.replace(ABC, &other)).unwrap();
        assert_eq!(hashes(&opened())[0].2.as_deref(), Some(other.as_str()));
        fs::write(&note, text.replace(ABC, "no hash")).unwrap();
        assert_eq!(hashes(&opened()), expected);
        write(&path, b"abd");
        let changed = hashes(&opened())[0].2.clone().unwrap();
        assert!(changed != ABC && changed != other);
    }

    #[test]
    fn a_file_that_is_another_than_was_opened_has_no_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        write(&path, b"abc");
        let opened = WeightFiles::remembering([path.as_path()].into_iter(), None);
        write(&path, b"abcd");
        assert_eq!(hashes(&opened), [("a.gguf".to_owned(), 3, None)]);
        let opened = WeightFiles::remembering([path.as_path()].into_iter(), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(hashes(&opened), [("a.gguf".to_owned(), 4, None)]);
    }

    #[test]
    fn what_has_just_been_written_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let [path, notes] = ["a.gguf", "notes"].map(|name| folder.path().join(name));
        fs::write(&path, b"abc").unwrap();
        let opened = WeightFiles::remembering([path.as_path()].into_iter(), Some(notes.clone()));
        assert_eq!(hashes(&opened)[0].2.as_deref(), Some(ABC));
        assert!(!notes.exists());
    }

    #[test]
    fn many_files_keep_their_order_and_cancelling_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> =
            (0..7).map(|index| folder.path().join(index.to_string())).collect();
        for (index, path) in paths.iter().enumerate() {
            write(path, &vec![b'x'; index + 1]);
        }
        let opened = WeightFiles::remembering(paths.iter().map(PathBuf::as_path), None);
        let cancelled = Arc::new(AtomicBool::new(true));
        let context = Context::default().with_cancel(Some(cancelled));
        let error = opened.records(&context).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Cancelled);
        for (index, (name, bytes, found)) in hashes(&opened).into_iter().enumerate() {
            assert_eq!((name, bytes), (index.to_string(), index as u64 + 1));
            assert_eq!(found.unwrap(), sha256(&vec![b'x'; index + 1]));
        }
    }
}
