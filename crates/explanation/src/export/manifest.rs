//! What a record says of the files beside it: which of them this program wrote, and whether they still are what it wrote.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::file_name::RECORD;
use crate::record::{Files, Record, SCHEMA, WrittenFile, hexadecimal, sha256};

/// Bytes of a record that is read at all. Tokens of the longest context, each with its text, take far less.
pub(crate) const LONGEST_RECORD: u64 = 256 << 20;

/// The files that a record says this program wrote, itself included.
#[derive(Debug, Default)]
pub(crate) struct Manifest(Vec<WrittenFile>);

/// The part of a record, of this version or another, that says what was written.
#[derive(Deserialize)]
struct Stub {
    schema: String,
    files: StubFiles,
}

#[derive(Deserialize)]
struct StubFiles {
    #[serde(default)]
    written: Vec<WrittenFile>,
    #[serde(default)]
    record_sha256: String,
}

impl Manifest {
    /// Of the record at `path`.
    ///
    /// # Errors
    /// Why the record does not say what was written, for people.
    pub(crate) fn read(path: &Path) -> Result<Self, &'static str> {
        const NO_RECORD: &str = "no explanation.json there lists them";
        const NOT_OURS: &str = "the explanation.json there is not a record of this program";
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(NO_RECORD),
            Ok(found) if found.is_file() && found.len() <= LONGEST_RECORD => {}
            _ => return Err(NOT_OURS),
        }
        Self::of(&fs::read_to_string(path).map_err(|_| NOT_OURS)?)
    }

    /// Of the text of a record.
    pub(crate) fn of(text: &str) -> Result<Self, &'static str> {
        let stub: Option<Stub> = serde_json::from_str(text).ok();
        let Some(Stub { files, .. }) = stub.filter(|stub| stub.schema == SCHEMA) else {
            return Err("the explanation.json there is not a record of this program");
        };
        if files.record_sha256.is_empty() {
            return Err("the explanation.json there is of a version that kept no checksums");
        }
        if !is_sealed(text, &files.record_sha256) {
            return Err("the explanation.json there was changed after it was written");
        }
        if !files.written.iter().all(|file| is_plain(&file.name)) {
            return Err("the explanation.json there names files that cannot be results");
        }
        let own = WrittenFile::new(RECORD, text.as_bytes());
        Ok(Self(files.written.into_iter().chain([own]).collect()))
    }

    /// Whether a file of this name in `folder` is what this program wrote.
    pub(crate) fn covers(&self, folder: &Path, name: &str) -> bool {
        self.0.iter().any(|file| file.name == name && file.is_at(&folder.join(name)))
    }

    /// Whether it lists a file of this name.
    pub(crate) fn lists(&self, name: &str) -> bool {
        self.0.iter().any(|file| file.name == name)
    }

    /// The names, the record last: where it is, all that it names is there.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|file| file.name.as_str())
    }
}

/// The text of a record that holds its own checksum: that of the same text with zeros in the place of the checksum.
pub(crate) fn seal(record: &mut Record) -> String {
    record.files.record_sha256 = "0".repeat(64);
    record.files.record_sha256 = sha256(text(record).as_bytes());
    text(record)
}

/// The sealed text of a record with other `files`, and not another character changed: numbers that are read and written again may
/// differ in their last digit. Nothing for a text that [`seal`] did not make.
pub(crate) fn with_files(text: &str, from: &Files, to: &mut Files) -> Option<String> {
    let field = |files: &Files| {
        let alone = serde_json::to_string_pretty(&serde_json::json!({ "files": files })).ok()?;
        Some(alone.strip_prefix("{\n")?.strip_suffix("\n}")?.to_owned())
    };
    let (before, behind) = text.split_once(&field(from)?)?;
    let with = |files: &Files| Some([before, &field(files)?, behind].concat());
    to.record_sha256 = "0".repeat(64);
    to.record_sha256 = sha256(with(to)?.as_bytes());
    with(to)
}

