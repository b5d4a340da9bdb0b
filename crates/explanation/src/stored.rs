//! What an earlier run left in a folder.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::arrays::Arrays;
use crate::export::manifest::LONGEST_RECORD;
use crate::export::page;
use crate::file_name::{ARRAYS, RECORD, REPORT};
use crate::record::{FoilRecord, Record, SCHEMA, SCHEMA_VERSION};
use crate::{Error, Explained, report};

mod pictures;
mod restore;

/// The record, numbers and pictures of a folder that [`crate::OutputFolder::write`] filled.
pub struct Stored {
    folder: PathBuf,
    record: Record,
    /// What the file of the record holds.
    text: String,
    explained: Explained<'static>,
}

impl Stored {
    /// Reads `explanation.json`, `explanation.npz` and the pictures beside them, and checks that they belong together. The folder may
    /// be anybody's: sizes are checked before anything of that size is made.
    ///
    /// # Errors
    /// [`Error::ReadRecord`] and [`Error::ReadArrays`] for a file that is missing or spoilt, or speaks of more than it can hold; all name
    /// it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(RECORD);
        let (record, text) = read_record(&path)?;
        let wrong = |problem: String| Error::ReadRecord { path: path.clone(), problem };
        check(&record).map_err(wrong)?;
        let arrays = Arrays::read(&folder.join(ARRAYS), &record)?;
        let pictures = pictures::read(folder, &record)?;
        let explained = restore::explained(&record, &arrays, pictures);
        let explained = explained.map_err(|error| wrong(error.to_string()))?;
        Ok(Self { folder: folder.to_owned(), record, text, explained })
    }

    /// What was asked, answered and explained.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The explained answer: tokens, rows, scores, pictures and all that was found, as it was written.
    pub fn explained(&self) -> &Explained<'static> {
        &self.explained
    }

    /// The interactive page, made again.
    ///
    /// # Errors
    /// What [`relevancy_visualization::report::Report::to_html`] refuses.
    pub fn report(&self) -> Result<String, Error> {
        report::html(&self.explained)
    }

    /// Writes the page as `report.html` into its folder and lists it in the record; the answer is its path.
    ///
    /// # Errors
    /// Those of [`Stored::report`]; [`Error::Foreign`] for a `report.html` that this program did not write or that changed since;
    /// [`Error::InUse`]; [`Error::ReadRecord`] where the record changed since it was read; [`Error::Write`].
    pub fn write_report(&self) -> Result<PathBuf, Error> {
        page::write_beside(&self.folder, &self.report()?, (&self.record, &self.text))
    }

    /// Writes the page to another file. What is there is replaced if it begins as such a page does.
    ///
    /// # Errors
    /// Those of [`Stored::report`]; [`Error::NotAFile`] for a folder, a device or a pipe; [`Error::NotAPage`] for a file that is no
    /// page; [`Error::InUse`]; [`Error::Write`].
    pub fn write_report_to(&self, path: &Path) -> Result<(), Error> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let is_beside = path.file_name().is_some_and(|name| name == REPORT)
            && same_file::is_same_file(folder, &self.folder).unwrap_or(false);
        if is_beside {
            return self.write_report().map(drop);
        }
        page::write_elsewhere(path, &self.report()?)
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("record", &self.record).finish_non_exhaustive()
    }
}

fn read_record(path: &Path) -> Result<(Record, String), Error> {
    let wrong = |problem: String| Error::ReadRecord { path: path.to_owned(), problem };
    // To open a pipe is to wait for it.
    let found = path.metadata().map_err(|error| {
        let never = error.kind() == ErrorKind::NotFound;
        let hint = if never { "; explain has not written to this folder" } else { "" };
        wrong(format!("{error}{hint}"))
    })?;
    if !found.is_file() {
        return Err(wrong("it is not a file".to_owned()));
    }
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    let length = file.take(LONGEST_RECORD + 1).read_to_string(&mut text);
    if LONGEST_RECORD < length.map_err(|error| wrong(error.to_string()))? as u64 {
        return Err(wrong(format!("it is larger than {LONGEST_RECORD} bytes")));
    }
    let record = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    Ok((record, text))
}

/// Whether what the page relies on holds; rows, spans and grids are checked where they are used.
fn check(record: &Record) -> Result<(), String> {
    if record.schema != SCHEMA || record.version != SCHEMA_VERSION {
        let (schema, version) = (&record.schema, record.version);
        return Err(format!(
            "it is {schema} of version {version}, and this program reads {SCHEMA} of version {SCHEMA_VERSION}; explain again"
        ));
    }
    let tokens = record.tokens.len();
    for target in record.targets.iter().chain(&record.words) {
        let [start, end] = target.positions;
        if end <= start || tokens < end {
            return Err(format!("positions {start} to {end} of a target, with {tokens} tokens"));
        }
        let mut foils = target.foils.iter().flatten();
        if foils.any(|foils| FoilRecord::found(foils).is_none()) {
            return Err("the weights of the foils of a target have no sum above zero".to_owned());
        }
    }
    for (index, image) in record.images.iter().enumerate() {
        if record.pictures.len() <= image.picture {
            return Err(format!(
                "image {index} shows picture {}, which does not exist",
                image.picture
            ));
        }
        let ([start, end], [height, width]) = (image.positions, image.grid);
        if tokens < end || end.checked_sub(start) != height.checked_mul(width) {
            return Err(format!(
                "image {index} at positions {start} to {end} has {height} × {width} cells, with {tokens} tokens"
            ));
        }
        if image.grid != record.images[0].grid {
            return Err(format!("image {index} has another grid than the first"));
        }
        if image.patches != record.images[0].patches {
            return Err(format!("image {index} has other patches than the first"));
        }
        if image.pixels != record.images[0].pixels {
            return Err(format!("image {index} has other pixels than the first"));
        }
        if let Some(pixels) = image.pixels
            && pixels.iter().zip(image.grid).any(|(pixels, cells)| pixels % cells.max(1) != 0)
        {
            return Err(format!("the pixels of image {index} are no multiple of its cells"));
        }
    }
    Ok(())
}

/// What files of so many bytes may unpack to: numbers of explanations hardly get smaller, pictures to a half or a twentieth. Files
/// that are nothing but an expansion fill no memory.
pub(crate) fn unpacked_at_most(packed: u64) -> u64 {
    const ALWAYS: u64 = 64 << 20;
    ALWAYS.saturating_add(packed.saturating_mul(64))
}

#[cfg(test)]
mod tests;
