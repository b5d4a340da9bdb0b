//! Results as a Parquet data set that a killed run goes on with.
//!
//! A data set is a folder: `batch.json` says by which program and model it was made, `results/` holds the parts,
//! `part-<shard>-of-<shards>-<number>.parquet`, which any program that reads Parquet reads as one table:
//! `pyarrow.parquet.read_table("DIR/results")`, `duckdb: select * from 'DIR/results/*.parquet'`.
//!
//! ```
//! use explanation_jobs::{DataSet, Header, Opening, Outcome, Problem, ProblemKind, Shard};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let header = Header {
//!     program: "my-explainer 1.0".to_owned(),
//!     model: "google/medgemma-4b-it".to_owned(),
//!     model_sha256: vec!["4f5c…".to_owned()],
//!     settings: serde_json::Value::Null,
//! };
//! let mut set = DataSet::open(folder, &header, Shard::WHOLE, Opening::default())?;
//! if !set.is_done("a") {
//!     let problem = Some(Problem::new(ProblemKind::Picture, "x.png is truncated"));
//!     let outcome = Outcome { id: "a".to_owned(), answer: None, rows: Vec::new(), run: None, problem };
//!     set.add(&outcome, &[])?;
//! }
//! assert_eq!(set.finish()?.errors, 1);
//! let rows: Vec<_> = explanation_jobs::dataset::read(folder)?.collect::<Result<_, _>>()?;
//! assert_eq!(rows[0].kind, explanation_jobs::DataKind::Error);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Columns
//! An [`Outcome`] becomes a row for each of its rows and one for its problem; an answer of which nothing was explained is a row too.
//! Lists that belong together have the same length. "?" is null where there is none.
//!
#![doc = include_str!("dataset/columns.md")]
//!
//! The version of this form is in the metadata of each part, as `explanation-jobs.format`. Compression is Snappy. The tokens of answers are
//! not in the data set.
//!
//! # What a kill leaves
//! A job that is done is a line of the shard's journal (`results/.journal-…`) first, and on the disk before [`DataSet::add`] returns. A
//! part is written from the journal under a temporary name, made to last and renamed; then the journal is cut. So a process may end at
//! any moment: a job is in the journal or in a part, or in both, and then [`DataSet::open`] takes it from the part. It drops half a line
//! at the end of a journal, whose job is done again, and unfinished temporary files.
//!
//! Each shard has its own journal and parts, and several may be written at once. A batch may be taken up with another number of shards
//! when all processes of the first have ended: their journals are made parts then.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use row::{DataKind, DataRow};
pub use rows::{Rows, read};

use crate::job::is_id;
use crate::{Outcome, Problem, ProblemKind, Shard};
use columns::{Flat, write_part};
use journal::{Done, Journal, LONGEST, foreign};
use rows::Flats;
use store::{Folder, RESULTS, Store, part_name, part_number};

pub(crate) mod columns;
mod disk;
mod journal;
mod levels;
mod row;
pub(crate) mod rows;
pub(crate) mod store;
#[cfg(test)]
mod tests;

/// Rows of a part, by default.
pub const ROWS_OF_A_PART: usize = 5000;
/// Bytes of a thumbnail.
pub const LARGEST_THUMBNAIL: usize = 1 << 20;
/// Bytes of the journal that become a part, however few rows they are.
const JOURNAL_OF_A_PART: u64 = 64 << 20;
/// The version of [`Header`] in its file.
const VERSION: u32 = 1;
/// The file that processes lock while they open a data set.
const LOCK: &str = ".lock";

/// With what a data set is made. Another one does not go into it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The program and its version.
    pub program: String,
    /// The checkpoint, for people: it may have been moved.
    pub model: String,
    /// The SHA-256 of the files of its weights, in hexadecimal.
    pub model_sha256: Vec<String>,
    /// What holds for all jobs and changes numbers.
    pub settings: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderFile {
    batch: u32,
    header: Header,
}

/// How a data set is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Jobs of this shard that failed are taken out, and are done again.
    pub retry_errors: bool,
    /// Rows after which a part is written.
    pub rows_of_a_part: usize,
}

