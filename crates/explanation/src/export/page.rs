//! Writing the page again, into the folder of its record or elsewhere.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::manifest::{self, Manifest};
use super::place::Guard;
use super::{PROGRAM, Workplace};
use crate::Error;
use crate::file_name::{RECORD, REPORT};
use crate::record::{Files, Record, WrittenFile};

/// Writes the page of a record beside it, and puts it into the record, which lists what this program wrote. `text` is what the file
/// of the record held when it was read.
///
/// # Errors
/// [`Error::Foreign`] for a `report.html` that is not what this program wrote, [`Error::InUse`], [`Error::Write`], and
/// [`Error::ReadRecord`] where the record changed meanwhile.
pub(crate) fn write_beside(
    folder: &Path,
    html: &str,
    (record, text): (&Record, &str),
) -> Result<PathBuf, Error> {
    let workplace = Workplace::open(folder, PROGRAM)?;
    if workplace.was_placing() {
        Guard::new(&[]).finish(&workplace)?; // of a run that was killed; the record is its now
    }
    let path = folder.join(RECORD);
    if fs::read_to_string(&path).ok().as_deref() != Some(text) {
        let problem = "another run has replaced it; try again".to_owned();
        return Err(Error::ReadRecord { path, problem });
    }
    let page = folder.join(REPORT);
    let manifest = Manifest::of(text);
    let is_there = fs::symlink_metadata(&page).is_ok();
    let is_same = || {
        fs::symlink_metadata(&page)
            .is_ok_and(|found| found.is_file() && found.len() == html.len() as u64)
            && fs::read(&page).is_ok_and(|found| found == html.as_bytes())
    };
    let is_ours = || manifest.as_ref().is_ok_and(|manifest| manifest.covers(folder, REPORT));
    if is_there && is_same() {
        return Ok(page);
    }
    if is_there && !is_ours() {
        let reason = manifest
            .err()
            .unwrap_or("the explanation.json there does not list it in its present state");
        let (folder, files) = (folder.to_owned(), vec![REPORT.to_owned()]);
        return Err(Error::Foreign { folder, files, reason: reason.to_owned() });
    }
    workplace.stage()?;
    let write = |name: &str, content: &str| {
        let path = workplace.staging().join(name);
        fs::write(&path, content).map_err(Error::write(page.clone()))
    };
    write(REPORT, html)?;
    let mut names = vec![REPORT];
    // A record that somebody changed is theirs.
    let changed = manifest
        .ok()
        .and_then(|_| manifest::with_files(text, &record.files, &mut listing(&record.files, html)));
    if let Some(changed) = changed {
        write(RECORD, &changed)?;
        names.insert(0, RECORD); // first: a page that is there is listed, whenever the process ends
    }
    workplace.place(|| {
        names.iter().try_for_each(|name| {
            let path = folder.join(name);
            fs::rename(workplace.staging().join(name), &path).map_err(Error::write(path))
        })
    })?;
    Ok(page)
}

/// What the record says of files, with this page among them. One that it listed before stays listed: it is there until it is replaced.
fn listing(files: &Files, html: &str) -> Files {
    let page = WrittenFile::new(REPORT, html.as_bytes());
    let mut files = Files { report: Some(REPORT.to_owned()), ..files.clone() };
    files.written.retain(|file| *file != page);
    files.written.push(page);
    files
}

/// Writes the page to a file of the caller's choice, of which a page that this program made may be there.
///
/// # Errors
/// [`Error::NotAFile`] for a folder, device or pipe, [`Error::NotAPage`] for any other file that is there, [`Error::InUse`],
/// [`Error::Write`].
pub(crate) fn write_elsewhere(path: &Path, html: &str) -> Result<(), Error> {
    // A link is followed: the page takes the place of what it points to.
    let path = &match fs::canonicalize(path) {
        Ok(found) => found,
        Err(_) if fs::symlink_metadata(path).is_ok() => {
            return Err(Error::NotAFile { path: path.to_owned() }); // a link to nothing
        }
        Err(_) => path.to_owned(),
    };
    let name = path.file_name().ok_or_else(|| Error::NotAFile { path: path.clone() })?;
    if let Ok(found) = fs::metadata(path) {
        if !found.is_file() {
            return Err(Error::NotAFile { path: path.clone() });
        }
        if !is_page(path, html).map_err(Error::write(path))? {
            return Err(Error::NotAPage { path: path.clone() });
        }
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let workplace = Workplace::open(folder.unwrap_or(Path::new(".")), &name.to_string_lossy())?;
    workplace.stage()?;
    let made = workplace.staging().join(REPORT);
    fs::write(&made, html).map_err(Error::write(path))?;
    workplace.place(|| fs::rename(&made, path).map_err(Error::write(path)))
}

/// Whether a file begins as a page does.
fn is_page(path: &Path, html: &str) -> std::io::Result<bool> {
    let mut head = [0; 120];
    let mut file = fs::File::open(path)?;
    Ok(file.read_exact(&mut head).is_ok() && html.as_bytes().starts_with(&head))
}
