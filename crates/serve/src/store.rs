//! Finished explanations on disk: a folder for each, by its id.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use explanation_jobs::{Problem, ProblemKind};

use crate::{
    Error,
    id::Id,
    item::{Item, Picture, Result as Page},
    view::{ItemView, Kind, StateName},
    worker::is_plain,
};

/// `DIR/<id>/` with `item.json`, `report.html`, `files/NAME`, `pictures/N.png`.
pub(crate) struct Store {
    folder: PathBuf,
    most_bytes: u64,
}

/// How the name of a folder begins that is not yet, or no longer, whole.
const UNFINISHED: &str = ".unfinished-";

impl Store {
    /// Makes the folder if need be, and clears what an end in the middle left.
    pub(crate) fn open(folder: &Path, most_bytes: u64) -> Result<Self, Error> {
        let named = |error| Error::Store { path: folder.to_owned(), error };
        fs::create_dir_all(folder).map_err(named)?;
        for entry in fs::read_dir(folder).map_err(named)? {
            let entry = entry.map_err(named)?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path()).map_err(named)?;
            }
        }
        // Better now than after an hour's work.
        tempfile::tempfile_in(folder).map_err(named)?;
        Ok(Self { folder: folder.to_owned(), most_bytes })
    }

    /// Writes an explanation that has its result: all of it, or nothing.
    pub(crate) fn write(&self, item: &Item) -> Result<(), Problem> {
        self.try_write(item).map_err(|error| {
            let message = format!(
                "the explanation is in memory only; it could not be stored: {}",
                error.kind()
            );
            Problem::new(ProblemKind::File, message)
        })
    }

    fn try_write(&self, item: &Item) -> io::Result<()> {
        let (result, pictures) = {
            let state = item.state();
            (state.result.clone(), Arc::clone(&state.pictures))
        };
        let result = result.ok_or(io::ErrorKind::InvalidInput)?;
        let mut view = item.view(Duration::ZERO);
        view.state = StateName::Done;
        view.progress = None;
        let folder = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.folder)?;
        let inside = |name: &str| folder.path().join(name);
        write(&inside("item.json"), &serde_json::to_vec(&view)?)?;
        write(&inside("report.html"), &result.report)?;
        for (part, files) in [("files", files_of(&result)), ("pictures", pngs_of(&pictures))] {
            fs::create_dir(inside(part))?;
            for (name, data) in files {
                write(&inside(part).join(name), &data)?;
            }
            File::open(inside(part))?.sync_all()?;
        }
        File::open(folder.path())?.sync_all()?;
        fs::rename(folder.path(), self.place(item.id))?;
        // It is there under its name: nothing to clear any more.
        _ = folder.keep();
        File::open(&self.folder)?.sync_all()
    }

    /// The explanation of this id; `None` where there is none.
    pub(crate) fn read(&self, id: Id) -> Result<Option<Item>, Problem> {
        match self.try_read(id) {
            Ok(item) => Ok(Some(item)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let message = format!("the stored explanation cannot be read: {}", error.kind());
                Err(Problem::new(ProblemKind::File, message))
            }
        }
    }

    fn try_read(&self, id: Id) -> io::Result<Item> {
        let folder = self.place(id);
        let mut left = self.most_bytes;
        let mut read = |path: PathBuf| -> io::Result<Bytes> {
            let mut data = Vec::new();
            File::open(path)?.take(left + 1).read_to_end(&mut data)?;
            left = left.checked_sub(data.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
            Ok(data.into())
        };
        let view: ItemView = serde_json::from_slice(&read(folder.join("item.json"))?)?;
        if view.id != id.to_string()
            || view.kind != Kind::Explanation
            || view.state != StateName::Done
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let report = read(folder.join("report.html"))?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder.join("files"))? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().filter(|name| is_plain(name));
            let name = name.ok_or(io::ErrorKind::InvalidData)?;
            files.insert(name, read(entry.path())?);
        }
        let pictures = view.pictures.iter().enumerate().map(|(number, picture)| {
            Ok(Picture {
                name: picture.name.clone(),
                width: picture.width,
                height: picture.height,
                sha256: picture.sha256.clone(),
                png: read(folder.join(format!("pictures/{number}.png")))?,
            })
        });
        let pictures = pictures.collect::<io::Result<_>>()?;
        Ok(Item::stored(id, view, pictures, Page { report, files }))
    }

    /// Whether it was there.
    pub(crate) fn remove(&self, id: Id) -> bool {
        // Away at once, even where not everything can be deleted.
        let aside = self.folder.join(format!("{UNFINISHED}{id}"));
        let there = fs::rename(self.place(id), &aside).is_ok();
        if there {
            _ = fs::remove_dir_all(aside);
        }
        there
    }

    fn place(&self, id: Id) -> PathBuf {
        self.folder.join(id.to_string())
    }
}

fn files_of(result: &Page) -> Vec<(String, Bytes)> {
    result.files.iter().map(|(name, data)| (name.clone(), data.clone())).collect()
}

fn pngs_of(pictures: &[Picture]) -> Vec<(String, Bytes)> {
    let pngs = pictures.iter().enumerate();
    pngs.map(|(number, picture)| (format!("{number}.png"), picture.png.clone())).collect()
}

fn write(path: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(data)?;
    file.sync_all()
}