impl Default for Opening {
    fn default() -> Self {
        Self { retry_errors: false, rows_of_a_part: ROWS_OF_A_PART }
    }
}

/// What a shard of a data set holds, earlier runs included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Jobs.
    pub jobs: u64,
    /// Jobs that failed.
    pub errors: u64,
}

/// A shard of a data set, open for writing.
#[derive(Debug)]
pub struct DataSet {
    store: Box<dyn Store>,
    /// Of journals and locks.
    local: PathBuf,
    shard: Shard,
    opening: Opening,
    journal: Journal,
    /// Rows in the journal.
    pending: usize,
    known: Known,
    sequence: u64,
}

/// What is in the parts, and for an open shard in its journal too.
#[derive(Debug, Default)]
struct Known {
    ids: HashSet<String>,
    /// Of the shard.
    summary: Summary,
}

impl DataSet {
    /// Opens the data set of a folder, which is made if needed: takes the lock of the shard and what an earlier process left.
    ///
    /// # Errors
    /// [`ProblemKind::Busy`] while another process writes this shard, or a shard of another division; [`ProblemKind::Option`] for a data
    /// set of another program, model or settings; [`ProblemKind::File`] for a folder of something else, which is left as it is, and for
    /// what cannot be read or written.
    pub fn open(
        folder: impl AsRef<Path>,
        header: &Header,
        shard: Shard,
        opening: Opening,
    ) -> Result<Self, Problem> {
        let folder = folder.as_ref();
        let results = folder.join(RESULTS);
        let store = Folder::new(folder, shard);
        if store.header()?.is_none() {
            refuse_foreign(&results)?;
        }
        fs::create_dir_all(&results).map_err(|error| file_problem("make", &results, error))?;
        Self::open_in(Box::new(store), &results, header, (shard, opening))
    }

    /// The same for any store; journals and locks are in a local folder.
    pub(crate) fn open_in(
        store: Box<dyn Store>,
        local: &Path,
        header: &Header,
        (shard, opening): (Shard, Opening),
    ) -> Result<Self, Problem> {
        // One process after the other: they may find the same journals left behind.
        let opened = Lock::take(local, true)?;
        agree(store.as_ref(), header)?;
        let journal = Journal::open(local, shard)?.ok_or_else(|| {
            busy(format!("another process writes shard {shard} of {}", local.display()))
        })?;
        let mut left = left_behind(local, shard)?;
        let mut set = Self {
            sequence: next_sequence(&store.parts()?, shard),
            store,
            local: local.to_owned(),
            shard,
            opening,
            journal,
            pending: 0,
            known: Known::default(),
        };
        if left.iter().chain([&set.journal]).any(|journal| !journal.is_empty()) {
            let mut ids = Known::read(set.store.as_ref(), shard)?.ids;
            let mut parts = Parts::of(set.store.as_ref(), shard, set.sequence);
            for journal in left.iter_mut().chain([&mut set.journal]) {
                parts.take_all(journal, |id| ids.insert(id.to_owned()))?;
            }
            set.sequence = parts.sequence;
        }
        for journal in left {
            let failed = |error| file_problem("remove", &journal.path, error);
            disk::remove(&journal.path).map_err(failed)?;
        }
        if opening.retry_errors {
            set.drop_errors()?;
        }
        drop(opened);
        // Not while another process rewrites a part.
        let reading = Lock::take(local, false)?;
        set.known = Known::read(set.store.as_ref(), shard)?;
        drop(reading);
        Ok(set)
    }

    /// Whether a job is done, as far as its shard was known when the data set was opened and has added since.
    pub fn is_done(&self, id: &str) -> bool {
        self.known.ids.contains(id)
    }

    /// What the shard holds so far.
    pub fn summary(&self) -> Summary {
        self.known.summary
    }

