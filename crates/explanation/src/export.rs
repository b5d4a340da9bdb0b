//! Writing results to a folder: all of them or nothing, and nothing of anybody else is lost.

use std::path::{Path, PathBuf};

use crate::record::{Files, Record, WrittenFile};
use crate::{Error, Explained, FileName, Presentation, arrays, report};
pub use exported::{BoxAgreement, Exported, RegionTable};
use place::Guard;
use workplace::Workplace;
pub use workplace::remove_unfinished;

mod draw;
mod exported;
pub(crate) mod manifest;
pub(crate) mod page;
mod place;
mod workplace;

/// What locks and hidden folders are called after.
const PROGRAM: &str = "medgemma-explainer";

/// A folder that results will be put in.
///
/// It is made, looked through and taken for this process before the work begins. [`OutputFolder::write`] makes everything in a hidden
/// folder inside it and then puts it in place. Folders that were made for nothing go when this value is dropped.
///
/// Of what is in the folder, only files that `explanation.json` there lists are replaced or removed, and only while they are what
/// was written: the record holds their SHA-256 and its own.
#[derive(Debug)]
pub struct OutputFolder {
    workplace: Workplace,
    guard: Guard,
}

impl OutputFolder {
    /// Makes the folder where it is not there, finishes or removes what a process that was killed left in it, and checks that
    /// nothing is lost when results are put there. `inputs` are the files that the work is about; others than files are passed over.
    ///
    /// # Errors
    /// [`Error::Write`] for a folder that cannot be made or written to, [`Error::InUse`] while another writes to it,
    /// [`Error::Foreign`] for files in it that have the name of a result and are not what this program wrote, and
    /// [`Error::IsInput`] for a result in it that is one of the inputs.
    pub fn create(path: &Path, inputs: &[&Path]) -> Result<Self, Error> {
        let workplace = Workplace::open(path, PROGRAM)?;
        let guard = Guard::new(inputs);
        if workplace.was_placing() {
            guard.finish(&workplace)?;
        }
        guard.check(path)?;
        workplace.stage()?;
        Ok(Self { workplace, guard })
    }

    /// Takes a file of the caller's own among the results: the answer is the path where it is to be written before
    /// [`OutputFolder::write`], which puts it in place under `name`.
    ///
    /// # Errors
    /// [`Error::Foreign`] for a file of this name that this program did not write.
    pub fn reserve(&mut self, name: &str) -> Result<PathBuf, Error> {
        self.guard.reserve(name);
        self.guard.check(self.workplace.folder())?;
        Ok(self.workplace.staging().join(name))
    }

    /// Names more files that results must not replace: the pictures of the question, once they are known.
    pub fn protect(&mut self, inputs: impl IntoIterator<Item = PathBuf>) {
        self.guard.protect(inputs);
    }

    /// Writes arrays, record, pictures and page, then puts them in place. What an earlier explanation left in the folder goes: the
    /// new record would not name it. `cancelled` is asked between drawings.
    ///
    /// # Errors
    /// Those of [`OutputFolder::create`], for what changed since; [`Error::Cancelled`] while drawing, never once something was put in
    /// place; [`Error::Write`] and the errors of drawing.
    pub fn write(
        self,
        explained: &Explained<'_>,
        presentation: &Presentation,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Exported, Error> {
        let go_on = || if cancelled() { Err(Error::Cancelled) } else { Ok(()) };
        let staging = self.workplace.staging();
        let mut names = draw::draw_all(explained, presentation, staging, cancelled)?;
        names.push(FileName::Arrays);
        arrays::write(explained, &staging.join(FileName::Arrays.to_string()))?;
        go_on()?;
        if presentation.report {
            names.push(FileName::Report);
            self.stage(FileName::Report, &report::html(explained)?)?;
        }
        let record = Record::new(explained, &names);
        let peak_rss_bytes = peak_memory().or(record.peak_rss_bytes); // drawing may have taken the most
        let record = self.record(Record { peak_rss_bytes, ..record })?;
        let exported = self.exported(explained, record);
        go_on()?;
        self.guard.place(&self.workplace)?;
        Ok(exported)
    }

    /// Writes the record of what lies in the hidden folder.
    fn record(&self, mut record: Record) -> Result<Record, Error> {
        let reserved = self.guard.reserved().iter().map(String::as_str);
        let names = record.file_names().chain(reserved).map(str::to_owned).collect::<Vec<_>>();
        let staging = self.workplace.staging();
        let written = names.iter().map(|name| WrittenFile::in_folder(staging, name));
        record.files.written = written.collect::<Result<_, _>>()?;
        self.stage(FileName::Record, &manifest::seal(&mut record))?;
        Ok(record)
    }

    fn stage(&self, name: FileName, content: &str) -> Result<(), Error> {
        let path = self.workplace.staging().join(name.to_string());
        std::fs::write(&path, content).map_err(Error::write(path))
    }

    fn exported(&self, explained: &Explained<'_>, record: Record) -> Exported {
        let path = |name: &String| self.workplace.folder().join(name);
        let json = record.to_json();
        let Files { overlays, finer, figures, report, .. } = &record.files;
        Exported {
            record: path(&FileName::Record.to_string()),
            json,
            arrays: path(&record.files.arrays),
            overlays: overlays.iter().map(path).collect(),
            finer: finer.iter().map(path).collect(),
            figures: figures.iter().map(path).collect(),
            pictures: record.pictures.iter().map(|picture| path(&picture.file)).collect(),
            report: report.as_ref().map(path),
            regions: exported::region_tables(explained),
            boxes: exported::box_agreements(explained),
            notes: record.notes,
        }
    }
}

/// The most memory that the process had in use at a time in bytes, mapped files included; Linux only.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests;
