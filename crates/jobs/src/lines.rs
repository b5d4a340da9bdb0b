//! A file of jobs, read line by line.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File, FileType};
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Job, Problem, ProblemKind};

/// Bytes of a line of a file of jobs.
pub const LONGEST_LINE: usize = 64 << 20;

/// A JSONL file of jobs: one a line, blank lines between them, UTF-8, with a byte order mark or without.
///
/// It may be larger than the memory. It is read twice: [`JobFile::open`] looks at the ids alone, of which it keeps 24 bytes each, so
/// that an id that stands twice is found before any work is done; [`JobFile::entries`] then gives one job after the other.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("jobs.jsonl");
/// std::fs::write(&path, "{\"id\": \"a\", \"prompt\": \"What is this?\"}\n\n{\"id\": \"b\"}\n")?;
/// let jobs = explanation_jobs::JobFile::open(&path)?;
/// assert_eq!(jobs.count(), 2);
/// let mut entries = jobs.entries(|_id| true)?;
/// let first = entries.next().expect("the first")?;
/// assert_eq!((first.line, first.id.as_str(), first.job.is_ok()), (1, "a", true));
/// let second = entries.next().expect("the second")?;
/// assert!(second.job.unwrap_err().message.contains("asks nothing"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JobFile {
    path: PathBuf,
    count: u64,
    sha256: String,
}

/// A line of a file of jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The number of the line, from 1.
    pub line: u64,
    /// The id of the job; `line 7` where the line names none.
    pub id: String,
    /// The job, or what is wrong with it.
    pub job: Result<Job, Problem>,
}

impl JobFile {
    /// Reads the ids of a file.
    ///
    /// # Errors
    /// [`ProblemKind::File`] for what is no regular file or cannot be read, and for a file without jobs; [`ProblemKind::Job`] for an id
    /// that stands twice, with both lines.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Problem> {
        let path = path.as_ref().to_owned();
        let mut lines = Lines::open(&path)?;
        let mut seen: HashMap<[u8; 16], u64> = HashMap::new();
        while let Some(line) = lines.next_line()? {
            let id = line.id();
            let hash = Sha256::digest(id.as_bytes());
            let mut key = [0; 16];
            key.copy_from_slice(&hash[..16]);
            if let Some(first) = seen.insert(key, line.number) {
                let message = format!(
                    "{}: lines {first} and {} have the same id, {id:?}; each job needs its own",
                    path.display(),
                    line.number
                );
                return Err(Problem::new(ProblemKind::Job, message));
            }
        }
        if seen.is_empty() {
            return Err(unreadable(&path, "it holds no job: write one a line, as JSON"));
        }
        Ok(Self { count: seen.len() as u64, sha256: lines.sha256(), path })
    }

    /// How many jobs it has, those with mistakes included.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The jobs whose ids are wanted, in the order of the file. The others are not read further than that.
    ///
    /// The iterator gives an error, and ends, where the file cannot be read any more, and at the end where it is another than
    /// [`JobFile::open`] saw.
    ///
    /// # Errors
    /// [`ProblemKind::File`] where the file cannot be opened any more.
    pub fn entries<F: FnMut(&str) -> bool>(&self, wanted: F) -> Result<Entries<F>, Problem> {
        let lines = Some(Lines::open(&self.path)?);
        Ok(Entries { lines, wanted, sha256: self.sha256.clone() })
    }
}

/// The jobs of a [`JobFile`].
#[derive(Debug)]
pub struct Entries<F> {
    /// `None` at the end.
    lines: Option<Lines>,
    wanted: F,
    sha256: String,
}

impl<F: FnMut(&str) -> bool> Iterator for Entries<F> {
    type Item = Result<Entry, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let lines = self.lines.as_mut()?;
            match lines.next_line() {
                Ok(Some(line)) => {
                    let id = line.id();
                    if (self.wanted)(&id) {
                        return Some(Ok(Entry { line: line.number, id, job: line.job() }));
                    }
                }
                Ok(None) => {
                    let lines = self.lines.take()?;
                    let changed = lines.sha256() != self.sha256;
                    let why = "it has changed since it was opened; run again";
                    return changed.then(|| Err(unreadable(&lines.path, why)));
                }
                Err(problem) => {
                    self.lines = None;
                    return Some(Err(problem));
                }
            }
        }
    }
}

