//! `cargo xtask synthesize`: a random checkpoint with the layout and the tensor names of a real one.
//!
//! The weights are noise, scaled so that activations keep their size through the layers; the model answers with words
//! that mean nothing. It serves to run, measure and test everything around a checkpoint without having one.

mod companions;
mod gguf;
mod model;
mod noise;
mod shards;
mod vocabulary;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use pico_args::Arguments;

use crate::disk;
use gguf::Files;
use model::Model;
use noise::{Dtype, Noise};
use shards::Plan;
use vocabulary::Vocabulary;

/// What the command line asks for.
pub(crate) struct Options {
    size: Size,
    out: PathBuf,
    seed: u64,
    dtype: Dtype,
    /// GGUF files in place of a folder of transformers.
    gguf: bool,
}

/// The sizes on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Below 2 MB: 7 layers, 64 wide, all the structure.
    Tiny,
    /// 12 layers, 640 wide, window 1024, with the vocabulary of tiny: long sequences on a small machine.
    Mid,
    /// The language model of Gemma 3 1B under the vision tower of 4B.
    OneB,
    /// Gemma 3 4B.
    FourB,
}

impl Options {
    /// The first seed and the dtype that goes with the size.
    pub(crate) fn usual(size: Size, out: PathBuf) -> Self {
        Self { size, out, seed: 0, dtype: size.usual_dtype(), gguf: false }
    }

    pub(crate) fn parse(args: &mut Arguments) -> Result<Self> {
        let size = args.value_from_fn("--size", Size::parse)?;
        let dtype = args.opt_value_from_fn("--dtype", Dtype::parse)?;
        let gguf = args.contains("--gguf");
        ensure!(
            !gguf || dtype.is_none(),
            "--gguf has the types of Q4_K_M, so --dtype does not go with it"
        );
        Ok(Self {
            gguf,
            size,
            out: args
                .value_from_os_str("--out", |text| Ok::<_, anyhow::Error>(PathBuf::from(text)))?,
            seed: args.opt_value_from_str("--seed")?.unwrap_or(0),
            dtype: dtype.unwrap_or(size.usual_dtype()),
        })
    }
}

impl Size {
    fn parse(text: &str) -> Result<Self> {
        match text {
            "tiny" => Ok(Self::Tiny),
            "mid" => Ok(Self::Mid),
            "1b" => Ok(Self::OneB),
            "4b" => Ok(Self::FourB),
            other => bail!("no size {other}; there are tiny, mid, 1b and 4b"),
        }
    }

    /// Real checkpoints are bfloat16; the tiny one is for exact comparisons.
    fn usual_dtype(self) -> Dtype {
        if self == Self::Tiny { Dtype::Float32 } else { Dtype::Bfloat16 }
    }

    fn vocabulary(self) -> Vocabulary {
        match self {
            Self::Tiny | Self::Mid => Vocabulary::tiny(),
            Self::OneB | Self::FourB => Vocabulary::full(),
        }
    }
}

/// Writes the checkpoint; the folder appears under its name when it is complete.
pub(crate) fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let parent = prepare(&options.out)?;
    let vocabulary = options.size.vocabulary();
    let model = Model::new(options.size);
    let noise = Noise::new(options.seed, options.dtype, options.size == Size::Tiny);
    let room = |size: u64| disk::require(&parent, size + size / 50 + 50_000_000);
    let (tensors, size) = if options.gguf {
        let files = Files::new(&model, &vocabulary);
        room(files.total_size())?;
        let partial = Partial::create(&options.out)?;
        files.write(&partial.path, &noise)?;
        partial.finish(&options.out)?;
        (files.tensor_count(), files.total_size())
    } else {
        let plan = Plan::new(model.tensors(), options.dtype);
        room(plan.total_size())?;
        let partial = Partial::create(&options.out)?;
        plan.write(&partial.path, &noise, &vocabulary.quiet_rows(model.rows()))?;
        companions::write(&partial.path, &model, &vocabulary, options.dtype)?;
        partial.finish(&options.out)?;
        (plan.tensor_count(), plan.total_size())
    };
    let (seconds, size) = (start.elapsed().as_secs_f64(), disk::megabytes(size));
    println!("{}: {tensors} tensors, {size}, {seconds:.1} s", options.out.display());
    Ok(())
}

