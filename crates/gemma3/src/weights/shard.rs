//! One safetensors file: its header, checked against the length of the file, and tensors on its memory map.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use tch::{Device, Kind, Tensor};

use crate::{Error, files};

/// Bytes of the number in front of the header.
const PREFIX: u64 = 8;

/// Far above the header of any real shard (a 27B checkpoint in one file: 0.2 MB), far below what could exhaust memory.
const LIMIT: u64 = 16 << 20;
/// Bytes of a tensor's name; real ones stay below 100.
const NAME_LIMIT: usize = 1024;
/// Sides of a tensor; weights have up to 4.
const RANK_LIMIT: usize = 16;

/// A safetensors file whose header describes exactly its bytes.
pub(crate) struct Shard {
    path: PathBuf,
    length: u64,
    /// Where the data begins.
    data: u64,
    metadata: Metadata,
    /// All bytes of the file, mapped on first use. libtorch owns the map: it lives as long as any tensor on it.
    map: OnceCell<Tensor>,
}

impl Shard {
    /// Reads and checks the header. Nothing is mapped yet.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = files::open(path)?;
        let length = file.metadata().map_err(Error::read(path))?.len();
        let header = read_header(path, file, length)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|e| broken(path, e.to_string()))?;
        check_entries(path, &metadata)?;
        let data = PREFIX + header.len() as u64;
        match data.checked_add(metadata.data_len() as u64) {
            Some(expected) if expected == length => {}
            expected => return Err(truncated(path, expected.unwrap_or(u64::MAX), length)),
        }
        Ok(Self { path: path.to_owned(), length, data, metadata, map: OnceCell::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Stored names and what the header says about them.
    pub(crate) fn tensors(&self) -> HashMap<String, &TensorInfo> {
        self.metadata.tensors()
    }

    /// What the header says about one tensor.
    pub(crate) fn info(&self, stored: &str) -> Option<&TensorInfo> {
        self.metadata.info(stored)
    }

    /// The same of a tensor that it has.
    pub(crate) fn known(&self, stored: &str) -> &TensorInfo {
        self.info(stored).expect("entries are made from the files' own names")
    }

    /// The tensor on the memory map: no copy, unless its bytes are not aligned for its type.
    pub(crate) fn mapped(&self, info: &TensorInfo, kind: Kind) -> Result<Tensor, Error> {
        if self.map.get().is_none() {
            // Nobody else can fill the cell meanwhile: it is not shared between threads.
            let _ = self.map.set(self.map_file()?);
        }
        let map = self.map.get().expect("filled above");
        self.slice(map, info, kind)
    }

    /// The tensor converted, on a memory map of its own that is closed at once: what was converted does not stay resident.
    pub(crate) fn converted(
        &self,
        info: &TensorInfo,
        from: Kind,
        device: Device,
        to: Kind,
    ) -> Result<Tensor, Error> {
        let stored = self.slice(&self.map_file()?, info, from)?;
        stored
            .f_to_device_(device, to, false, true)
            .map_err(Error::torch(format!("copying a tensor to {device:?}")))
    }

    /// The bytes of the file as a tensor. The map is private: were a tensor on it written to, the file would not change.
    /// Linux grants such a map by default up to the size of memory and swap; a larger model could not be computed with anyway.
    fn map_file(&self) -> Result<Tensor, Error> {
        let name = self
            .path
            .to_str()
            .ok_or_else(|| broken(&self.path, "its path is not valid UTF-8".to_owned()))?;
        Tensor::f_from_file(name, false, self.length as i64, (Kind::Uint8, Device::Cpu))
            .map_err(Error::torch(format!("mapping {}", self.path.display())))
    }

    fn slice(&self, map: &Tensor, info: &TensorInfo, kind: Kind) -> Result<Tensor, Error> {
        let (start, end) = info.data_offsets;
        let offset = self.data as i64 + start as i64;
        let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
        let aligned = offset % kind.elt_size_in_bytes() as i64 == 0;
        let bytes = map.f_narrow(0, offset, (end - start) as i64);
        let bytes = if aligned { bytes } else { bytes.and_then(|bytes| bytes.f_detach_copy()) };
        bytes
            .and_then(|bytes| bytes.f_view_dtype(kind)?.f_view(shape.as_slice()))
            .map_err(Error::torch(format!("reading a tensor of {}", self.path.display())))
    }
}

/// The libtorch kind of a stored type that weights may have.
pub(crate) fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F16 => Some(Kind::Half),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F64 => Some(Kind::Double),
        _ => None,
    }
}

/// The bytes of the header, whose stated length is believed only within the file and the limit.
fn read_header(path: &Path, mut file: File, length: u64) -> Result<Vec<u8>, Error> {
    if length < PREFIX {
        return Err(truncated(path, PREFIX, length));
    }
    let mut prefix = [0; PREFIX as usize];
    file.read_exact(&mut prefix).map_err(Error::read(path))?;
    let size = u64::from_le_bytes(prefix);
    if LIMIT < size {
        return Err(broken(
            path,
            format!("it claims {size} bytes, more than the {LIMIT} that any real one has"),
        ));
    }
    if length < PREFIX + size {
        return Err(truncated(path, PREFIX + size, length));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).map_err(Error::read(path))?;
    Ok(header)
}

/// Refuses names and shapes that no tensor has, so that nothing later has to carry or print them.
fn check_entries(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    for (name, info) in metadata.tensors() {
        let (length, rank) = (name.len(), info.shape.len());
        if length > NAME_LIMIT {
            let reason =
                format!("a tensor's name has {length} bytes, more than {NAME_LIMIT}: {name}");
            return Err(broken(path, reason));
        }
        if rank > RANK_LIMIT {
            let reason = format!("tensor {name} has {rank} sides, more than {RANK_LIMIT}");
            return Err(broken(path, reason));
        }
    }
    Ok(())
}

fn broken(path: &Path, reason: String) -> Error {
    Error::Header { path: path.to_owned(), reason }
}

fn truncated(path: &Path, expected: u64, found: u64) -> Error {
    Error::Length { path: path.to_owned(), expected, found }
}
