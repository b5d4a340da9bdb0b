//! The weights of a checkpoint: memory-mapped shards, walked by path segment, each tensor asked for with its shape.
//!
//! On the CPU, and where the type stays, a tensor is a view of the file: nothing is copied, and loading takes the time of
//! reading headers. libtorch itself owns the maps and frees each with the last tensor on it, so nothing has to be kept alive.
//! A file must not be truncated while a model uses it; a new download never does that, it writes a new file.

mod gguf;
mod index;
mod layout;
mod memory;
mod names;
mod nf4;
mod range;
mod shard;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use quantised_weights::Gguf;
use tch::{Device, Kind, Tensor};

use crate::quantisation::check_tensors;
use crate::weight::Weight;
use crate::{CheckpointPlace, Error, files};

pub(crate) use gguf::GgufShard;
#[cfg(feature = "hub")]
pub(crate) use index::parse as parse_index;
pub(crate) use index::{INDEX, SINGLE};
pub(crate) use layout::visit as visit_layout;
pub(crate) use memory::InMemory;
pub use memory::LowRankPair;
pub(crate) use names::canonical;
pub(crate) use shard::{Shard, kind_of};

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

/// All weights of a checkpoint, with every header checked.
#[derive(Default)]
pub struct Weights {
    holders: Vec<Holder>,
    /// Canonical name → where it is.
    entries: BTreeMap<String, Entry>,
    /// Canonical names of weights that bitsandbytes quantised, with what stands beside them.
    nf4: BTreeMap<String, nf4::State>,
}

/// What a header says of one tensor.
pub(crate) struct Stored<'a> {
    /// Canonical name.
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [usize],
    /// The type's name in safetensors, or that of its blocks in ggml.
    pub(crate) dtype: String,
    /// The type, if weights may have it; `None` for what is quantised, too.
    pub(crate) kind: Option<Kind>,
    pub(crate) is_quantised: bool,
    pub(crate) bytes: u64,
}

struct Entry {
    holder: usize,
    stored: String,
}

/// A file of weights.
enum Holder {
    Safetensors(Shard),
    Gguf(GgufShard),
}

impl Holder {
    fn path(&self) -> &Path {
        match self {
            Self::Safetensors(shard) => shard.path(),
            Self::Gguf(file) => file.header().path(),
        }
    }

    fn length(&self) -> u64 {
        match self {
            Self::Safetensors(shard) => shard.length(),
            Self::Gguf(file) => file.header().length(),
        }
    }

    /// The shape of a tensor that it has.
    fn shape(&self, stored: &str) -> &[usize] {
        match self {
            Self::Safetensors(shard) => &shard.known(stored).shape,
            Self::Gguf(file) => &file.info(stored).shape,
        }
    }
}

