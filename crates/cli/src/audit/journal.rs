//! What is done of an audit, kept as it goes: a line that says what is audited, then a line for each case that is done.
//!
//! A run that was stopped goes on from there. Only a whole line counts: what a killed process left of one is cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use model_audit::Row;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The file in the folder of the results.
pub(super) const FILE: &str = "audit.jsonl";

/// What is audited, and how: rows of another audit do not go with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The version of this file's form.
    pub(super) audit: u32,
    /// The version of the program.
    pub(super) program: String,
    /// The model, with the SHA-256 of its files.
    pub(super) model: Value,
    /// Of the file of cases.
    pub(super) set_sha256: String,
    /// All options that change a number.
    pub(super) settings: Value,
}

/// The version of [`Header::audit`].
pub(super) const VERSION: u32 = 1;

/// The open file, locked against a second run.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// What is done.
    pub(super) rows: Vec<Row>,
}

impl Journal {
    /// Opens that of a folder, which is made if needed. Rows of cases that failed are dropped, so that they are tried again.
    pub(super) fn open(folder: &Path, header: &Header) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let path = folder.join(FILE);
        let named = || format!("cannot use {}", path.display());
        if std::fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            bail!("{} is no regular file: choose another --out", path.display());
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .with_context(named)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another audit is writing to {}: wait for it, or choose another --out",
                folder.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(named),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(named)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut rows: Vec<Row> = Vec::new();
        match lines.next() {
            None if text.is_empty() || is_begun(&text) => {}
            None => bail!("{}", foreign(&path)),
            Some(first) => {
                let found: Header =
                    serde_json::from_slice(first).map_err(|_| anyhow::anyhow!(foreign(&path)))?;
                if let Some(what) = difference(&found, header) {
                    bail!(
                        "{} holds an audit with {what}: choose another --out, or move that file away",
                        path.display()
                    );
                }
                for line in lines {
                    let row = serde_json::from_slice(line);
                    rows.push(row.map_err(|_| anyhow::anyhow!(foreign(&path)))?);
                }
            }
        }
        let mut journal = Self { file, path: path.clone(), rows };
        journal.rows.retain(|row| row.error.is_none());
        // What counts, and nothing else: written anew beside the old one and put in its place while that is locked.
        journal.rewrite(header).with_context(named)?;
        Ok(journal)
    }

    fn rewrite(&mut self, header: &Header) -> Result<()> {
        let mut text = serde_json::to_string(header)? + "\n";
        for row in &self.rows {
            text += &(serde_json::to_string(row)? + "\n");
        }
        self.file.seek(SeekFrom::Start(0))?;
        let mut old = String::new();
        self.file.read_to_string(&mut old)?;
        if old == text {
            return Ok(());
        }
        let partial = self.path.with_file_name(".audit.jsonl.partial");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        let file = OpenOptions::new().read(true).append(true).open(&partial)?;
        file.try_lock()?;
        std::fs::rename(&partial, &self.path)?;
        self.file = file;
        Ok(())
    }

    /// Adds a case that is done.
    pub(super) fn add(&mut self, row: Row) -> Result<()> {
        let line = serde_json::to_string(&row)? + "\n";
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.flush())
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.rows.push(row);
        Ok(())
    }
}

/// Whether a text is what a process that was killed at once left of a header.
fn is_begun(text: &[u8]) -> bool {
    let begin = b"{\"audit\":";
    let length = text.len().min(begin.len());
    text[..length] == begin[..length]
}

fn foreign(path: &Path) -> String {
    format!("{} is not of an audit of this program: choose another --out", path.display())
}

/// What another audit is of, where it is another.
fn difference(found: &Header, wanted: &Header) -> Option<&'static str> {
    if found.audit != wanted.audit || found.program != wanted.program {
        return Some("another version of this program");
    }
    if found.model != wanted.model {
        return Some("another model");
    }
    if found.set_sha256 != wanted.set_sha256 {
        return Some("another file of cases");
    }
    (found.settings != wanted.settings).then_some("other options")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            audit: VERSION,
            program: "1".to_owned(),
            model: Value::from("m"),
            set_sha256: "s".to_owned(),
            settings: Value::Null,
        }
    }

    fn row(id: &str, error: Option<&str>) -> Row {
        Row {
            id: id.to_owned(),
            patient: 0,
            label: None,
            group: None,
            right_answer: None,
            observed: None,
            error: error.map(ToOwned::to_owned),
        }
    }

    fn ids(journal: &Journal) -> Vec<&str> {
        journal.rows.iter().map(|row| row.id.as_str()).collect()
    }

    #[test]
    fn it_goes_on_where_it_was_killed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut journal = Journal::open(folder.path(), &header()).unwrap();
        journal.add(row("a", None)).unwrap();
        journal.add(row("b", Some("no such file"))).unwrap();
        assert!(Journal::open(folder.path(), &header()).is_err(), "it is locked");
        drop(journal);
        let mut text = std::fs::read(&path).unwrap();
        text.extend(b"{\"id\": \"c\", \"pat");
        std::fs::write(&path, &text).unwrap();
        let mut journal = Journal::open(folder.path(), &header()).unwrap();
        assert_eq!(ids(&journal), ["a"], "a failed case is tried again, half a line is none");
        assert!(Journal::open(folder.path(), &header()).is_err(), "it is locked still");
        journal.add(row("b", None)).unwrap();
        drop(journal);
        assert_eq!(ids(&Journal::open(folder.path(), &header()).unwrap()), ["a", "b"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        // Killed in its first line.
        std::fs::write(&path, "{\"aud").unwrap();
        assert!(Journal::open(folder.path(), &header()).unwrap().rows.is_empty());
    }

    #[test]
    fn what_belongs_to_something_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        drop(Journal::open(folder.path(), &header()).unwrap());
        let before = std::fs::read(&path).unwrap();
        for (other, what) in [
            (Header { model: Value::Null, ..header() }, "another model"),
            (Header { set_sha256: String::new(), ..header() }, "another file of cases"),
            (Header { settings: Value::from(1), ..header() }, "other options"),
            (Header { program: "2".to_owned(), ..header() }, "another version"),
        ] {
            let error = Journal::open(folder.path(), &other).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        for text in ["my notes", "my notes\n", "{}\n"] {
            std::fs::write(&path, text).unwrap();
            let error = Journal::open(folder.path(), &header()).unwrap_err().to_string();
            assert!(error.contains("not of an audit"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