    /// Adds what came of a job, with thumbnails for its rows in their order (as many as there are, or fewer). When it returns, it is on
    /// the disk.
    ///
    /// What cannot stand in the data set (a number that is not finite, a map of another size than its grid, more than 512 MiB) is added
    /// as an error of the job.
    ///
    /// # Errors
    /// [`ProblemKind::File`] when it cannot be written: then it may be added again. [`ProblemKind::Internal`] for a job of another shard,
    /// one that is done, and thumbnails that are too many or larger than [`LARGEST_THUMBNAIL`].
    pub fn add(
        &mut self,
        outcome: &Outcome,
        thumbnails: &[Option<Vec<u8>>],
    ) -> Result<(), Problem> {
        let id = &outcome.id;
        let wrong =
            |why: &str| Err(Problem::new(ProblemKind::Internal, format!("job {id:?} {why}")));
        if !is_id(id) {
            return wrong("has an id that none may have");
        }
        if !self.shard.has(id) {
            return wrong(&format!("does not belong to shard {}", self.shard));
        }
        if self.is_done(id) {
            return wrong("is in the data set already");
        }
        if outcome.rows.len().max(1) < thumbnails.len()
            || thumbnails.iter().flatten().any(|it| LARGEST_THUMBNAIL < it.len())
        {
            return wrong("has thumbnails that are too many or too large");
        }
        let (line, rows) = fitting(outcome, thumbnails)?;
        self.journal.add(&line)?;
        self.known.count(self.shard, &rows);
        self.known.ids.insert(id.clone());
        self.pending += rows.len();
        if self.opening.rows_of_a_part <= self.pending || JOURNAL_OF_A_PART <= self.journal.length()
        {
            self.seal()?;
        }
        Ok(())
    }

    /// Writes the last part and closes the shard.
    ///
    /// # Errors
    /// [`ProblemKind::File`] when it cannot be written; nothing is lost then.
    pub fn finish(mut self) -> Result<Summary, Problem> {
        self.seal()?;
        // Nobody opens the journal between its removal and the end of its lock.
        let _closing = Lock::take(&self.local, true)?;
        let path = &self.journal.path;
        disk::remove(path).map_err(|error| file_problem("remove", path, error))?;
        Ok(self.known.summary)
    }

    /// Makes the journal a part.
    fn seal(&mut self) -> Result<(), Problem> {
        let mut parts = Parts::of(self.store.as_ref(), self.shard, self.sequence);
        parts.take_all(&mut self.journal, |_| true)?;
        self.sequence = parts.sequence;
        self.pending = 0;
        Ok(())
    }

    /// Takes the jobs of this shard that failed out of the parts. The caller holds the lock.
    fn drop_errors(&self) -> Result<(), Problem> {
        let store = self.store.as_ref();
        for name in store.parts()? {
            let failed = |row: &Flat| {
                row.kind.as_deref() == Some(DataKind::Error.name())
                    && row.id.as_deref().is_some_and(|id| self.shard.has(id))
            };
            let rows = Flats::of_part(store, &name, is_known)?;
            let failed: Vec<Flat> = rows.into_iter().filter(failed).collect();
            let failed: HashSet<&str> = failed.iter().filter_map(|row| row.id.as_deref()).collect();
            if failed.is_empty() {
                continue;
            }
            let mut rows = Flats::of_part(store, &name, |_| true)?;
            rows.retain(|row| row.id.as_deref().is_none_or(|id| !failed.contains(id)));
            if rows.is_empty() {
                store.remove(&name)?;
            } else {
                store.put(&name, encoded(&rows)?, true)?;
            }
        }
        Ok(())
    }
}

/// The columns that say what is done.
fn is_known(column: &str) -> bool {
    matches!(column, "id" | "kind")
}

impl Known {
    fn read(store: &dyn Store, shard: Shard) -> Result<Self, Problem> {
        let mut known = Self::default();
        for name in store.parts()? {
            let rows = Flats::of_part(store, &name, is_known)?;
            known.count(shard, &rows);
            let ids: HashSet<String> = rows.into_iter().filter_map(|row| row.id).collect();
            for id in ids {
                if let Some(id) = known.ids.replace(id) {
                    let named = store.named(&name);
                    let message = format!(
                        "job {id:?} stands in {named} and in another part: remove one of them"
                    );
                    return Err(Problem::new(ProblemKind::File, message));
                }
            }
        }
        Ok(known)
    }

