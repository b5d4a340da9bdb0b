//! A GGUF file: metadata and where its tensors lie. The header is read with bounds and checked; no weight is.
//!
//! The format is described in `docs/gguf.md` of the ggml repository. Whatever a header claims is held against the length of the file and
//! against limits far above any real file, before memory is taken for it.

mod reader;

use crate::blocks::unread_name;
use crate::{BlockType, Error};
use reader::Reader;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Tensors of a file. A model of 27 billion parameters has about 1300.
const MOST_TENSORS: u64 = 100_000;
/// Fields of its metadata. Real files have about 50.
const MOST_FIELDS: u64 = 10_000;
/// Sides of a tensor, by the format.
const MOST_SIDES: u32 = 4;
/// Bytes of the name of a tensor, by the format.
const LONGEST_NAME: u64 = 64;
const ALIGNMENT: &str = "general.alignment";

/// A GGUF file whose header has been read.
#[derive(Clone, Debug)]
pub struct Gguf {
    path: PathBuf,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorInfo>,
    length: u64,
    header_bytes: u64,
}

/// A field of the metadata.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A whole number from zero on.
    Unsigned(u64),
    /// A whole number.
    Signed(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// Text.
    Text(String),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Texts.
    Texts(Vec<String>),
}

/// Where a tensor lies in its file, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Sides, slowest first: `[outputs, inputs]` of a matrix that rows of inputs are multiplied with.
    pub shape: Vec<usize>,
    /// How its weights are stored.
    pub blocks: BlockType,
    /// Where its bytes begin in the file.
    pub start: u64,
    /// How many they are.
    pub bytes: u64,
}

impl Gguf {
    /// Reads and checks the header of an opened file; `path` names it in messages.
    ///
    /// # Errors
    /// [`Error::NotGguf`], [`Error::Header`] naming the field or tensor, [`Error::Read`].
    pub fn read(path: &Path, file: File) -> Result<Self, Error> {
        let mut reader = Reader::new(path, file)?;
        let length = reader.length();
        reader.magic()?;
        let n_tensors = reader.count("the number of tensors", MOST_TENSORS)?;
        let n_fields = reader.count("the number of fields", MOST_FIELDS)?;
        let mut metadata = BTreeMap::new();
        for index in 0..n_fields {
            let key = reader.text(&format!("the name of field {index}"))?;
            let value = reader.value(&format!("the field {key:?}"))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(reader.broken(&format!("the field {key:?}"), "stands there twice"));
            }
        }
        let alignment = alignment(&metadata).map_err(|why| reader.broken(ALIGNMENT, why))?;
        let mut infos = Vec::new();
        for index in 0..n_tensors {
            infos.push(tensor(&mut reader, index)?);
        }
        let header_bytes = reader.position();
        let data = header_bytes.next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, mut info) in infos {
            let place = format!("the tensor {name:?}");
            if !info.start.is_multiple_of(alignment) {
                let reason = format!("begins at {}, no multiple of {alignment}", info.start);
                return Err(reader.broken(&place, reason));
            }
            let end = data.checked_add(info.start).and_then(|start| {
                info.start = start;
                start.checked_add(info.bytes)
            });
            if end.is_none_or(|end| length < end) {
                let reason = format!(
                    "takes {} bytes beyond the end of the file of {length} bytes: it is cut short",
                    end.map_or(u64::MAX, |end| end - length)
                );
                return Err(reader.broken(&place, reason));
            }
            if tensors.insert(name, info).is_some() {
                return Err(reader.broken(&place, "stands there twice"));
            }
        }
        Ok(Self { path: path.to_owned(), metadata, tensors, length, header_bytes })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of the header: all fields, and the names and places of all tensors.
    pub fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// All fields, by key.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    /// All tensors, by their names in the file.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// [`Error::Field`], as from all that follow.
    pub fn text(&self, key: &str) -> Result<&str, Error> {
        self.optional_text(key)?.ok_or_else(|| self.missing(key))
    }

    /// A text that may be there.
    pub fn optional_text(&self, key: &str) -> Result<Option<&str>, Error> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "is not a text")),
        }
    }

    /// A whole number from 1 to `most` that must be there.
    pub fn size(&self, key: &str, most: usize) -> Result<usize, Error> {
        self.optional_size(key, most)?.ok_or_else(|| self.missing(key))
    }

    /// A whole number from 1 to `most` that may be there.
    pub fn optional_size(&self, key: &str, most: usize) -> Result<Option<usize>, Error> {
        let found = match self.metadata.get(key) {
            None => return Ok(None),
            Some(Value::Unsigned(found)) => usize::try_from(*found).ok(),
            Some(Value::Signed(found)) => usize::try_from(*found).ok(),
            Some(_) => return Err(self.wrong(key, "is not a whole number")),
        };
        match found.filter(|size| (1..=most).contains(size)) {
            Some(size) => Ok(Some(size)),
            None => Err(self.wrong(key, format!("is outside of 1 to {most}"))),
        }
    }

    /// A finite number above zero that may be there.
    pub fn optional_positive(&self, key: &str) -> Result<Option<f64>, Error> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::Float(found)) if found.is_finite() && 0.0 < found => Ok(Some(found)),
            Some(&Value::Unsigned(found)) if 0 < found => Ok(Some(found as f64)),
            Some(_) => Err(self.wrong(key, "is not a number above zero")),
        }
    }

    /// True or false, which may be there.
    pub fn optional_flag(&self, key: &str) -> Result<Option<bool>, Error> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::Flag(found)) => Ok(Some(found)),
            Some(_) => Err(self.wrong(key, "is not true or false")),
        }
    }

    /// Texts that must be there.
    pub fn texts(&self, key: &str) -> Result<&[String], Error> {
        match self.metadata.get(key) {
            None => Err(self.missing(key)),
            Some(Value::Texts(texts)) => Ok(texts),
            Some(_) => Err(self.wrong(key, "is not a list of texts")),
        }
    }

    /// Numbers that must be there.
    pub fn floats(&self, key: &str) -> Result<&[f32], Error> {
        match self.metadata.get(key) {
            None => Err(self.missing(key)),
            Some(Value::Floats(numbers)) => Ok(numbers),
            Some(_) => Err(self.wrong(key, "is not a list of numbers")),
        }
    }

    /// Whole numbers that must be there.
    pub fn integers(&self, key: &str) -> Result<&[i64], Error> {
        match self.metadata.get(key) {
            None => Err(self.missing(key)),
            Some(Value::Integers(numbers)) => Ok(numbers),
            Some(_) => Err(self.wrong(key, "is not a list of whole numbers")),
        }
    }

    /// [`Error::Field`] about a key.
    pub fn wrong(&self, key: &str, reason: impl Into<String>) -> Error {
        Error::Field { path: self.path.clone(), field: key.to_owned(), reason: reason.into() }
    }

    fn missing(&self, key: &str) -> Error {
        self.wrong(key, "is missing")
    }
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, String> {
    match metadata.get(ALIGNMENT) {
        None => Ok(32),
        Some(&Value::Unsigned(found)) if found.is_power_of_two() && found <= 1 << 16 => Ok(found),
        Some(found) => Err(format!("is {found:?}, not a power of two up to 65536")),
    }
}

