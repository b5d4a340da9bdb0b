//! DICOMDIR (PS3.3 Annex F): the pictures that it lists, as paths inside of its folder.

use std::path::{Component, Path, PathBuf};

use dicom_dictionary_std::{tags, uids};

use super::header::{Header, text_of};
use crate::error::Bound;
use crate::{Error, Options};

/// Whether the file lists others.
pub(crate) fn is_one(header: &Header) -> bool {
    header.text(tags::SOP_CLASS_UID).as_deref() == Some(uids::MEDIA_STORAGE_DIRECTORY_STORAGE)
        || !header.items(tags::DIRECTORY_RECORD_SEQUENCE).is_empty()
}

/// The files of its picture records, and what is to be said of those that are missing.
pub(crate) fn files(
    header: &Header,
    options: &Options,
) -> Result<(Vec<PathBuf>, Option<String>), Error> {
    let records = header.items(tags::DIRECTORY_RECORD_SEQUENCE);
    header.at().limit(&Bound::folder_entries(&options.limits), records.len() as u64)?;
    let folder = header.path.parent().unwrap_or(Path::new("."));
    let mut files = vec![];
    let mut missing = 0_usize;
    for record in records {
        let is_image =
            record.get(tags::DIRECTORY_RECORD_TYPE).and_then(text_of).as_deref() == Some("IMAGE");
        let Some(id) = record.get(tags::REFERENCED_FILE_ID).filter(|_| is_image).and_then(text_of)
        else {
            continue;
        };
        match place(header, folder, &id)? {
            Some(path) => files.push(path),
            None => missing += 1,
        }
    }
    let note = (0 < missing)
        .then(|| format!("{missing} of the files that the DICOMDIR lists are missing"));
    Ok((files, note))
}

/// The file of that id. It may not lie outside of the folder, whatever the id or a link says.
fn place(header: &Header, folder: &Path, id: &str) -> Result<Option<PathBuf>, Error> {
    let outside = || {
        let reason = "names a file outside of its folder";
        header.at().damaged("Referenced File ID (0004,1500)", reason)
    };
    for id in [id.to_owned(), id.to_lowercase()] {
        let inside: PathBuf = id.split('\\').map(|part| part.trim_end_matches(' ')).collect();
        if inside.components().any(|component| !matches!(component, Component::Normal(_))) {
            return Err(outside());
        }
        let path = folder.join(inside);
        let Ok(real) = path.canonicalize() else { continue };
        let root = folder.canonicalize().map_err(|e| header.at().read(e))?;
        return if real.starts_with(root) { Ok(Some(path)) } else { Err(outside()) };
    }
    Ok(None)
}
