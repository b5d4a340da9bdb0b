//! Where parts lie.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{disk, file_problem};
use crate::{Problem, Shard};

/// The file that says of what a data set is.
pub(crate) const HEADER: &str = "batch.json";
/// The folder of the parts.
pub(crate) const RESULTS: &str = "results";

/// A place of parts and their header.
pub(crate) trait Store: std::fmt::Debug + Send {
    /// The names of the parts, ascending.
    fn parts(&self) -> Result<Vec<String>, Problem>;
    /// A part, to read.
    fn open(&self, name: &str) -> Result<File, Problem>;
    /// Puts a part there, whole or not at all; one that is there is replaced only if `replace`.
    fn put(&self, name: &str, bytes: Vec<u8>, replace: bool) -> Result<(), Problem>;
    /// Removes a part.
    fn remove(&self, name: &str) -> Result<(), Problem>;
    /// The header.
    fn header(&self) -> Result<Option<Vec<u8>>, Problem>;
    /// Puts a header where none is.
    fn put_header(&self, bytes: Vec<u8>) -> Result<(), Problem>;
    /// Where a part is, for people.
    fn named(&self, name: &str) -> String;
    /// Where the header is, for people.
    fn named_header(&self) -> String;
}

/// The name of a part.
pub(crate) fn part_name(shard: Shard, sequence: u64) -> String {
    format!("part-{}-of-{}-{sequence:06}.parquet", shard.index(), shard.count())
}

/// The shard and the number of a part's name.
pub(crate) fn part_number(name: &str) -> Option<(Shard, u64)> {
    let rest = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
    let (shard, sequence) = rest.rsplit_once('-')?;
    let shard: Shard = shard.replacen("-of-", "/", 1).parse().ok()?;
    let sequence = sequence.parse().ok()?;
    (part_name(shard, sequence) == name).then_some((shard, sequence))
}

/// A folder.
#[derive(Debug)]
pub(crate) struct Folder {
    /// That of the header.
    root: PathBuf,
    results: PathBuf,
    /// The temporary name of what this process writes.
    temporary: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: &Path, shard: Shard) -> Self {
        let results = root.join(RESULTS);
        let temporary = results.join(temporary_name(shard));
        Self { root: root.to_owned(), results, temporary }
    }
}

/// The name of what a process of this shard has not written to its end.
pub(crate) fn temporary_name(shard: Shard) -> String {
    format!(".partial-{}-of-{}", shard.index(), shard.count())
}

/// Whether a file has such a name.
pub(crate) fn is_temporary(name: &str) -> bool {
    let shard = name.strip_prefix(".partial-").map(|shard| shard.replacen("-of-", "/", 1));
    shard.is_some_and(|shard| shard.parse::<Shard>().is_ok())
}

impl Store for Folder {
    fn parts(&self) -> Result<Vec<String>, Problem> {
        let failed = |error| file_problem("read", &self.results, error);
        let mut names = Vec::new();
        for found in fs::read_dir(&self.results).map_err(failed)? {
            let name = found.map_err(failed)?.file_name();
            names.extend(
                name.to_str().filter(|name| part_number(name).is_some()).map(str::to_owned),
            );
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<File, Problem> {
        let path = self.results.join(name);
        let failed = |error| file_problem("read", &path, error);
        // Opening a pipe would wait for its writer.
        if !fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(super::journal::foreign(&path, "it is no regular file"));
        }
        File::open(&path).map_err(failed)
    }

    fn put(&self, name: &str, bytes: Vec<u8>, replace: bool) -> Result<(), Problem> {
        let path = self.results.join(name);
        if !replace && fs::symlink_metadata(&path).is_ok() {
            return Err(super::journal::foreign(&path, "it came while the batch ran"));
        }
        disk::put(&self.temporary, &path, &bytes)
            .map_err(|error| file_problem("write", &path, error))
    }

    fn remove(&self, name: &str) -> Result<(), Problem> {
        let path = self.results.join(name);
        disk::remove(&path)
            .and_then(|()| disk::sync_folder(&path))
            .map_err(|error| file_problem("remove", &path, error))
    }

    fn header(&self) -> Result<Option<Vec<u8>>, Problem> {
        read_header(&self.root.join(HEADER))
    }

    fn put_header(&self, bytes: Vec<u8>) -> Result<(), Problem> {
        let path = self.root.join(HEADER);
        let failed = |error| file_problem("write", &path, error);
        disk::put(&self.temporary, &path, &bytes).map_err(failed)
    }

    fn named(&self, name: &str) -> String {
        self.results.join(name).display().to_string()
    }

    fn named_header(&self) -> String {
        self.root.join(HEADER).display().to_string()
    }
}

/// Reads a header, if there is one.
pub(crate) fn read_header(path: &Path) -> Result<Option<Vec<u8>>, Problem> {
    /// More than any header has.
    const LARGEST: u64 = 1 << 20;
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_problem("read", path, error)),
        Ok(found) if !found.is_file() || LARGEST < found.len() => {
            Err(super::journal::foreign(path, "it is no small regular file"))
        }
        Ok(_) => fs::read(path).map(Some).map_err(|error| file_problem("read", path, error)),
    }
}
