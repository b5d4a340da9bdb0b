//! The weights of a checkpoint: memory-mapped shards, walked by path segment, each tensor asked for with its shape.
//!
//! On the CPU, and where the type stays, a tensor is a view of the file: nothing is copied, and loading takes the time of
//! reading headers. libtorch itself owns the maps and frees each with the last tensor on it, so nothing has to be kept alive.
//! A file must not be truncated while a model uses it; a new download never does that, it writes a new file.

mod index;
mod layout;
mod memory;
mod names;
mod range;
mod shard;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::weight::Weight;
use crate::{Error, files};

#[cfg(feature = "hub")]
pub(crate) use index::{INDEX, SINGLE, parse as parse_index};
pub(crate) use layout::visit as visit_layout;
pub(crate) use memory::InMemory;
#[cfg(feature = "hub")]
pub(crate) use shard::Shard;
#[cfg(not(feature = "hub"))]
use shard::Shard;
use shard::kind_of;

/// Where a loaded tensor shall be, and in which type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The device.
    pub device: Device,
    /// The type; `None` leaves it as stored.
    pub kind: Option<Kind>,
}

impl Placement {
    /// On the CPU as stored: no copy is made.
    pub const AS_STORED: Self = Self { device: Device::Cpu, kind: None };
}

/// All weights of a checkpoint directory, with every header checked.
pub struct Weights {
    shards: Vec<Shard>,
    /// Canonical name → where it is.
    entries: BTreeMap<String, Entry>,
}

/// What a header says of one tensor.
pub(crate) struct Stored<'a> {
    /// Canonical name.
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [usize],
    /// The type's name in safetensors.
    pub(crate) dtype: String,
    /// The type, if weights may have it.
    pub(crate) kind: Option<Kind>,
    pub(crate) bytes: u64,
}

struct Entry {
    shard: usize,
    stored: String,
}

impl Weights {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names, and checks all headers.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        files::check_directory(dir)?;
        let mut weights = Self { shards: Vec::new(), entries: BTreeMap::new() };
        for (file, promised) in index::find(dir)? {
            let path = dir.join(&file);
            let shard = Shard::open(&path).map_err(|error| match error {
                Error::MissingFile { path } => Error::MissingShard { path },
                other => other,
            })?;
            weights.add(shard, &file, &promised)?;
        }
        Ok(weights)
    }

    /// The start of the walk: `weights.root(placement).at("language_model").at("layers").at(3)`.
    pub fn root(&self, placement: Placement) -> WeightPath<'_> {
        WeightPath::new(self, placement)
    }

    /// Canonical names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Bytes of all weight files.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(Shard::length).sum()
    }

    /// The type that most parameters are stored in, of those that weights may have.
    pub(crate) fn main_kind(&self) -> Option<Kind> {
        let mut counts: Vec<(u64, Kind)> = Vec::new();
        for (kind, bytes) in self.stored().filter_map(|tensor| Some((tensor.kind?, tensor.bytes))) {
            let parameters = bytes / kind.elt_size_in_bytes() as u64;
            match counts.iter_mut().find(|(_, known)| *known == kind) {
                Some((count, _)) => *count += parameters,
                None => counts.push((parameters, kind)),
            }
        }
        counts.into_iter().max_by_key(|&(count, _)| count).map(|(_, kind)| kind)
    }

    /// What the headers say of every tensor, sorted by canonical name.
    pub(crate) fn stored(&self) -> impl Iterator<Item = Stored<'_>> {
        self.entries.iter().map(|(name, entry)| {
            let info = self.info(entry);
            let bytes = (info.data_offsets.1 - info.data_offsets.0) as u64;
            Stored {
                name,
                shape: &info.shape,
                dtype: info.dtype.to_string(),
                kind: kind_of(info.dtype),
                bytes,
            }
        })
    }

    fn info(&self, entry: &Entry) -> &safetensors::tensor::TensorInfo {
        self.shards[entry.shard]
            .info(&entry.stored)
            .expect("entries are made from the shards' own names")
    }

    /// Takes in the tensors of one shard.
    fn add(&mut self, shard: Shard, file: &str, promised: &[String]) -> Result<(), Error> {
        if let Some(name) = promised.iter().find(|name| shard.info(name).is_none()) {
            return Err(Error::NotInShard { name: name.clone(), shard: file.to_owned() });
        }
        for stored in shard.tensors().into_keys() {
            let name = names::canonical(&stored);
            if let Some(first) = self.entries.get(&name) {
                return Err(Error::DuplicateTensor {
                    name,
                    first: first.stored.clone(),
                    second: stored,
                });
            }
            self.entries.insert(name, Entry { shard: self.shards.len(), stored });
        }
        self.shards.push(shard);
        Ok(())
    }
}