fn text(record: &Record) -> String {
    record.to_json() + "\n"
}

fn is_sealed(text: &str, checksum: &str) -> bool {
    let is_checksum = checksum.len() == 64 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_checksum && sha256(text.replace(checksum, &"0".repeat(64)).as_bytes()) == checksum
}

/// The name of a file in the folder itself, and none of the hidden ones that are for the program's own use.
fn is_plain(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name) && !name.starts_with('.')
}

impl WrittenFile {
    pub(crate) fn new(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: content.len() as u64, sha256: sha256(content) }
    }

    /// Of a file that lies in `folder`.
    pub(crate) fn in_folder(folder: &Path, name: &str) -> Result<Self, Error> {
        let path = folder.join(name);
        let (bytes, sha256) = digest(&path).map_err(Error::write(path))?;
        Ok(Self { name: name.to_owned(), bytes, sha256 })
    }

    /// Whether it is this file that lies there, and no link to it.
    fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == self.bytes)
            && digest(path).is_ok_and(|(_, sha256)| sha256 == self.sha256)
    }
}

/// The number of bytes and the checksum of a file.
fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut digest, mut count) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((count, hexadecimal(&digest.finalize()))),
            read => {
                digest.update(&buffer[..read]);
                count += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as far as a manifest reads it.
    fn sealed(more: &str) -> String {
        let zeros = "0".repeat(64);
        let written = r#"{"name": "picture-0.png", "bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#;
        let text = format!(
            r#"{{"schema": "{SCHEMA}", {more} "files": {{"written": [{written}], "record_sha256": "{zeros}"}}}}"#
        );
        // As `seal` does, on a text in place of a record; zeros elsewhere stay zeros.
        let checksum = sha256(text.as_bytes());
        let (front, back) = text.rsplit_once(&zeros).unwrap();
        format!("{front}{checksum}{back}")
    }

    #[test]
    fn a_file_is_covered_while_it_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("picture-0.png");
        let zeros = format!("\"prompt\": \"{}\",", "0".repeat(64));
        for more in ["", &zeros] {
            let manifest = Manifest::of(&sealed(more)).unwrap();
            let covers = || manifest.covers(folder.path(), "picture-0.png");
            assert!(!covers(), "there is none");
            fs::write(&picture, "abc").unwrap(); // the example of FIPS 180-2
            assert!(covers());
            fs::write(&picture, "abd").unwrap();
            assert!(!covers());
            fs::remove_file(&picture).unwrap();
        }
        fs::create_dir(&picture).unwrap();
        assert!(!Manifest::of(&sealed("")).unwrap().covers(folder.path(), "picture-0.png"));
    }

    #[test]
    fn a_record_that_was_changed_covers_nothing() {
        let text = sealed("");
        assert!(
            Manifest::of(&text.replace("picture-0", "picture-1")).unwrap_err().contains("changed")
        );
        assert!(Manifest::of(&text.replace(SCHEMA, "mine")).unwrap_err().contains("not a record"));
        let old = format!(r#"{{"schema": "{SCHEMA}", "files": {{"arrays": "explanation.npz"}}}}"#);
        assert!(Manifest::of(&old).unwrap_err().contains("no checksums"));
        let short = format!(r#"{{"schema": "{SCHEMA}", "files": {{"record_sha256": "a"}}}}"#);
        assert!(Manifest::of(&short).unwrap_err().contains("changed"));
        for name in ["../film.png", "/film.png", ".placing", "", "a/../b.png"] {
            assert!(!is_plain(name), "{name}");
        }
        assert!(Manifest::of("{").unwrap_err().contains("not a record"));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_is_not_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("film.png"), "abc").unwrap();
        let link = folder.path().join("picture-0.png");
        std::os::unix::fs::symlink(folder.path().join("film.png"), link).unwrap();
        assert!(!Manifest::of(&sealed("")).unwrap().covers(folder.path(), "picture-0.png"));
    }
}