/// Name and description of a tensor; `start` is still counted from where the data begin.
fn tensor(reader: &mut Reader, index: u64) -> Result<(String, TensorInfo), Error> {
    let name = reader.text(&format!("the name of tensor {index}"))?;
    if LONGEST_NAME < name.len() as u64 {
        let reason = format!("has {} bytes, more than {LONGEST_NAME}", name.len());
        return Err(reader.broken(&format!("the name of tensor {index}"), reason));
    }
    let place = format!("the tensor {name:?}");
    let sides = reader.u32(&place)?;
    if sides == 0 || MOST_SIDES < sides {
        return Err(reader.broken(&place, format!("has {sides} sides")));
    }
    let mut shape = Vec::new();
    for _ in 0..sides {
        let side = reader.u64(&place)?;
        let fits = usize::try_from(side).ok().filter(|&side| 0 < side);
        shape.push(fits.ok_or_else(|| reader.broken(&place, format!("has a side of {side}")))?);
    }
    let row = shape[0];
    shape.reverse();
    let id = reader.u32(&place)?;
    let blocks = BlockType::from_id(id).ok_or_else(|| {
        let known = BlockType::all().map(BlockType::name).collect::<Vec<_>>().join(", ");
        reader.of_type(&place, unread_name(id), known)
    })?;
    let rows =
        shape[..shape.len() - 1].iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
    let bytes = blocks.row_bytes(row).ok_or_else(|| {
        let (per, name) = (blocks.weights(), blocks.name());
        reader.broken(
            &place,
            format!("has rows of {row} weights, no multiple of the {per} of a block of {name}"),
        )
    })?;
    let bytes = rows.and_then(|rows| rows.checked_mul(bytes)).map(|bytes| bytes as u64);
    let bytes = bytes.ok_or_else(|| reader.broken(&place, "has more weights than can be"))?;
    let start = reader.u64(&place)?;
    Ok((name, TensorInfo { shape, blocks, start, bytes }))
}
