//! Reference data made by transformers and PyTorch (`tests/fixtures/README.md`).

use ndarray::{ArrayD, Dimension};
use ndarray_npy::{NpzReader, ReadNpzError};
use serde_json::{Map, Value};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One case: a small checkpoint, its pictures, and what the reference gives for them.
#[derive(Debug)]
pub struct Fixture {
    dir: PathBuf,
    expected: Map<String, Value>,
}

impl Fixture {
    /// The case of that name.
    pub fn open(name: &str) -> Self {
        let dir = Self::folder().join(name);
        let mut expected = read_json(&dir.join("expected.json")).expect("fixture");
        let extra = read_json(&dir.join("extra.json")).unwrap_or_default();
        expected.extend(extra);
        Self { dir, expected }
    }

    /// Every case there is.
    pub fn all() -> Vec<Self> {
        let folders = std::fs::read_dir(Self::folder())
            .expect("tests/fixtures")
            .map(|entry| entry.expect("entry").path());
        let mut names: Vec<_> = folders.filter(|path| path.join("expected.npz").exists()).collect();
        names.sort();
        assert!(5 <= names.len(), "cases are missing: {names:?}");
        names
            .iter()
            .map(|path| Self::open(path.file_name().and_then(|name| name.to_str()).expect("name")))
            .collect()
    }

    /// `tests/fixtures`.
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
    }

    /// The name of the case.
    pub fn name(&self) -> &str {
        self.expected["case"].as_str().expect("case")
    }

    /// The checkpoint.
    pub fn model(&self) -> PathBuf {
        self.dir.join("model")
    }

    /// The pictures, in order.
    pub fn pictures(&self) -> Vec<PathBuf> {
        let names = self.expected["images"].as_array().expect("images");
        names.iter().map(|name| self.dir.join(name.as_str().expect("name"))).collect()
    }

    /// The system text, where the case has one.
    pub fn system(&self) -> Option<&str> {
        self.expected.get("system").and_then(Value::as_str)
    }

    /// Positions of the tokens of each image.
    pub fn image_spans(&self) -> Vec<Range<usize>> {
        let spans: Vec<[usize; 2]> =
            serde_json::from_value(self.expected["image_spans"].clone()).expect("spans");
        spans.into_iter().map(|[start, end]| start..end).collect()
    }

    /// A text of `expected.json`.
    pub fn text(&self, field: &str) -> &str {
        self.expected[field].as_str().unwrap_or_else(|| panic!("{}: no text {field}", self.name()))
    }

    /// A number of `expected.json`.
    pub fn number(&self, field: &str) -> usize {
        self.expected[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{}: no number {field}", self.name())) as usize
    }

    /// Any value of `expected.json`.
    pub fn json(&self, field: &str) -> Value {
        self.expected[field].clone()
    }

    /// A list of numbers of `expected.json`.
    pub fn numbers(&self, field: &str) -> Vec<usize> {
        let list = self.expected[field]
            .as_array()
            .unwrap_or_else(|| panic!("{}: no list {field}", self.name()));
        list.iter().map(|item| item.as_u64().expect("number") as usize).collect()
    }

    /// A float array, whatever its stored width.
    pub fn array<D: Dimension>(&self, name: &str) -> ndarray::Array<f64, D> {
        let wide = self
            .read::<f64>(name)
            .or_else(|_| self.read::<f32>(name).map(|array| array.mapv(f64::from)));
        wide.unwrap_or_else(|error| panic!("{}: {name}: {error}", self.name()))
            .into_dimensionality()
            .expect("dimensions")
    }

    /// An array of token ids.
    pub fn ids(&self, name: &str) -> Vec<u32> {
        let wide = self
            .read::<i64>(name)
            .or_else(|_| self.read::<i32>(name).map(|array| array.mapv(i64::from)));
        let wide = wide.unwrap_or_else(|error| panic!("{}: {name}: {error}", self.name()));
        wide.iter().map(|&id| u32::try_from(id).expect("id")).collect()
    }

    fn read<T: ndarray_npy::ReadableElement>(&self, name: &str) -> Result<ArrayD<T>, ReadNpzError> {
        let file = format!("{name}.npy");
        let from = |archive: &str| {
            NpzReader::new(File::open(self.dir.join(archive)).expect("archive"))?.by_name(&file)
        };
        let more = ["extra.npz", "methods.npz"].into_iter();
        let mut more = more.filter(|archive| self.dir.join(archive).exists());
        from("expected.npz").or_else(|error| more.find_map(|one| from(one).ok()).ok_or(error))
    }
}

fn read_json(path: &Path) -> Option<Map<String, Value>> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).expect("JSON"))
}
