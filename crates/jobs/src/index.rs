//! A page of a data set: one HTML file that needs nothing else and sends nothing anywhere.
//!
//! Rows are static HTML (`markup`), put into the template with the style and the script of `src/index/assets`; the content security
//! policy of the page allows just these two, by their hashes, and pictures that stand in it. All that comes from the data set is escaped.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::dataset::columns::Flat;
use crate::dataset::rows::{Flats, local};
use crate::dataset::store::Store;
use crate::dataset::{DataKind, file_problem};
use crate::{Problem, ProblemKind};

mod markup;
#[cfg(test)]
mod tests;

/// Most rows that a page shows; targets and errors go before words.
pub const MOST_SHOWN: usize = 2000;
/// Bytes of all thumbnails of a page.
const THUMBNAILS: usize = 24 << 20;
/// Bytes of one.
const THUMBNAIL: usize = 128 << 10;

const FILE: &str = "index.html";
const TEMPLATE: &str = include_str!("index/assets/page.html");
const STYLE: &str = include_str!("index/assets/style.css");
const SCRIPT: &str = include_str!("index/assets/page.js");
/// By which a page of this crate is told from others.
const MARK: &str = "<meta name=\"generator\" content=\"explanation-jobs\">";

/// What a page says beside the data set.
#[derive(Clone, Copy)]
pub struct Index<'a> {
    /// Its title.
    pub title: &'a str,
    /// The path of a job's own page or folder, relative to the folder of the data set, where it has one.
    pub link: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Index<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("title", &self.title).finish_non_exhaustive()
    }
}

/// What stands on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Rows that the page shows.
    pub shown: usize,
    /// Rows of the data set.
    pub rows: u64,
}

/// Writes the page of the data set in a folder, `index.html`, whole or not at all. One that is there is replaced.
///
/// # Errors
/// [`ProblemKind::File`] for a folder without a data set, for parts that cannot be read, for an `index.html` of something else, and
/// when it cannot be written.
pub fn write_index(folder: impl AsRef<Path>, index: &Index<'_>) -> Result<Shown, Problem> {
    let folder = folder.as_ref();
    let path = folder.join(FILE);
    refuse_foreign(&path)?;
    let (page, shown) = made(local(folder)?, index)?;
    let failed = |error| file_problem("write", &path, error);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".index-").suffix(".partial");
    #[cfg(unix)]
    {
        // As any new file, not private as temporary files are; the umask still applies.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(page.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(shown)
}

/// Writes the page of a data set in an object store, in its place.
///
/// # Errors
/// Those of [`write_index`], and [`ProblemKind::File`] when the store cannot be reached.
#[cfg(feature = "cloud")]
pub fn write_index_remote(
    cloud: &crate::cloud::Cloud,
    address: &crate::cloud::Address,
    index: &Index<'_>,
) -> Result<Shown, Problem> {
    let place = address.join(FILE);
    if let Some(begin) = cloud.begin(&place)?
        && !is_own(&begin)
    {
        return Err(foreign(&place.to_string()));
    }
    let (page, shown) = made(crate::cloud::bucket(cloud, address)?, index)?;
    cloud.replace(&place, page.into_bytes())?;
    Ok(shown)
}

fn made(store: Box<dyn Store>, index: &Index<'_>) -> Result<(String, Shown), Problem> {
    let found = Found::read(Flats::new(store, is_shown)?)?;
    let shown = Shown { shown: found.rows.len(), rows: found.n_rows };
    Ok((page(&found, index), shown))
}

fn is_own(begin: &[u8]) -> bool {
    String::from_utf8_lossy(begin).contains(MARK)
}

fn foreign(place: &str) -> Problem {
    let message = format!("{place} is not of this program: move it away");
    Problem::new(ProblemKind::File, message)
}

fn refuse_foreign(path: &Path) -> Result<(), Problem> {
    let mut begin = Vec::new();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(file_problem("read", path, error)),
        Ok(found) if found.is_file() => {
            let read =
                fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut begin));
            read.map_err(|error| file_problem("read", path, error))?;
        }
        Ok(_) => {}
    }
    if is_own(&begin) { Ok(()) } else { Err(foreign(&path.display().to_string())) }
}

