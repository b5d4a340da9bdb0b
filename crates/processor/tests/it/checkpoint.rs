//! The fixture checkpoint, as it is or with a change.

use std::path::{Path, PathBuf};

use gemma3_processor::{Error, Processor, ProcessorOptions, TextTokenizer};
use serde_json::{Map, Value};
use tempfile::TempDir;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(crate) fn processor(options: ProcessorOptions) -> Processor {
    Processor::from_dir(&fixtures().join("checkpoint"), options).unwrap()
}

pub(crate) fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_file(&fixtures().join("checkpoint/tokenizer.json")).unwrap()
}

/// A copy that may be broken.
pub(crate) struct Copy(TempDir);

impl Copy {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(fixtures().join("checkpoint")).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
        }
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(self, file: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path().join(file), text).unwrap();
        self
    }

    pub(crate) fn remove(self, file: &str) -> Self {
        std::fs::remove_file(self.path().join(file)).unwrap();
        self
    }

    /// Changes the top-level object of a JSON file.
    pub(crate) fn edit(self, file: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Self {
        let text = std::fs::read(self.path().join(file)).unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        change(value.as_object_mut().unwrap());
        self.write(file, value.to_string())
    }

    pub(crate) fn template(self, source: &str) -> Self {
        self.write("chat_template.jinja", source)
    }

    pub(crate) fn load(&self) -> Result<Processor, Error> {
        // The templates of these tests are their own.
        let options = ProcessorOptions::default().with_trust_template(true);
        Processor::from_dir(self.path(), options)
    }

    pub(crate) fn error(&self) -> Error {
        self.load().expect_err("a broken checkpoint loads")
    }
}