/// What tensors are taken from, by canonical name.
pub(crate) trait Source {
    /// The tensor, which must have exactly this shape.
    fn load(&self, name: &str, shape: &[usize], placement: Placement) -> Result<Tensor, Error>;

    /// Whether there is such a tensor.
    fn contains(&self, name: &str) -> bool;

    /// The matrix `[outputs, inputs]`, which stays as it is where it is quantised.
    fn weight(&self, name: &str, shape: [usize; 2], placement: Placement) -> Result<Weight, Error> {
        Ok(Weight::Dense(self.load(name, &shape, placement)?))
    }

    /// What a norm multiplies with, `1 + w` `[width]` in float32.
    fn gain(&self, name: &str, width: usize, placement: Placement) -> Result<Tensor, Error> {
        Ok(self.load(name, &[width], placement)?.to_kind(Kind::Float) + 1.0)
    }
}

impl Source for Weights {
    fn load(&self, name: &str, shape: &[usize], placement: Placement) -> Result<Tensor, Error> {
        let Some(entry) = self.entries.get(name) else {
            return Err(missing(name, self.names()));
        };
        let (shard, info) = (&self.shards[entry.shard], self.info(entry));
        if info.shape != shape {
            let (expected, found) = (shape.to_owned(), info.shape.clone());
            return Err(Error::Shape { name: entry.stored.clone(), expected, found });
        }
        let Some(stored) = kind_of(info.dtype) else {
            return Err(Error::Dtype { name: entry.stored.clone(), found: info.dtype.to_string() });
        };
        match placement.kind.unwrap_or(stored) {
            kind if kind == stored && placement.device == Device::Cpu => shard.mapped(info, stored),
            kind => shard.converted(info, stored, placement.device, kind),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }
}

fn missing<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let nearest = names::nearest(name, known).map(str::to_owned);
    Error::MissingTensor { name: name.to_owned(), nearest }
}

/// A place in the tree of tensor names.
#[derive(Clone)]
pub struct WeightPath<'a> {
    source: &'a dyn Source,
    placement: Placement,
    /// Empty, or ends in a dot.
    prefix: String,
}

impl<'a> WeightPath<'a> {
    pub(crate) fn new(source: &'a dyn Source, placement: Placement) -> Self {
        Self { source, placement, prefix: String::new() }
    }

    /// One segment down: a name or a layer's number.
    #[must_use]
    pub fn at(&self, segment: impl Display) -> Self {
        Self { prefix: format!("{}{segment}.", self.prefix), ..self.clone() }
    }

    /// The tensor `name` below this place, which must have exactly this shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        self.source.load(&self.full(name), shape, self.placement)
    }

    /// The matrix `name` below this place, `[outputs, inputs]`.
    pub(crate) fn weight(&self, name: &str, shape: [usize; 2]) -> Result<Weight, Error> {
        self.source.weight(&self.full(name), shape, self.placement)
    }

    /// What a norm below this place multiplies with, `1 + w` `[width]` in float32.
    pub(crate) fn gain(&self, name: &str, width: usize) -> Result<Tensor, Error> {
        self.source.gain(&self.full(name), width, self.placement)
    }

    /// Whether there is a tensor `name` below this place.
    pub fn contains(&self, name: &str) -> bool {
        self.source.contains(&self.full(name))
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
