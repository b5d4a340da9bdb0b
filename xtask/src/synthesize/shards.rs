//! Writing safetensors: tensors are dealt out to shards of at most 5 GB, and two threads write shards side by side.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::model::{EMBEDDING, Tensor};
use super::noise::{Block, Dtype, Noise, Normal};

/// As transformers cuts by default.
const SHARD_SIZE: u64 = 5_000_000_000;
const THREADS: usize = 2;
/// How much smaller the rows are that the model shall never say.
const QUIET: f32 = 0.25;

/// Which tensor goes into which file.
pub(crate) struct Plan {
    dtype: Dtype,
    shards: Vec<Vec<Tensor>>,
}

impl Plan {
    pub(crate) fn new(tensors: Vec<Tensor>, dtype: Dtype) -> Self {
        Self::with_limit(tensors, dtype, SHARD_SIZE)
    }

    fn with_limit(tensors: Vec<Tensor>, dtype: Dtype, limit: u64) -> Self {
        let mut shards: Vec<Vec<Tensor>> = Vec::new();
        let mut room = 0;
        for tensor in tensors {
            let size = size(&tensor, dtype);
            if shards.is_empty() || size > room {
                shards.push(Vec::new());
                room = limit;
            }
            room = room.saturating_sub(size);
            shards.last_mut().expect("a shard was pushed when there was none").push(tensor);
        }
        Self { dtype, shards }
    }

    pub(crate) fn tensor_count(&self) -> usize {
        self.shards.iter().map(Vec::len).sum()
    }

    /// Bytes of all tensors.
    pub(crate) fn total_size(&self) -> u64 {
        self.shards.iter().flatten().map(|tensor| size(tensor, self.dtype)).sum()
    }

    /// Writes the shards and, if there are several, their index. `quiet` are rows of the embedding.
    pub(crate) fn write(&self, folder: &Path, noise: &Noise, quiet: &[usize]) -> Result<()> {
        let blocks = Blocks::new(self.shards.iter().flatten(), noise);
        let writer = Writer { dtype: self.dtype, blocks: &blocks, quiet };
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(shard) = self.shards.get(index) else { return Ok(()) };
                let path = folder.join(self.file_name(index));
                writer
                    .write(&path, shard)
                    .with_context(|| format!("could not write {}", path.display()))?;
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS.min(self.shards.len())).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        if self.shards.len() > 1 {
            std::fs::write(
                folder.join("model.safetensors.index.json"),
                format!("{:#}\n", self.index()),
            )?;
        }
        Ok(())
    }

    fn file_name(&self, index: usize) -> String {
        match self.shards.len() {
            1 => "model.safetensors".to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
        }
    }

    fn index(&self) -> Value {
        let files = self.shards.iter().enumerate().flat_map(|(index, shard)| {
            shard.iter().map(move |tensor| (tensor.name.clone(), json!(self.file_name(index))))
        });
        json!({ "metadata": { "total_size": self.total_size() }, "weight_map": files.collect::<Map<_, _>>() })
    }
}

fn size(tensor: &Tensor, dtype: Dtype) -> u64 {
    tensor.elements() * dtype.size() as u64
}

/// One block for each distribution, shared by the threads.
struct Blocks(Vec<(Normal, Block)>);

impl Blocks {
    fn new<'a>(tensors: impl Iterator<Item = &'a Tensor>, noise: &Noise) -> Self {
        let mut blocks = Self(Vec::new());
        for tensor in tensors {
            blocks.add(tensor.normal, noise);
            if tensor.name == EMBEDDING {
                blocks.add(quieter(tensor.normal), noise);
            }
        }
        blocks
    }

    fn add(&mut self, normal: Normal, noise: &Noise) {
        if self.0.iter().all(|(known, _)| *known != normal) {
            self.0.push((normal, noise.block(normal)));
        }
    }

    fn get(&self, normal: Normal) -> &Block {
        let found = self.0.iter().find(|(known, _)| *known == normal);
        &found.expect("a block was made for every tensor of the plan").1
    }
}

/// The noise of rows that the model shall never say.
pub(super) fn quieter(normal: Normal) -> Normal {
    Normal { deviation: QUIET * normal.deviation, ..normal }
}

struct Writer<'a> {
    dtype: Dtype,
    blocks: &'a Blocks,
    quiet: &'a [usize],
}

