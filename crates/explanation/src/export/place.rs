//! Putting results in place: only what this program wrote is replaced or removed, and what was begun is finished.

use std::fs;
use std::path::{Path, PathBuf};

use super::Workplace;
use super::manifest::Manifest;
use super::workplace::PLACING;
use crate::file_name::RECORD;
use crate::{Error, FileName};

/// The record that was there before, in the hidden folder, while results are put in place.
const EARLIER: &str = ".earlier.json";

/// What must stay: files that are asked about, and names of the caller's own results.
#[derive(Debug)]
pub(crate) struct Guard {
    inputs: Vec<PathBuf>,
    reserved: Vec<String>,
}

impl Guard {
    pub(crate) fn new(inputs: &[&Path]) -> Self {
        let inputs = inputs.iter().map(|&path| path.to_owned()).collect();
        Self { inputs, reserved: Vec::new() }
    }

    pub(crate) fn reserve(&mut self, name: &str) {
        self.reserved.push(name.to_owned());
    }

    pub(crate) fn reserved(&self) -> &[String] {
        &self.reserved
    }

    pub(crate) fn protect(&mut self, inputs: impl IntoIterator<Item = PathBuf>) {
        self.inputs.extend(inputs);
    }

    /// Looks through a folder before anything is done in it.
    ///
    /// # Errors
    /// [`Error::Foreign`] for files of others under the name of a result, [`Error::IsInput`] for a result that is asked about.
    pub(crate) fn check(&self, folder: &Path) -> Result<(), Error> {
        let manifest = Manifest::read(&folder.join(RECORD));
        let reason = manifest.as_ref().err().copied();
        let manifest = manifest.unwrap_or_default();
        let is_reserved = |name: &str| self.reserved.iter().any(|reserved| reserved == name);
        let ours = survey(folder, (&[&manifest], reason), is_reserved)?;
        self.check_inputs(folder, &ours)
    }

    fn check_inputs(&self, folder: &Path, ours: &[String]) -> Result<(), Error> {
        // Only plain files: to look at a pipe is to wait for it.
        let is_file = |path: &&PathBuf| path.metadata().is_ok_and(|found| found.is_file());
        for input in self.inputs.iter().filter(is_file) {
            let is_input =
                |name: &&String| same_file::is_same_file(input, folder.join(name)).unwrap_or(false);
            if let Some(name) = ours.iter().find(is_input) {
                return Err(Error::IsInput { path: input.clone(), result: folder.join(name) });
            }
        }
        Ok(())
    }

    /// Puts in place what lies in the hidden folder, its record included.
    pub(crate) fn place(&self, workplace: &Workplace) -> Result<(), Error> {
        self.check(workplace.folder())?;
        let (earlier, kept) = (workplace.folder().join(RECORD), workplace.staging().join(EARLIER));
        if earlier.exists() {
            fs::copy(&earlier, &kept).map_err(Error::write(&kept))?;
        }
        workplace.place(|| self.finish(workplace))
    }

    /// Puts in place what is still in the hidden folder and removes what was there before. It may be called again after a process
    /// ended in the middle of it.
    pub(crate) fn finish(&self, workplace: &Workplace) -> Result<(), Error> {
        let (folder, staging) = (workplace.folder(), workplace.staging());
        let earlier = Manifest::read(&staging.join(EARLIER)).unwrap_or_default();
        let record = [staging.join(RECORD), folder.join(RECORD)];
        let record = record.iter().find(|path| path.exists()).unwrap_or(&record[0]);
        let new = Manifest::read(record).map_err(|problem| Error::ReadRecord {
            path: record.clone(),
            problem: problem.to_owned(),
        })?;
        let there = survey(folder, (&[&earlier, &new], None), |name| new.lists(name))?;
        self.check_inputs(folder, &there)?;
        let marker = staging.join(PLACING);
        fs::write(&marker, "").map_err(Error::write(&marker))?;
        for name in new.names().filter(|name| staging.join(name).exists()) {
            let path = folder.join(name);
            fs::rename(staging.join(name), &path).map_err(Error::write(path))?;
        }
        for path in there.iter().filter(|name| !new.lists(name)).map(|name| folder.join(name)) {
            fs::remove_file(&path).map_err(Error::write(path))?;
        }
        fs::remove_file(&marker).map_err(Error::write(marker))
    }
}

/// The files in `folder` that the manifests cover. `reason`: why they cover less than they might.
///
/// # Errors
/// [`Error::Foreign`] for others that have a name of a result, or one that is wanted.
fn survey(
    folder: &Path,
    (manifests, reason): (&[&Manifest], Option<&str>),
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Error> {
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(Error::write(folder))? {
        let name = entry.map_err(Error::write(folder))?.file_name();
        let Some(name) = name.to_str() else { continue };
        if manifests.iter().any(|manifest| manifest.covers(folder, name)) {
            ours.push(name.to_owned());
        } else if FileName::could_be(name) || is_wanted(name) {
            foreign.push(name.to_owned());
        }
    }
    if foreign.is_empty() {
        return Ok(ours);
    }
    foreign.sort();
    let reason =
        reason.unwrap_or("the explanation.json there does not list them in their present state");
    Err(Error::Foreign { folder: folder.to_owned(), files: foreign, reason: reason.to_owned() })
}
