//! What is done and in no part yet: a line of JSON for each job, on the disk before the next job is begun.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::columns::{Flat, Unfit};
use super::row::rows_of;
use super::{disk, file_problem};
use crate::{Outcome, Problem, ProblemKind, Shard};

/// Most bytes of a line.
pub(crate) const LONGEST: usize = 512 << 20;

/// A job that is done.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// In base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    thumbnails: Vec<Option<String>>,
}

impl Done {
    pub(crate) fn new(mut outcome: Outcome, thumbnails: &[Option<Vec<u8>>]) -> Self {
        if let Some(answer) = &mut outcome.answer {
            answer.tokens.clear();
        }
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
        Self { outcome, thumbnails: thumbnails.iter().map(text).collect() }
    }

    /// Its rows, or what of it cannot be one.
    pub(crate) fn rows(self) -> Result<Vec<Flat>, String> {
        let decode = |text: Option<String>| text.map(|text| STANDARD.decode(text)).transpose();
        let thumbnails = self.thumbnails.into_iter().map(decode).collect::<Result<Vec<_>, _>>();
        let thumbnails = thumbnails.map_err(|_| "its thumbnails are not base64".to_owned())?;
        let rows = rows_of(self.outcome, thumbnails);
        let why = |unfit: Unfit| {
            format!("{} has numbers that are not finite, too large, or too many or few", unfit.0)
        };
        rows.iter().map(|row| Flat::of(row).map_err(why)).collect()
    }
}

/// Why a line is not taken.
pub(crate) enum Refusal {
    /// It is not of this program.
    Line(String),
    /// Something else.
    Problem(Problem),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Line(why)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// The journal of a shard, locked against other processes.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    pub(crate) path: PathBuf,
    /// Bytes of whole lines. What stands behind them is what is left of a line that could not be written.
    length: u64,
    /// Whether something may stand behind them.
    torn: bool,
}

impl Journal {
    /// The name of the file of a shard.
    pub(crate) fn name(shard: Shard) -> String {
        format!(".journal-{}-of-{}.jsonl", shard.index(), shard.count())
    }

    /// The shard of a file's name.
    pub(crate) fn shard(name: &str) -> Option<Shard> {
        let numbers = name.strip_prefix(".journal-")?.strip_suffix(".jsonl")?;
        let shard: Shard = numbers.replacen("-of-", "/", 1).parse().ok()?;
        (Self::name(shard) == name).then_some(shard)
    }

    /// Opens and locks a journal, which is made if needed. `None` where another process holds it.
    pub(crate) fn open(folder: &Path, shard: Shard) -> Result<Option<Self>, Problem> {
        let path = folder.join(Self::name(shard));
        let failed = |error| file_problem("use", &path, error);
        if std::fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(foreign(&path, "it is no regular file"));
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(file_problem("lock", &path, error)),
        }
        let found = file.metadata().map_err(failed)?.len();
        let length = whole_lines(&file, found).map_err(failed)?;
        Ok(Some(Self { file, path, length, torn: length < found }))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: &[u8]) -> Result<(), Problem> {
        let path = &self.path;
        let failed = |error| file_problem("write", path, error);
        if self.torn {
            disk::cut(&self.file, self.length).map_err(failed)?;
        }
        self.torn = true;
        disk::append(&mut self.file, line).map_err(failed)?;
        self.torn = false;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) -> Result<(), Problem> {
        if 0 < self.length || self.torn {
            self.torn = true;
            let failed = |error| file_problem("write", &self.path, error);
            disk::cut(&self.file, 0).map_err(failed)?;
        }
        (self.length, self.torn) = (0, false);
        Ok(())
    }

    /// Hands every job that is done to `take`, with the bytes of its line.
    pub(crate) fn each(
        &self,
        mut take: impl FnMut(Done, usize) -> Result<(), Refusal>,
    ) -> Result<(), Problem> {
        let failed = |error| file_problem("read", &self.path, error);
        let mut file = File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut lines = BufReader::new(file.take(self.length));
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            number += 1;
            let most = LONGEST as u64 + 1;
            if lines.by_ref().take(most).read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(());
            }
            let wrong = |why: &str| foreign(&self.path, &format!("line {number}: {why}"));
            if LONGEST < line.len() {
                return Err(wrong("it is too long"));
            }
            let done: Done =
                serde_json::from_slice(&line).map_err(|error| wrong(&error.to_string()))?;
            take(done, line.len()).map_err(|refusal| match refusal {
                Refusal::Line(why) => wrong(&why),
                Refusal::Problem(problem) => problem,
            })?;
        }
    }
}

/// The length of a file up to the end of its last whole line.
fn whole_lines(file: &File, length: u64) -> std::io::Result<u64> {
    let mut file = file;
    let mut end = length;
    let mut block = vec![0; 1 << 16];
    while 0 < end {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

pub(crate) fn foreign(path: &Path, why: &str) -> Problem {
    let message = format!(
        "{} is not of this program ({why}): move it away, or choose another folder",
        path.display()
    );
    Problem::new(ProblemKind::File, message)
}
