//! What an earlier run left in a folder.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use gemma3_processor::{Picture, PictureOptions};
use relevancy_visualization::image::RgbImage;

use crate::arrays::Arrays;
use crate::export::{ARRAYS, RECORD};
use crate::record::{Record, SCHEMA, SCHEMA_VERSION, sha256};
use crate::{Error, report};

/// The record, numbers and pictures of a folder that [`crate::OutputFolder::write`] filled.
pub struct Stored {
    record: Record,
    arrays: Arrays,
    pictures: Vec<Picture>,
}

impl Stored {
    /// Reads `explanation.json`, `explanation.npz` and the pictures beside them, and checks that they belong together.
    ///
    /// # Errors
    /// [`Error::ReadRecord`], [`Error::ReadArrays`] and [`Error::Input`] for a file that is missing or spoilt; all name it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(RECORD);
        let record = read_record(&path)?;
        check(&record).map_err(|problem| Error::ReadRecord { path, problem })?;
        let arrays = Arrays::read(&folder.join(ARRAYS), &record)?;
        let read = |index: usize| read_picture(folder, &record, index);
        let pictures = (0..record.pictures.len()).map(read).collect::<Result<_, _>>()?;
        Ok(Self { record, arrays, pictures })
    }

    /// What was asked, answered and explained.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The interactive page: that of [`crate::Explainer::report`], made again.
    ///
    /// # Errors
    /// What [`relevancy_visualization::report::Report::to_html`] refuses.
    pub fn report(&self) -> Result<String, Error> {
        let pictures: Vec<&RgbImage> = self.pictures.iter().map(Picture::rgb).collect();
        report::html(&self.record, &self.arrays, &pictures)
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("record", &self.record).finish_non_exhaustive()
    }
}

fn read_record(path: &Path) -> Result<Record, Error> {
    /// Tokens of the longest context, each with its text, take far less.
    const LONGEST: u64 = 256 << 20;
    let wrong = |problem: String| Error::ReadRecord { path: path.to_owned(), problem };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    let length = file.take(LONGEST + 1).read_to_string(&mut text);
    if LONGEST < length.map_err(|error| wrong(error.to_string()))? as u64 {
        return Err(wrong(format!("it is larger than {LONGEST} bytes")));
    }
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
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
    }
    for (index, image) in record.images.iter().enumerate() {
        if record.pictures.len() <= image.picture {
            return Err(format!(
                "image {index} shows picture {}, which is not there",
                image.picture
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

/// Only a plain name in the folder itself: a record cannot make the program read anything else.
fn read_picture(folder: &Path, record: &Record, index: usize) -> Result<Picture, Error> {
    let stated = &record.pictures[index];
    let name = Path::new(&stated.file);
    let is_plain = name.file_name().is_some_and(|file| file == name.as_os_str());
    let path: PathBuf = folder.join(name);
    let wrong =
        |problem: &str| Error::ReadRecord { path: path.clone(), problem: problem.to_owned() };
    if !is_plain {
        return Err(wrong("it is not in the folder of the record"));
    }
    let picture = Picture::open(&path, &PictureOptions::default())?;
    if sha256(picture.rgb().as_raw()) != stated.pixels_sha256 {
        return Err(wrong("its pixels are not those that were explained; explain again"));
    }
    Ok(picture)
}
