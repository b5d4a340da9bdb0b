//! A copy of a fixture's checkpoint that may be changed: to give it another tokenizer, or to damage it in one way.

use crate::Fixture;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A checkpoint in a folder of its own, which goes with this value.
#[derive(Debug)]
pub struct Checkpoint {
    folder: TempDir,
}

impl Checkpoint {
    /// The checkpoint of a fixture.
    pub fn copy(fixture: &Fixture) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        for entry in fs::read_dir(fixture.model()).expect("model") {
            let entry = entry.expect("entry");
            fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copy");
        }
        Self { folder }
    }

    /// A consistent checkpoint of more than four terabytes, all zeros and holes in the file: `short-window` with the largest
    /// width and vocabulary that a configuration may have.
    pub fn huge() -> Self {
        const WIDTH: u64 = 1 << 16;
        const VOCABULARY: u64 = 1 << 24;
        let fixture = Fixture::open("short-window");
        let checkpoint = Self::copy(&fixture);
        let text =
            |config: &Value, field: &str| config["text_config"][field].as_u64().expect("size");
        let mut old = (0, 0);
        checkpoint.edit("config.json", |config| {
            old = (text(config, "hidden_size"), text(config, "vocab_size"));
            config["text_config"]["hidden_size"] = WIDTH.into();
            config["text_config"]["vocab_size"] = VOCABULARY.into();
        });
        let (mut header, _) = checkpoint.weights("model.safetensors");
        let mut end = 0;
        for (_, tensor) in header.as_object_mut().expect("header").iter_mut().filter(is_tensor) {
            let mut bytes = 4;
            for side in tensor["shape"].as_array_mut().expect("shape") {
                let length = side.as_u64().expect("side");
                let length = if length == old.0 {
                    WIDTH
                } else if length == old.1 {
                    VOCABULARY
                } else {
                    length
                };
                bytes *= length;
                *side = length.into();
            }
            tensor["data_offsets"] = vec![end, end + bytes].into();
            end += bytes;
        }
        checkpoint.set_weights("model.safetensors", &header, &[]);
        let path = checkpoint.file("model.safetensors");
        let length = fs::metadata(&path).expect("weights").len() + end;
        let file = File::options().write(true).open(path).expect("weights");
        file.set_len(length).expect("a file system with sparse files");
        checkpoint
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).expect("file");
    }

    /// Replaces a file.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).expect("write");
    }

    /// Changes a file of JSON.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let text = fs::read_to_string(self.file(name)).expect("file");
        let mut value = serde_json::from_str(&text).expect("JSON");
        change(&mut value);
        self.write(name, value.to_string());
    }

    /// Changes the header of a safetensors file; the data stay.
    pub fn edit_header(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let (mut header, data) = self.weights(name);
        change(&mut header);
        self.set_weights(name, &header, &data);
    }

    /// Makes the first number of the tensor whose name ends so, the only one, NaN.
    pub fn spoil_weight(&self, name: &str, tensor: &str) {
        let (header, mut data) = self.weights(name);
        let tensors = header.as_object().expect("header");
        let mut found = tensors.iter().filter(|(name, _)| name.ends_with(tensor));
        let (_, entry) = found.next().unwrap_or_else(|| panic!("no tensor {tensor}"));
        assert!(found.next().is_none(), "several tensors {tensor}");
        let start = entry["data_offsets"][0].as_u64().expect("offset") as usize;
        // All bits set are NaN in float32 and, twice, in bfloat16.
        data[start..start + 4].fill(0xff);
        self.set_weights(name, &header, &data);
    }

    /// Makes all numbers zero of each tensor whose name `is_one` accepts; there must be one.
    pub fn clear_weights(&self, name: &str, is_one: impl Fn(&str) -> bool) {
        let (header, mut data) = self.weights(name);
        let tensors = header.as_object().expect("header");
        let mut cleared = 0;
        for (_, entry) in tensors.iter().filter(|(name, _)| is_one(name)) {
            let [start, end] = [0, 1].map(|side| entry["data_offsets"][side].as_u64());
            let bytes = start.expect("offset") as usize..end.expect("offset") as usize;
            data[bytes].fill(0);
            cleared += 1;
        }
        assert!(cleared > 0, "no such tensor");
        self.set_weights(name, &header, &data);
    }

    /// Header and data of a safetensors file.
    fn weights(&self, name: &str) -> (Value, Vec<u8>) {
        let bytes = fs::read(self.file(name)).expect("weights");
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("length")) as usize;
        let header = serde_json::from_slice(&bytes[8..8 + length]).expect("header");
        (header, bytes[8 + length..].to_vec())
    }

    fn set_weights(&self, name: &str, header: &Value, data: &[u8]) {
        let mut header = header.to_string();
        while !header.len().is_multiple_of(8) {
            header.push(' ');
        }
        let length = (header.len() as u64).to_le_bytes();
        self.write(name, [length.as_slice(), header.as_bytes(), data].concat());
    }
}

fn is_tensor((name, _): &(&String, &mut Value)) -> bool {
    *name != "__metadata__"
}