impl Writer<'_> {
    fn write(&self, path: &Path, tensors: &[Tensor]) -> Result<()> {
        let mut file = File::create(path)?;
        file.write_all(&header(tensors, self.dtype))?;
        for tensor in tensors {
            let start = file.stream_position()?;
            for slice in
                self.blocks.get(tensor.normal).window(&tensor.name, size(tensor, self.dtype))
            {
                file.write_all(slice)?;
            }
            if tensor.name == EMBEDDING {
                self.hush(&mut file, tensor, start)?;
            }
        }
        Ok(())
    }

    /// Writes the quiet rows of a matrix that starts at `start` over with smaller noise.
    fn hush(&self, file: &mut File, tensor: &Tensor, start: u64) -> Result<()> {
        let row_size = (tensor.shape[1] * self.dtype.size()) as u64;
        let block = self.blocks.get(quieter(tensor.normal));
        for row in self.quiet {
            file.seek(SeekFrom::Start(start + *row as u64 * row_size))?;
            for slice in block.window(&format!("row {row}"), row_size) {
                file.write_all(slice)?;
            }
        }
        file.seek(SeekFrom::Start(start + size(tensor, self.dtype)))?;
        Ok(())
    }
}

/// Length and JSON header, padded so that the data is aligned to eight bytes.
fn header(tensors: &[Tensor], dtype: Dtype) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut start = 0;
    for tensor in tensors {
        let end = start + size(tensor, dtype);
        let entry = json!({ "dtype": dtype.safetensors_name(), "shape": tensor.shape, "data_offsets": [start, end] });
        entries.insert(tensor.name.clone(), entry);
        start = end;
    }
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    bytes
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;
    use crate::synthesize::Size;
    use crate::synthesize::model::Model;

    fn values(bytes: &[u8]) -> Vec<f32> {
        bytes
            .chunks_exact(2)
            .map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16))
            .collect()
    }

    #[test]
    fn four_b_goes_into_two_shards() {
        let plan = Plan::new(Model::new(Size::FourB).tensors(), Dtype::Bfloat16);
        assert_eq!((plan.shards.len(), plan.tensor_count()), (2, 883));
        let index = plan.index();
        assert_eq!(index["weight_map"].as_object().unwrap().len(), 883);
        assert_eq!(index["weight_map"][EMBEDDING], "model-00001-of-00002.safetensors");
        let last = "multi_modal_projector.mm_soft_emb_norm.weight";
        assert_eq!(index["weight_map"][last], "model-00002-of-00002.safetensors");
    }

    #[test]
    fn shards_hold_every_tensor_once() {
        let folder = tempfile::tempdir().unwrap();
        let tensors = Model::new(Size::Tiny).tensors();
        let plan = Plan::with_limit(tensors.clone(), Dtype::Bfloat16, 200_000);
        plan.write(folder.path(), &Noise::new(1, Dtype::Bfloat16, true), &[3]).unwrap();
        assert!(plan.shards.len() > 2);
        let files: Vec<_> = (0..plan.shards.len())
            .map(|i| std::fs::read(folder.path().join(plan.file_name(i))).unwrap())
            .collect();
        let parsed: Vec<_> =
            files.iter().map(|bytes| SafeTensors::deserialize(bytes).unwrap()).collect();
        for tensor in &tensors {
            let found: Vec<_> =
                parsed.iter().filter_map(|file| file.tensor(&tensor.name).ok()).collect();
            assert_eq!(found.len(), 1, "{}", tensor.name);
            assert_eq!(found[0].shape(), tensor.shape);
            assert!(values(found[0].data()).iter().all(|x| x.is_finite() && x.abs() < 6.0));
        }
    }

    #[test]
    fn quiet_rows_are_smaller_than_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan::new(Model::new(Size::Tiny).tensors(), Dtype::Bfloat16);
        plan.write(folder.path(), &Noise::new(1, Dtype::Bfloat16, true), &[0, 5]).unwrap();
        let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let embedding = values(file.tensor(EMBEDDING).unwrap().data());
        let norm = |row: usize| {
            embedding[64 * row..64 * (row + 1)].iter().map(|x| x * x).sum::<f32>().sqrt()
        };
        // Norms of 64 normal numbers of deviation 1/8 are 1 to within a tenth; five deviations of that are kept.
        assert!((norm(5) - 0.25).abs() < 0.13 && (norm(0) - 0.25).abs() < 0.13);
        assert!((norm(4) - 1.0).abs() < 0.5 && (norm(6) - 1.0).abs() < 0.5);
    }
}