/// What is read of a file, line by line.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    number: u64,
    buffer: Vec<u8>,
    hash: Sha256,
}

/// A line that is not blank.
struct Line<'a> {
    number: u64,
    /// Its text, or why there is none.
    text: Result<&'a str, String>,
}

impl Line<'_> {
    fn id(&self) -> String {
        let found = self.text.as_ref().ok().and_then(|text| Job::id_of(text));
        found.unwrap_or_else(|| format!("line {}", self.number))
    }

    fn job(&self) -> Result<Job, Problem> {
        match &self.text {
            Ok(text) => Job::parse(text),
            Err(why) => Err(Problem::new(ProblemKind::Job, why.clone())),
        }
    }
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Problem> {
        let failed = |error: std::io::Error| unreadable(path, &error.to_string());
        // Before it is opened: opening a pipe waits for its writer.
        let kind = fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_file() {
            let why = format!("it is {}, and jobs are read from a file", name(kind));
            return Err(unreadable(path, &why));
        }
        let mut file = File::open(path).map_err(failed)?;
        let mut mark = [0; 3];
        let mut hash = Sha256::new();
        match file.read_exact(&mut mark) {
            Ok(()) if mark == [0xef, 0xbb, 0xbf] => hash.update(mark),
            _ => file.rewind().map_err(failed)?,
        }
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(Self { path: path.to_owned(), file, number: 0, buffer: Vec::new(), hash })
    }

    /// The next line that is not blank.
    fn next_line(&mut self) -> Result<Option<Line<'_>>, Problem> {
        let too_long = loop {
            let Some(too_long) = self.read_line()? else { return Ok(None) };
            self.number += 1;
            if too_long || !self.buffer.trim_ascii().is_empty() {
                break too_long;
            }
        };
        let text = match str::from_utf8(&self.buffer) {
            _ if too_long => Err(format!(
                "the line has more than {LONGEST_LINE} bytes: name pictures by their paths instead of writing their bytes"
            )),
            Ok(text) => Ok(text),
            Err(_) => Err("the line is not UTF-8".to_owned()),
        };
        Ok(Some(Line { number: self.number, text }))
    }

    /// Reads a line into the buffer: nothing at the end of the file, else whether it is too long to be kept.
    fn read_line(&mut self) -> Result<Option<bool>, Problem> {
        self.buffer.clear();
        let (mut any, mut too_long) = (false, false);
        loop {
            let failed = |error: std::io::Error| unreadable(&self.path, &error.to_string());
            let found = match self.file.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                found => found.map_err(failed)?,
            };
            if found.is_empty() {
                return Ok(any.then_some(too_long));
            }
            any = true;
            let end = found.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(found.len(), |at| at + 1);
            let part = &found[..taken];
            self.hash.update(part);
            too_long |= LONGEST_LINE < self.buffer.len() + part.len();
            if too_long {
                self.buffer = Vec::new();
            } else {
                self.buffer.extend_from_slice(part);
            }
            self.file.consume(taken);
            if end.is_some() {
                return Ok(Some(too_long));
            }
        }
    }

    /// Of what was read.
    fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

fn unreadable(path: &Path, why: &str) -> Problem {
    Problem::new(ProblemKind::File, format!("cannot read jobs from {}: {why}", path.display()))
}