    /// Counts rows, of which those of a job follow each other.
    fn count(&mut self, shard: Shard, rows: &[Flat]) {
        for job in rows.chunk_by(|one, next| one.id == next.id) {
            if job[0].id.as_deref().is_some_and(|id| shard.has(id)) {
                let error = Some(DataKind::Error.name());
                let failed = job.iter().any(|row| row.kind.as_deref() == error);
                self.summary.rows += job.len() as u64;
                self.summary.jobs += 1;
                self.summary.errors += u64::from(failed);
            }
        }
    }
}

/// The number of the next part of a shard.
fn next_sequence(parts: &[String], shard: Shard) -> u64 {
    let numbers = parts.iter().filter_map(|name| part_number(name));
    numbers.filter(|it| it.0 == shard).map(|it| it.1 + 1).max().unwrap_or(0)
}

/// Rows on their way into parts.
struct Parts<'a> {
    store: &'a dyn Store,
    shard: Shard,
    sequence: u64,
    rows: Vec<Flat>,
    /// Bytes that they had in the journal.
    bytes: u64,
}

impl<'a> Parts<'a> {
    fn of(store: &'a dyn Store, shard: Shard, sequence: u64) -> Self {
        Self { store, shard, sequence, rows: Vec::new(), bytes: 0 }
    }

    /// Makes the jobs of a journal that are wanted parts, then forgets the journal.
    fn take_all(
        &mut self,
        journal: &mut Journal,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<(), Problem> {
        journal.each(|done, bytes| {
            let id = &done.outcome.id;
            if !is_id(id) {
                return Err("it has an id that none may have".to_owned().into());
            }
            if wanted(id) {
                self.rows.extend(done.rows()?);
                self.bytes += bytes as u64;
                if JOURNAL_OF_A_PART <= self.bytes {
                    self.put()?;
                }
            }
            Ok(())
        })?;
        if !self.rows.is_empty() {
            self.put()?;
        }
        journal.clear()
    }

    fn put(&mut self) -> Result<(), Problem> {
        let name = part_name(self.shard, self.sequence);
        self.store.put(&name, encoded(&self.rows)?, false)?;
        self.sequence += 1;
        (self.rows, self.bytes) = (Vec::new(), 0);
        Ok(())
    }
}

fn encoded(rows: &[Flat]) -> Result<Vec<u8>, Problem> {
    let failed = |error| format!("cannot make a part of {} rows: {error}", rows.len());
    write_part(rows).map_err(|error| Problem::new(ProblemKind::Internal, failed(error)))
}

/// A line of the journal and its rows: of the outcome, or of the problem that it cannot be kept.
fn fitting(
    outcome: &Outcome,
    thumbnails: &[Option<Vec<u8>>],
) -> Result<(Vec<u8>, Vec<Flat>), Problem> {
    let done = |outcome: Outcome, thumbnails| -> Result<_, Problem> {
        let done = Done::new(outcome, thumbnails);
        let line = serde_json::to_vec(&done);
        let failed = |error| format!("an outcome cannot be written as JSON: {error}");
        let mut line = line.map_err(|error| Problem::new(ProblemKind::Internal, failed(error)))?;
        line.push(b'\n');
        Ok((line, done.rows()))
    };
    let (line, rows) = done(outcome.clone(), thumbnails)?;
    let problem = match rows {
        Ok(rows) if line.len() <= LONGEST => return Ok((line, rows)),
        Ok(_) => {
            let message =
                format!("its results have more than {LONGEST} bytes: ask for less at once");
            Problem::new(ProblemKind::Memory, message)
        }
        Err(why) => {
            let message = format!("its results cannot be kept: {why}");
            Problem::new(ProblemKind::Model, message)
        }
    };
    let run = outcome.run.clone().filter(|run| run.seconds.is_finite());
    let outcome = Outcome {
        id: outcome.id.clone(),
        answer: None,
        rows: Vec::new(),
        run,
        problem: Some(problem),
    };
    let (line, rows) = done(outcome, &[])?;
    let internal = |why| Problem::new(ProblemKind::Internal, why);
    Ok((line, rows.map_err(internal)?))
}

/// Refuses a folder of something else in the place of the parts.
fn refuse_foreign(results: &Path) -> Result<(), Problem> {
    let entries = match fs::read_dir(results) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| file_problem("read", results, error))?,
    };
    for entry in entries {
        let name = entry.map_err(|error| file_problem("read", results, error))?.file_name();
        if !name.to_str().is_some_and(is_left_by_opening) {
            let why = format!("it holds {} and no data set", name.display());
            return Err(foreign(results, &why));
        }
    }
    Ok(())
}

