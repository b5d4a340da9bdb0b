//! Writing results to a folder: all of them or nothing, and nothing of anybody else is lost.

use std::path::{Path, PathBuf};

use gemma3_processor::Picture;
use relevancy_visualization::image::RgbImage;

use crate::arrays::Arrays;
use crate::record::{Files, Record, WrittenFile};
use crate::report::{self, REPORT};
use crate::results::Results;
use crate::{Answer, Error, Explainer, Explanations, Presentation};
pub use exported::{BoxAgreement, Exported, RegionTable};
use place::Guard;
use workplace::Workplace;
pub use workplace::remove_unfinished;

mod draw;
mod exported;
pub(crate) mod manifest;
mod names;
pub(crate) mod page;
mod place;
mod workplace;

pub(crate) const RECORD: &str = "explanation.json";
/// The name of the file with the arrays.
pub(crate) const ARRAYS: &str = "explanation.npz";
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

    /// Writes arrays, record, pictures and page, then puts them in place. What an earlier explanation left in the folder goes: the
    /// new record would not name it.
    ///
    /// # Errors
    /// Those of [`OutputFolder::create`], for what changed since; [`attention_capture::Error::Cancelled`] while drawing, never once
    /// something was put in place; [`Error::Write`] and the errors of drawing.
    pub fn write(
        mut self,
        explainer: &Explainer,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
    ) -> Result<Exported, Error> {
        let pictures = answer.question.pictures.iter();
        self.guard.protect(pictures.map(|picture| picture.name().into()));
        let results = Results::new(explainer, answer, explanations, presentation)?;
        let record = self.make(&results)?;
        let exported = self.exported(&results, record)?;
        explainer.check_cancelled()?;
        self.guard.place(&self.workplace)?;
        Ok(exported)
    }

    /// Makes everything in the hidden folder.
    fn make(&self, results: &Results<'_>) -> Result<Record, Error> {
        let staging = self.workplace.staging();
        let files = draw::draw(results, staging)?;
        let arrays = Arrays::new(results);
        arrays.write(results, &staging.join(ARRAYS))?;
        results.explainer.check_cancelled()?;
        let mut record = Record::new(results, files)?;
        let write = |name: &str, content: &str| {
            let path = staging.join(name);
            std::fs::write(&path, content).map_err(Error::write(path))
        };
        if record.files.report.is_some() {
            let pictures: Vec<&RgbImage> =
                results.answer.question.pictures.iter().map(Picture::rgb).collect();
            write(REPORT, &report::html(&record, &arrays, &pictures)?)?;
        }
        let reserved = self.guard.reserved().iter().map(String::as_str);
        let names = record.file_names().chain(reserved).map(str::to_owned).collect::<Vec<_>>();
        let written = names.iter().map(|name| WrittenFile::in_folder(staging, name));
        record.files.written = written.collect::<Result<_, _>>()?;
        write(RECORD, &manifest::seal(&mut record))?;
        Ok(record)
    }

    fn exported(&self, results: &Results<'_>, record: Record) -> Result<Exported, Error> {
        let path = |name: &String| self.workplace.folder().join(name);
        let json = record.to_json();
        let Files { overlays, finer, figures, report, .. } = &record.files;
        Ok(Exported {
            record: path(&RECORD.to_owned()),
            json,
            arrays: path(&record.files.arrays),
            overlays: overlays.iter().map(path).collect(),
            finer: finer.iter().map(path).collect(),
            figures: figures.iter().map(path).collect(),
            pictures: record.pictures.iter().map(|picture| path(&picture.file)).collect(),
            report: report.as_ref().map(path),
            regions: exported::region_tables(results)?,
            boxes: exported::box_agreements(results)?,
            notes: record.notes,
        })
    }
}

#[cfg(test)]
mod tests;
