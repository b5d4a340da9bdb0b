//! Objects as files: data sets with the meta information that says who wrote them.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use dicom_dictionary_std::uids;
use dicom_object::{FileMetaTable, meta::FileMetaTableBuilder};

use super::{
    Error, IMPLEMENTATION_CLASS,
    elements::Object,
    place::{Staged, finish, refuse_strangers},
};

impl Staged {
    /// Writes an object beside its place.
    pub(crate) fn object(&mut self, path: &Path, object: Object) -> Result<(), Error> {
        refuse_strangers(path, is_our_object)?;
        let encode = |what: String| Error::Encode { path: path.to_owned(), what };
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
            .implementation_class_uid(IMPLEMENTATION_CLASS)
            .implementation_version_name("MEDGEMMA-EXPL");
        let file = object.with_meta(meta).map_err(|error| encode(error.to_string()))?;
        let mut out = self.create(path)?;
        file.write_all(&mut out).map_err(|error| encode(error.to_string()))?;
        finish(out).map_err(|source| Error::Write { path: path.to_owned(), source })
    }
}

/// Whether this program wrote a file: by the implementation class in its meta information (PS3.10 table 7.1-1).
fn is_our_object(path: &Path) -> bool {
    let class = || {
        let mut file = BufReader::new(File::open(path).ok()?.take(1 << 16));
        io::copy(&mut (&mut file).take(128), &mut io::sink()).ok()?;
        let meta = FileMetaTable::from_reader(file).ok()?;
        Some(meta.implementation_class_uid().trim_end_matches('\0') == IMPLEMENTATION_CLASS)
    };
    class().unwrap_or(false)
}