/// Whether a process leaves a file of this name that ends while it makes a data set.
pub(crate) fn is_left_by_opening(name: &str) -> bool {
    name == LOCK || store::is_temporary(name)
}

/// Compares the header of a store with that of this run, or puts it there.
fn agree(store: &dyn Store, header: &Header) -> Result<(), Problem> {
    let own = HeaderFile { batch: VERSION, header: header.clone() };
    let named = store.named_header();
    let Some(found) = store.header()? else {
        let text = serde_json::to_vec_pretty(&own);
        let internal = |error: serde_json::Error| {
            Problem::new(ProblemKind::Internal, format!("{named} cannot be written: {error}"))
        };
        return store.put_header(text.map_err(internal)?);
    };
    let found: HeaderFile = serde_json::from_slice(&found)
        .map_err(|error| foreign(Path::new(&named), &error.to_string()))?;
    let same_weights = found.header.model_sha256 == header.model_sha256
        && (!header.model_sha256.is_empty() || found.header.model == header.model);
    let what = if found.batch != VERSION || found.header.program != header.program {
        format!("another version of the program, {}", found.header.program)
    } else if !same_weights {
        format!("another model, {}", found.header.model)
    } else if found.header.settings != header.settings {
        "other settings".to_owned()
    } else {
        return Ok(());
    };
    let message = format!(
        "{named} says that the data set was made with {what}: take up the batch with that, or choose another folder"
    );
    Err(Problem::new(ProblemKind::Option, message))
}

/// The journals of other divisions into shards, locked, and their temporary files removed.
fn left_behind(local: &Path, own: Shard) -> Result<Vec<Journal>, Problem> {
    let failed = |error| file_problem("read", local, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(local).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(shard) = name.to_str().and_then(Journal::shard) else { continue };
        if shard.count() == own.count() {
            continue;
        }
        let journal = Journal::open(local, shard)?.ok_or_else(|| {
            busy(format!(
                "another process writes shard {shard} of {}, which is being divided by {} and not by {}",
                local.display(),
                shard.count(),
                own.count()
            ))
        })?;
        let temporary = local.join(store::temporary_name(shard));
        let failed = |error| file_problem("remove", &temporary, error);
        disk::remove(&temporary).map_err(failed)?;
        found.push(journal);
    }
    let temporary = local.join(store::temporary_name(own));
    disk::remove(&temporary).map_err(|error| file_problem("remove", &temporary, error))?;
    Ok(found)
}

/// The lock of those that open a data set.
struct Lock(#[expect(dead_code, reason = "it is held")] File);

impl Lock {
    /// Waits for it.
    fn take(local: &Path, exclusive: bool) -> Result<Self, Problem> {
        let path = local.join(LOCK);
        let failed = |error| file_problem("use", &path, error);
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(foreign(&path, "it is no regular file"));
        }
        let file = fs::OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        let locked = if exclusive { file.lock() } else { file.lock_shared() };
        locked.map_err(|error| file_problem("lock", &path, error))?;
        Ok(Self(file))
    }
}

/// Writes a file of a folder of journals, whole or not at all.
#[cfg(feature = "cloud")]
pub(crate) fn put_local(
    local: &Path,
    shard: Shard,
    path: &Path,
    bytes: &[u8],
) -> Result<(), Problem> {
    let temporary = local.join(store::temporary_name(shard));
    disk::put(&temporary, path, bytes).map_err(|error| file_problem("write", path, error))
}

fn busy(what: String) -> Problem {
    Problem::new(ProblemKind::Busy, format!("{what}: wait for it, or choose another folder"))
}

pub(crate) fn file_problem(verb: &str, path: &Path, error: std::io::Error) -> Problem {
    let message = format!("cannot {verb} {}: {error}", path.display());
    Problem::new(ProblemKind::File, message)
}