/// The folder that `out` will lie in. An `out` with something in it is refused.
fn prepare(out: &Path) -> Result<PathBuf> {
    if out.exists() {
        let mut entries =
            std::fs::read_dir(out).with_context(|| format!("{} is no folder", out.display()))?;
        ensure!(
            entries.next().is_none(),
            "{} is not empty; name another folder or remove it",
            out.display()
        );
    }
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    std::fs::create_dir_all(&parent)
        .with_context(|| format!("could not create {}", parent.display()))?;
    Ok(parent)
}

/// The folder under a temporary name; removed unless it is finished.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn create(out: &Path) -> Result<Self> {
        let name = out.file_name().with_context(|| format!("{} names no folder", out.display()))?;
        let path = out.with_file_name(format!(
            "{}.partial-{}",
            name.to_string_lossy(),
            std::process::id()
        ));
        std::fs::create_dir(&path)
            .with_context(|| format!("could not create {}", path.display()))?;
        Ok(Self { path })
    }

    fn finish(self, out: &Path) -> Result<()> {
        if out.exists() {
            std::fs::remove_dir(out)?; // empty, or this fails
        }
        std::fs::rename(&self.path, out)
            .with_context(|| format!("could not create {}", out.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path); // gone after `finish`
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
    use serde_json::Value;
    use tokenizers::Tokenizer;

    use super::*;

    fn tiny(folder: &Path, seed: u64) -> PathBuf {
        let out = folder.join(format!("tiny-{seed}"));
        run(&Options { seed, ..Options::usual(Size::Tiny, out.clone()) }).unwrap();
        out
    }

    fn json(path: &Path) -> Value {
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn tiny_is_a_whole_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let out = tiny(folder.path(), 1);
        let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
        assert!(bytes.len() < 2_000_000);
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let config = json(&out.join("config.json"));
        let embedding = tensors.tensor("language_model.model.embed_tokens.weight").unwrap();
        let rows = config["text_config"]["vocab_size"].as_u64().unwrap() as usize;
        assert_eq!(embedding.shape(), [rows, 64]);
        assert_eq!(tensors.len(), 7 * 13 + 2 + 2 * 16 + 5 + 2);
        let tokenizer = Tokenizer::from_file(out.join("tokenizer.json")).unwrap();
        assert_eq!(tokenizer.get_vocab_size(true), rows);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary folder is left"
        );
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let folder = tempfile::tempdir().unwrap();
        let read = |out: PathBuf| std::fs::read(out.join("model.safetensors")).unwrap();
        let (first, second) = (read(tiny(folder.path(), 1)), read(tiny(folder.path(), 2)));
        std::fs::remove_dir_all(folder.path().join("tiny-1")).unwrap();
        assert_eq!(first, read(tiny(folder.path(), 1)));
        assert_ne!(first, second);
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("precious"), "").unwrap();
        let options = Options::usual(Size::Tiny, out.clone());
        assert!(run(&options).unwrap_err().to_string().contains("not empty"));
        std::fs::remove_file(out.join("precious")).unwrap();
        run(&options).unwrap();
        assert!(out.join("config.json").is_file());
    }

    #[test]
    fn the_command_line_is_read_and_checked() {
        let parse = |words: &[&str]| {
            let words = words.iter().map(Into::into).collect();
            Options::parse(&mut Arguments::from_vec(words))
        };
        let options = parse(&["--size", "4b", "--out", "x", "--seed", "7"]).unwrap();
        assert_eq!((options.size, options.seed, options.dtype), (Size::FourB, 7, Dtype::Bfloat16));
        assert!(parse(&["--size", "5b", "--out", "x"]).is_err());
        assert!(parse(&["--size", "tiny"]).is_err());
        assert!(parse(&["--size", "tiny", "--out", "x", "--dtype", "int8"]).is_err());
        assert!(parse(&["--size", "tiny", "--out", "x", "--gguf"]).unwrap().gguf);
        assert!(parse(&["--size", "tiny", "--out", "x", "--gguf", "--dtype", "float32"]).is_err());
    }
}
