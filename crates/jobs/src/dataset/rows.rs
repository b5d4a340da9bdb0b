//! A data set, read back.

use std::path::Path;

use super::columns::{Flat, Part};
use super::journal::foreign;
use super::row::DataRow;
use super::store::{Folder, RESULTS, Store};
use crate::{Problem, ProblemKind, Shard};

/// The rows of the data set in a folder, part by part; those of a job follow each other. What an open shard has in its journal and in
/// no part is not among them.
///
/// # Errors
/// [`ProblemKind::File`] for a folder without a data set, and within the iterator for a part that cannot be read, which ends it.
pub fn read(folder: impl AsRef<Path>) -> Result<Rows, Problem> {
    Ok(Rows(Flats::new(local(folder.as_ref())?, |_| true)?))
}

/// The store of a folder that has a data set.
pub(crate) fn local(folder: &Path) -> Result<Box<dyn Store>, Problem> {
    // Nothing is written: the shard does not matter.
    let store = Folder::new(folder, Shard::WHOLE);
    if store.header()?.is_none() || !folder.join(RESULTS).is_dir() {
        return Err(foreign(folder, "it holds no data set"));
    }
    Ok(Box::new(store))
}

/// The rows of a data set: see [`read`].
#[derive(Debug)]
pub struct Rows(pub(crate) Flats);

impl Iterator for Rows {
    type Item = Result<DataRow, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let flat = self.0.next()?;
        Some(flat.and_then(|flat| {
            let name = self.0.store.named(&self.0.name);
            flat.into_row().map_err(|error| unreadable(&name, &error.to_string()))
        }))
    }
}

/// Rows as they stand in their columns.
pub(crate) struct Flats {
    store: Box<dyn Store>,
    wanted: fn(&str) -> bool,
    names: std::vec::IntoIter<String>,
    /// That of the part.
    name: String,
    /// The part, and its row group that comes next.
    part: Option<(Part, usize)>,
    rows: std::vec::IntoIter<Flat>,
}

impl std::fmt::Debug for Flats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flats")
            .field("store", &self.store)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Flats {
    pub(crate) fn new(store: Box<dyn Store>, wanted: fn(&str) -> bool) -> Result<Self, Problem> {
        let names = store.parts()?.into_iter();
        let rows = Vec::new().into_iter();
        Ok(Self { store, wanted, names, name: String::new(), part: None, rows })
    }

    /// All rows of a part.
    pub(crate) fn of_part(
        store: &dyn Store,
        name: &str,
        wanted: fn(&str) -> bool,
    ) -> Result<Vec<Flat>, Problem> {
        let failed = |error: parquet::errors::ParquetError| {
            unreadable(&store.named(name), &error.to_string())
        };
        let part = Part::open(store.open(name)?).map_err(failed)?;
        let mut rows = Vec::new();
        for group in 0..part.n_groups() {
            rows.extend(part.rows(group, &wanted).map_err(failed)?);
        }
        Ok(rows)
    }

    /// Reads the next row group; whether there was one.
    fn advance(&mut self) -> Result<bool, Problem> {
        loop {
            if let Some((part, group)) = &mut self.part
                && *group < part.n_groups()
            {
                let rows = part.rows(*group, &self.wanted);
                *group += 1;
                let failed = |error: parquet::errors::ParquetError| {
                    unreadable(&self.store.named(&self.name), &error.to_string())
                };
                self.rows = rows.map_err(failed)?.into_iter();
                return Ok(true);
            }
            let Some(name) = self.names.next() else { return Ok(false) };
            self.name = name;
            let part = Part::open(self.store.open(&self.name)?)
                .map_err(|error| unreadable(&self.store.named(&self.name), &error.to_string()))?;
            self.part = Some((part, 0));
        }
    }
}

impl Iterator for Flats {
    type Item = Result<Flat, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(problem) => {
                    (self.part, self.names) = (None, Vec::new().into_iter());
                    return Some(Err(problem));
                }
            }
        }
    }
}

fn unreadable(name: &str, why: &str) -> Problem {
    let message = format!("cannot read {name}: {why}; move it away, its jobs are then done again");
    Problem::new(ProblemKind::File, message)
}
