//! The numbers and texts of a header, one after the other, within bounds.

use super::Value;
use crate::Error;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Bytes of a header; that of a file with the vocabulary of Gemma 3 has 6 million.
const LONGEST_HEADER: u64 = 128 << 20;
/// Entries of a list: the merges of a large vocabulary.
const LONGEST_LIST: u64 = 4 << 20;

pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
    position: u64,
}

impl Reader {
    pub(super) fn new(path: &Path, file: File) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let length = file.metadata().map_err(read)?.len();
        Ok(Self { path: path.to_owned(), file: BufReader::new(file), length, position: 0 })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn broken(&self, place: &str, reason: impl Into<String>) -> Error {
        Error::Header { path: self.path.clone(), place: shown(place), reason: reason.into() }
    }

    /// A type that is not read, and those that are.
    pub(super) fn of_type(&self, place: &str, found: String, known: String) -> Error {
        Error::Type { path: self.path.clone(), place: shown(place), found, known }
    }

    /// The first eight bytes: what kind of file it is, and its version.
    pub(super) fn magic(&mut self) -> Result<(), Error> {
        let not = |reason: String| Error::NotGguf { path: self.path.clone(), reason };
        if self.length < 24 {
            return Err(not(format!("it has {} bytes", self.length)));
        }
        let magic = self.array::<4>("its first bytes")?;
        let version = self.array::<4>("its version")?;
        let not = |reason: String| Error::NotGguf { path: self.path.clone(), reason };
        if magic != *b"GGUF" {
            return Err(not(format!("it begins with {:?}", String::from_utf8_lossy(&magic))));
        }
        match u32::from_le_bytes(version) {
            2 | 3 => Ok(()),
            _ if matches!(u32::from_be_bytes(version), 2 | 3) => Err(not(
                "its numbers are big-endian; convert it to a little-endian file".to_owned(),
            )),
            found => Err(not(format!("it has version {found}; versions 2 and 3 are read"))),
        }
    }

    pub(super) fn count(&mut self, place: &str, most: u64) -> Result<u64, Error> {
        let found = self.u64(place)?;
        if most < found {
            return Err(self.broken(place, format!("is {found}, more than {most}")));
        }
        Ok(found)
    }

    pub(super) fn u32(&mut self, place: &str) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array(place)?))
    }

    pub(super) fn u64(&mut self, place: &str) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array(place)?))
    }

    pub(super) fn text(&mut self, place: &str) -> Result<String, Error> {
        let length = self.u64(place)?;
        self.room(place, length)?;
        let mut bytes = vec![0; length as usize];
        self.fill(place, &mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.broken(place, "is not UTF-8"))
    }

    pub(super) fn value(&mut self, place: &str) -> Result<Value, Error> {
        let kind = self.u32(place)?;
        Ok(match kind {
            0 | 2 | 4 | 10 => Value::Unsigned(self.unsigned(kind, place)?),
            1 | 3 | 5 | 11 => Value::Signed(self.signed(kind, place)?),
            6 | 12 => Value::Float(self.float(kind, place)?),
            7 => Value::Flag(self.flag(place)?),
            8 => Value::Text(self.text(place)?),
            9 => self.list(place)?,
            _ => return Err(self.broken(place, format!("has the unknown type {kind}"))),
        })
    }

    fn list(&mut self, place: &str) -> Result<Value, Error> {
        let kind = self.u32(place)?;
        let count = self.count(place, LONGEST_LIST)?;
        // The least bytes that an entry takes: a list cannot be longer than its file.
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(self.broken(place, "is a list of lists, which no field here is")),
            _ => return Err(self.broken(place, format!("is a list of the unknown type {kind}"))),
        };
        self.room(place, count * least)?;
        Ok(match kind {
            8 => Value::Texts((0..count).map(|_| self.text(place)).collect::<Result<_, _>>()?),
            6 | 12 => {
                let numbers = (0..count).map(|_| Ok(self.float(kind, place)? as f32));
                Value::Floats(numbers.collect::<Result<_, Error>>()?)
            }
            7 => {
                let flags = (0..count).map(|_| Ok(i64::from(self.flag(place)?)));
                Value::Integers(flags.collect::<Result<_, Error>>()?)
            }
            0 | 2 | 4 | 10 => {
                let mut numbers = Vec::new();
                for _ in 0..count {
                    let found = self.unsigned(kind, place)?;
                    let found = i64::try_from(found);
                    numbers.push(found.map_err(|_| self.broken(place, "has a number beyond 2⁶³"))?);
                }
                Value::Integers(numbers)
            }
            _ => {
                let numbers = (0..count).map(|_| self.signed(kind, place));
                Value::Integers(numbers.collect::<Result<_, _>>()?)
            }
        })
    }

    fn unsigned(&mut self, kind: u32, place: &str) -> Result<u64, Error> {
        Ok(match kind {
            0 => self.array::<1>(place)?[0].into(),
            2 => u16::from_le_bytes(self.array(place)?).into(),
            4 => self.u32(place)?.into(),
            _ => self.u64(place)?,
        })
    }

    fn signed(&mut self, kind: u32, place: &str) -> Result<i64, Error> {
        Ok(match kind {
            1 => i8::from_le_bytes(self.array(place)?).into(),
            3 => i16::from_le_bytes(self.array(place)?).into(),
            5 => i32::from_le_bytes(self.array(place)?).into(),
            _ => i64::from_le_bytes(self.array(place)?),
        })
    }

    fn float(&mut self, kind: u32, place: &str) -> Result<f64, Error> {
        Ok(match kind {
            6 => f32::from_le_bytes(self.array(place)?).into(),
            _ => f64::from_le_bytes(self.array(place)?),
        })
    }

    fn flag(&mut self, place: &str) -> Result<bool, Error> {
        match self.array::<1>(place)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [found] => Err(self.broken(place, format!("is {found}, not true or false"))),
        }
    }

    fn array<const N: usize>(&mut self, place: &str) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.room(place, N as u64)?;
        self.fill(place, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether so many bytes are still there and belong to a header that may be.
    fn room(&self, place: &str, bytes: u64) -> Result<(), Error> {
        let end = self.position.checked_add(bytes);
        if end.is_none_or(|end| self.length < end) {
            let reason = format!(
                "goes beyond the end of the file of {} bytes: it is cut short",
                self.length
            );
            return Err(self.broken(place, reason));
        }
        if end.is_some_and(|end| LONGEST_HEADER < end) {
            return Err(
                self.broken(place, format!("makes the header longer than {LONGEST_HEADER} bytes"))
            );
        }
        Ok(())
    }

    fn fill(&mut self, place: &str, bytes: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact(bytes).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => self.broken(place, "ended while it was read"),
            _ => Error::Read { path: self.path.clone(), source },
        })?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// Names in a file may be anybody's: what is shown of them has an end.
fn shown(place: &str) -> String {
    match place.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &place[..end]),
        None => place.to_owned(),
    }
}
