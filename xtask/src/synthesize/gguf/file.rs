//! Writing a GGUF file from its first byte to its last: fields, the places of tensors, and their blocks, of which few are in memory at a time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;

use super::blocks::{Blocks, Stored};
use crate::synthesize::noise::Normal;
use crate::synthesize::shards::quieter;

/// Where tensors begin.
const ALIGNMENT: u64 = 32;

/// A field of the metadata.
pub(super) enum Field {
    Size(u32),
    Float(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Floats(Vec<f32>),
    Integers(Vec<i32>),
}

/// The metadata, in order.
pub(super) struct Fields(Vec<(String, Field)>);

impl Fields {
    /// Of a file of this architecture, mostly of this type.
    pub(super) fn of(architecture: &str, file_type: u32) -> Self {
        let mut fields = Self(Vec::new());
        fields.add("general.architecture", Field::Text(architecture.to_owned()));
        fields.add("general.name", Field::Text("synthesized".to_owned()));
        fields.add("general.file_type", Field::Size(file_type));
        fields.add("general.quantization_version", Field::Size(2));
        fields
    }

    pub(super) fn add(&mut self, key: &str, field: Field) {
        self.0.push((key.to_owned(), field));
    }

    pub(super) fn size(&mut self, key: &str, size: usize) {
        self.add(key, Field::Size(u32::try_from(size).expect("sizes of models are below 2³²")));
    }
}

/// A tensor to write.
pub(super) struct Entry {
    pub(super) name: String,
    /// Sides, slowest first.
    pub(super) shape: Vec<usize>,
    pub(super) stored: Stored,
    pub(super) normal: Normal,
    /// Whether some of its rows shall be quiet.
    pub(super) is_embedding: bool,
}

impl Entry {
    fn size(&self) -> u64 {
        self.stored.size(self.shape.iter().product())
    }
}

/// A file to write.
pub(super) struct Plan {
    header: Vec<u8>,
    entries: Vec<Entry>,
}

impl Plan {
    pub(super) fn new(fields: Fields, entries: Vec<Entry>) -> Self {
        let mut header = Header(b"GGUF".to_vec());
        header.u32(3);
        header.u64(entries.len() as u64);
        header.u64(fields.0.len() as u64);
        for (key, field) in &fields.0 {
            header.text(key);
            header.field(field);
        }
        let mut start = 0;
        for entry in &entries {
            header.text(&entry.name);
            header.u32(entry.shape.len() as u32);
            entry.shape.iter().rev().for_each(|&side| header.u64(side as u64));
            header.u32(entry.stored.id());
            header.u64(start);
            start += entry.size().next_multiple_of(ALIGNMENT);
        }
        let aligned = header.0.len().next_multiple_of(ALIGNMENT as usize);
        header.0.resize(aligned, 0);
        Self { header: header.0, entries }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        let tensors = self.entries.iter().map(|entry| entry.size().next_multiple_of(ALIGNMENT));
        self.header.len() as u64 + tensors.sum::<u64>()
    }

    /// `quiet` are rows of the embedding, in order.
    pub(super) fn write(&self, path: &Path, mut blocks: Blocks<'_>, quiet: &[usize]) -> Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.write_all(&self.header)?;
        for entry in &self.entries {
            let Entry { name, shape, stored, normal, is_embedding } = entry;
            if *is_embedding {
                let size = stored.size(shape[1]);
                let (loud, hushed) =
                    (blocks.of(*stored, *normal), blocks.of(*stored, quieter(*normal)));
                let mut quiet = quiet.iter().peekable();
                for row in 0..shape[0] {
                    let block = if quiet.next_if_eq(&&row).is_some() { &hushed } else { &loud };
                    for slice in block.window(&format!("row {row}"), size) {
                        file.write_all(slice)?;
                    }
                }
            } else {
                for slice in blocks.of(*stored, *normal).window(name, entry.size()) {
                    file.write_all(slice)?;
                }
            }
            let padding = entry.size().next_multiple_of(ALIGNMENT) - entry.size();
            file.write_all(&[0; ALIGNMENT as usize][..padding as usize])?;
        }
        file.flush()?;
        Ok(())
    }
}

/// A header in the making.
struct Header(Vec<u8>);

impl Header {
    fn u32(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    /// A list of `count` entries of a type.
    fn list(&mut self, kind: u32, count: usize) {
        self.u32(9);
        self.u32(kind);
        self.u64(count as u64);
    }

    fn field(&mut self, field: &Field) {
        match field {
            Field::Size(number) => {
                self.u32(4);
                self.u32(*number);
            }
            Field::Float(number) => {
                self.u32(6);
                self.0.extend(number.to_le_bytes());
            }
            Field::Flag(flag) => {
                self.u32(7);
                self.0.push(u8::from(*flag));
            }
            Field::Text(text) => {
                self.u32(8);
                self.text(text);
            }
            Field::Texts(texts) => {
                self.list(8, texts.len());
                for text in texts {
                    self.text(text);
                }
            }
            Field::Floats(numbers) => {
                self.list(6, numbers.len());
                for number in numbers {
                    self.0.extend(number.to_le_bytes());
                }
            }
            Field::Integers(numbers) => {
                self.list(5, numbers.len());
                for number in numbers {
                    self.0.extend(number.to_le_bytes());
                }
            }
        }
    }
}