impl Weights {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names, and checks all headers.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        files::check_directory(dir)?;
        let mut weights = Self::default();
        for (file, promised) in index::find(dir)? {
            let path = dir.join(&file);
            let shard = Shard::open(&path).map_err(|error| match error {
                Error::MissingFile { path } => Error::MissingShard { path },
                other => other,
            })?;
            let tensors = shard.tensors();
            check_tensors(&path, tensors.iter().map(|(name, info)| (name.as_str(), *info)))?;
            if let Some(name) = promised.iter().find(|name| shard.info(name).is_none()) {
                return Err(Error::NotInShard { name: name.clone(), shard: file });
            }
            let names = tensors.into_keys().map(|stored| (names::canonical(&stored), stored));
            let names: Vec<(String, String)> = names.collect();
            weights.describe(&shard, &names)?;
            weights.add(Holder::Safetensors(shard), names)?;
        }
        Ok(weights)
    }

    /// Opens the files of a checkpoint and checks all headers.
    pub fn at(place: &CheckpointPlace) -> Result<Self, Error> {
        match place {
            CheckpointPlace::Folder(dir) => Self::open(dir),
            CheckpointPlace::Gguf { model, mmproj } => {
                let files = [Some(model), mmproj.as_ref()].into_iter().flatten();
                Self::of_gguf(files.map(|file| GgufShard::open(file)).collect::<Result<_, _>>()?)
            }
        }
    }

    /// The headers of GGUF files: of the language model, and of the vision tower.
    pub(crate) fn gguf(&self) -> Option<(&Gguf, Option<&Gguf>)> {
        let mut headers = self.holders.iter().filter_map(|holder| match holder {
            Holder::Safetensors(_) => None,
            Holder::Gguf(file) => Some(file.header()),
        });
        Some((headers.next()?, headers.next()))
    }

    /// Takes in GGUF files: a language model, and the vision tower in a second one.
    pub(crate) fn of_gguf(files: Vec<GgufShard>) -> Result<Self, Error> {
        let mut weights = Self::default();
        for file in files {
            let names = file.names().map(|(stored, name)| (name, stored.to_owned())).collect();
            weights.add(Holder::Gguf(file), names)?;
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

    /// The files, in the order in which they were opened.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.holders.iter().map(Holder::path)
    }

    /// Bytes of all weight files.
    pub fn bytes(&self) -> u64 {
        self.holders.iter().map(Holder::length).sum()
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
        let beside = |name: &str| nf4::beside(name).is_some_and(|of| self.nf4.contains_key(of));
        let own = self.entries.iter().filter(move |(name, _)| !beside(name));
        own.map(|(name, entry)| match &self.holders[entry.holder] {
            Holder::Safetensors(shard) => {
                let info = shard.known(&entry.stored);
                let quantised = self.nf4.get(name);
                Stored {
                    name,
                    shape: quantised.map_or(&info.shape, |state| &state.shape),
                    dtype: quantised.map_or_else(|| info.dtype.to_string(), |_| "NF4".to_owned()),
                    kind: kind_of(info.dtype),
                    is_quantised: quantised.is_some(),
                    bytes: (info.data_offsets.1 - info.data_offsets.0) as u64,
                }
            }
            Holder::Gguf(file) => {
                let info = file.info(&entry.stored);
                let kind = gguf::kind_of(info.blocks);
                Stored {
                    name,
                    shape: &info.shape,
                    dtype: info.blocks.name().to_owned(),
                    kind,
                    is_quantised: kind.is_none(),
                    bytes: info.bytes,
                }
            }
        })
    }

    /// Reads what stands beside quantised weights.
    fn describe(&mut self, shard: &Shard, names: &[(String, String)]) -> Result<(), Error> {
        for (name, stored) in names {
            if let (Some(name), Some(stored)) = (nf4::described(name), nf4::described(stored)) {
                self.nf4.insert(name.to_owned(), nf4::State::read(shard, stored)?);
            }
        }
        Ok(())
    }

    /// Takes in the tensors of a file, by canonical and by stored name.
    fn add(&mut self, holder: Holder, names: Vec<(String, String)>) -> Result<(), Error> {
        for (name, stored) in names {
            if let Some(first) = self.entries.get(&name) {
                return Err(Error::DuplicateTensor {
                    name,
                    first: first.stored.clone(),
                    second: stored,
                });
            }
            self.entries.insert(name, Entry { holder: self.holders.len(), stored });
        }
        self.holders.push(holder);
        Ok(())
    }

    /// The file that has a tensor of exactly this shape, and its name there.
    fn find(&self, name: &str, shape: &[usize]) -> Result<(&Holder, &str), Error> {
        let Some(Entry { holder, stored }) = self.entries.get(name) else {
            return Err(missing(name, self.names()));
        };
        let holder = &self.holders[*holder];
        let found = self.nf4.get(name).map_or(holder.shape(stored), |state| &state.shape);
        if found != shape {
            let (expected, found) = (shape.to_owned(), found.to_owned());
            return Err(Error::Shape { name: stored.clone(), expected, found });
        }
        Ok((holder, stored))
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
        let (holder, stored) = self.find(name, shape)?;
        let shard = match holder {
            Holder::Safetensors(shard) => shard,
            Holder::Gguf(file) => return file.tensor(stored, placement),
        };
        let info = shard.known(stored);
        let Some(own) = kind_of(info.dtype) else {
            return Err(Error::Dtype { name: stored.to_owned(), found: info.dtype.to_string() });
        };
        match placement.kind.unwrap_or(own) {
            kind if kind == own && placement.device == Device::Cpu => shard.mapped(info, own),
            kind => shard.converted(info, own, placement.device, kind),
        }
    }

    fn weight(&self, name: &str, shape: [usize; 2], placement: Placement) -> Result<Weight, Error> {
        match self.find(name, &shape)? {
            (Holder::Safetensors(shard), _) => match self.nf4.get(name) {
                Some(state) => state.weight(shard, placement),
                None => Ok(Weight::Dense(self.load(name, &shape, placement)?)),
            },
            (Holder::Gguf(file), stored) => file.weight(stored, placement),
        }
    }

    fn gain(&self, name: &str, width: usize, placement: Placement) -> Result<Tensor, Error> {
        match self.find(name, &[width])? {
            (Holder::Safetensors(_), _) => {
                Ok(self.load(name, &[width], placement)?.to_kind(Kind::Float) + 1.0)
            }
            // There it is 1 + w already, and float32 whatever products are made in.
            (Holder::Gguf(file), stored) => {
                file.tensor(stored, Placement { kind: Some(Kind::Float), ..placement })
            }
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