/// The columns that a page needs.
fn is_shown(column: &str) -> bool {
    matches!(
        column,
        "id" | "kind"
            | "asked"
            | "text"
            | "image_share"
            | "certificate_operator"
            | "certificate_srg"
            | "certificate_p"
            | "certificate_ahead"
            | "answer"
            | "error_kind"
            | "error_message"
            | "thumbnail"
    )
}

/// What of a data set stands on its page.
#[derive(Default)]
struct Found {
    n_rows: u64,
    n_jobs: u64,
    /// Rows of each kind.
    kinds: BTreeMap<&'static str, u64>,
    /// Jobs that failed, by kind of problem.
    errors: BTreeMap<String, u64>,
    /// What is shown, in the order of the data set.
    rows: Vec<(DataKind, Flat)>,
}

impl Found {
    fn read(flats: Flats) -> Result<Self, Problem> {
        let mut found = Self::default();
        let mut words: Vec<(u64, Flat)> = Vec::new();
        let mut rest: Vec<(u64, DataKind, Flat)> = Vec::new();
        let mut last: Option<String> = None;
        for flat in flats {
            let mut flat = flat?;
            let number = found.n_rows;
            found.n_rows += 1;
            if last != flat.id {
                found.n_jobs += 1;
                last.clone_from(&flat.id);
            }
            let kind = flat.kind.as_deref().and_then(DataKind::from_name);
            let kind = kind.ok_or_else(|| {
                Problem::new(ProblemKind::File, "a row of the data set is of an unknown kind")
            })?;
            *found.kinds.entry(kind.name()).or_default() += 1;
            if kind == DataKind::Error {
                let name = flat.error_kind.clone().unwrap_or_default();
                // Names of this crate are few; a foreign part may hold any.
                if found.errors.len() < 50 || found.errors.contains_key(&name) {
                    *found.errors.entry(name).or_default() += 1;
                }
            }
            if kind != DataKind::Answer {
                flat.answer = None;
            }
            for text in [&mut flat.text, &mut flat.asked, &mut flat.answer, &mut flat.error_message]
            {
                *text = text.take().map(|text| markup::beginning(&text));
            }
            if flat.thumbnail.as_ref().is_some_and(|bytes| THUMBNAIL < bytes.len()) {
                // Empty: there was one.
                flat.thumbnail = Some(bytes::Bytes::new());
            }
            if kind == DataKind::Word {
                if words.len() < MOST_SHOWN {
                    words.push((number, flat));
                }
            } else if rest.len() < MOST_SHOWN {
                rest.push((number, kind, flat));
            }
        }
        words.truncate(MOST_SHOWN - rest.len());
        rest.extend(words.into_iter().map(|(number, flat)| (number, DataKind::Word, flat)));
        rest.sort_by_key(|row| row.0);
        found.rows = rest.into_iter().map(|(_, kind, flat)| (kind, flat)).collect();
        Ok(found)
    }

    fn of_kind(&self, kind: DataKind) -> u64 {
        self.kinds.get(kind.name()).copied().unwrap_or(0)
    }
}

fn page(found: &Found, index: &Index<'_>) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let title = markup::html(index.title);
    let counts = markup::counts(found);
    let (rows, left_out) = markup::rows(found, index);
    let note = markup::note(found, left_out);
    filled(TEMPLATE, |place| match place {
        "mark" => MARK,
        "policy" => &policy,
        "style" => STYLE,
        "script" => SCRIPT,
        "title" => &title,
        "counts" => &counts,
        "note" => &note,
        "rows" => &rows,
        _ => "",
    })
}

/// Replaces every `{{place}}` in one pass, so that what was put in is never searched for places.
fn filled<'a>(template: &'a str, text: impl Fn(&str) -> &'a str) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once("}}").unwrap_or(("", part));
        out += text(place);
        out += rest;
    }
    out
}