fn name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
    }
    "a device or the like"
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Written {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn written(bytes: &[u8]) -> Written {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.jsonl");
        fs::write(&path, bytes).unwrap();
        Written { _folder: folder, path }
    }

    fn all(file: &JobFile) -> Vec<Result<Entry, Problem>> {
        file.entries(|_| true).unwrap().collect()
    }

    #[test]
    fn each_line_is_a_job_or_says_what_is_wrong() {
        let text = "\u{feff}{\"id\":\"a\",\"prompt\":\"P\"}\r\n\n  \t\n{\"id\":\"b\",\"promt\":1}\nnonsense\n{\"id\":\"c\",\"prompt\":\"Ω\"}";
        let file = written(&[text.as_bytes(), b"\n\xff\n"].concat());
        let jobs = JobFile::open(&file.path).unwrap();
        assert_eq!(jobs.count(), 5);
        let found: Vec<Entry> = all(&jobs).into_iter().map(Result::unwrap).collect();
        let places: Vec<_> = found.iter().map(|it| (it.line, it.id.as_str())).collect();
        assert_eq!(places, [(1, "a"), (4, "b"), (5, "line 5"), (6, "c"), (7, "line 7")]);
        assert_eq!(found[3].job.as_ref().unwrap().prompt.as_deref(), Some("Ω"));
        assert!(found[1].job.as_ref().unwrap_err().message.contains("promt"));
        assert!(found[4].job.as_ref().unwrap_err().message.contains("UTF-8"));
        let some: Vec<_> =
            jobs.entries(|id| id == "c").unwrap().map(|it| it.unwrap().line).collect();
        assert_eq!(some, [6]);
    }

    #[test]
    fn the_hash_is_that_of_the_file() {
        let file = written(b"{\"id\":\"a\"}\n");
        let found = JobFile::open(&file.path).unwrap();
        // printf '{"id":"a"}\n' | sha256sum
        let known = "3b18c8bfa27eeb355f2f3bf7568833352c719338fa8faa213f1428cfa0fa2975";
        assert_eq!(found.sha256(), known);
    }

    #[test]
    fn an_id_that_stands_twice_is_refused_with_both_lines() {
        let file = written(b"{\"id\":\"a\"}\n\n{\"id\":\"b\"}\n{\"id\":\"a\",\"x\":1}\n");
        let problem = JobFile::open(&file.path).unwrap_err();
        assert!(problem.message.contains("lines 1 and 4"), "{problem}");
        // So is what stands in the place of an id.
        let file = written(b"{\"id\":\"line 2\"}\nnonsense\n");
        assert!(JobFile::open(&file.path).unwrap_err().message.contains("lines 1 and 2"));
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let file = written(b"{\"id\":\"a\",\"prompt\":\"P\"}\n");
        let mut out = fs::OpenOptions::new().append(true).open(&file.path).unwrap();
        let block = vec![b'x'; 1 << 20];
        (0..=64).for_each(|_| out.write_all(&block).unwrap());
        out.write_all(b"\n{\"id\":\"b\",\"prompt\":\"P\"}\n").unwrap();
        let jobs = JobFile::open(&file.path).unwrap();
        let found: Vec<Entry> = all(&jobs).into_iter().map(Result::unwrap).collect();
        assert_eq!(found.len(), 3);
        assert!(found[1].job.as_ref().unwrap_err().message.contains("more than 67108864 bytes"));
        assert_eq!(found[2].id, "b");
    }

    #[test]
    fn what_is_no_file_of_jobs_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let open = |path: &Path| JobFile::open(path).unwrap_err().message;
        assert!(open(folder.path()).contains("it is a folder"));
        assert!(open(&folder.path().join("missing")).contains("missing"));
        assert!(open(&written(b"\n \n").path).contains("no job"));
        if Path::new("/dev/zero").exists() {
            assert!(open(Path::new("/dev/zero")).contains("a device"));
        }
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let file = written(b"{\"id\":\"a\",\"prompt\":\"P\"}\n");
        let jobs = JobFile::open(&file.path).unwrap();
        fs::write(&file.path, b"{\"id\":\"a\",\"prompt\":\"Q\"}\n").unwrap();
        let found = all(&jobs);
        assert!(found[0].is_ok());
        assert!(found[1].as_ref().unwrap_err().message.contains("has changed"));
    }
}
