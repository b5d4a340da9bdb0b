//! `--gguf`: the same random models as GGUF files, named, described and stored as llama.cpp's converter and its quantisation `Q4_K_M` do it:
//! a language model, and a vision tower of float16 numbers in a second file.

mod blocks;
mod file;

use std::path::Path;

use anyhow::{Context, Result};
use checkpoint_files::companions::CHAT_TEMPLATE;
use checkpoint_files::gguf_names::stored;

use super::Size;
use super::model::{EMBEDDING, Model, Tensor};
use super::noise::{Noise, Normal};
use super::vocabulary::Vocabulary;
use blocks::{Blocks, Stored};
use file::{Entry, Field, Fields, Plan};

/// The names of the files.
const MODEL: &str = "model-Q4_K_M.gguf";
const TOWER: &str = "mmproj-F16.gguf";
/// What llama.cpp calls a file that is mostly `Q4_K_M`, and mostly float16.
const MOSTLY_Q4_K_M: u32 = 15;
const MOSTLY_F16: u32 = 1;

/// Both files.
pub(crate) struct Files<'a> {
    model: Plan,
    tower: Plan,
    vocabulary: &'a Vocabulary,
}

impl<'a> Files<'a> {
    pub(crate) fn new(model: &Model, vocabulary: &'a Vocabulary) -> Self {
        let (tower, language): (Vec<Tensor>, Vec<Tensor>) = model
            .tensors()
            .into_iter()
            .partition(|tensor| !tensor.name.starts_with("language_model."));
        let rows = vocabulary.sentence_pieces().count();
        let entry = |tensor: Tensor| entry(tensor, model.text.layers, rows);
        Self {
            model: Plan::new(
                model_fields(model, vocabulary),
                language.into_iter().map(entry).collect(),
            ),
            tower: Plan::new(tower_fields(model), tower.into_iter().map(entry).collect()),
            vocabulary,
        }
    }

    pub(crate) fn tensor_count(&self) -> usize {
        self.model.entries().len() + self.tower.entries().len()
    }

    /// Bytes of both.
    pub(crate) fn total_size(&self) -> u64 {
        self.model.size() + self.tower.size()
    }

    pub(crate) fn write(&self, folder: &Path, noise: &Noise) -> Result<()> {
        for (name, plan) in [(MODEL, &self.model), (TOWER, &self.tower)] {
            let blocks = Blocks::new(noise);
            let rows = plan
                .entries()
                .iter()
                .find(|entry| entry.is_embedding)
                .map_or(0, |entry| entry.shape[0]);
            let quiet = self.vocabulary.quiet_rows(rows);
            plan.write(&folder.join(name), blocks, &quiet)
                .with_context(|| format!("could not write {name}"))?;
        }
        Ok(())
    }
}

/// A tensor under its name in GGUF files, in the type that `Q4_K_M` gives it. Files hold 1 + w of Gemma's norms.
fn entry(tensor: Tensor, layers: usize, rows: usize) -> Entry {
    let is_embedding = tensor.name == EMBEDDING;
    let (name, layer) = stored(&tensor.name).expect("every tensor has a name in GGUF files");
    let is_gemmas_norm = tensor.shape.len() == 1 && !name.starts_with("v.");
    let Normal { mean, deviation } = tensor.normal;
    let mean = if is_gemmas_norm { 1.0 + mean } else { mean };
    let mut shape = tensor.shape;
    if is_embedding {
        shape[0] = rows;
    }
    let width = shape[shape.len() - 1];
    let stored = match name.as_str() {
        _ if shape.len() == 1 || name.contains("_embd.") && name.starts_with("v.") => Stored::F32,
        _ if name.starts_with("v.") || name.starts_with("mm.") => Stored::F16,
        _ => quantised(&name, layer, layers).for_width(width),
    };
    Entry { name, shape, stored, normal: Normal { mean, deviation }, is_embedding }
}

/// `Q4_K`, and `Q6_K` for the embedding and for half of the matrices whose errors count most.
fn quantised(name: &str, layer: usize, layers: usize) -> Stored {
    let (first, last) = (layers / 8, 7 * layers / 8);
    let wants_more = layer < first || last <= layer || (layer - first) % 3 == 2;
    let is_sensitive = name.contains("attn_v") || name.contains("ffn_down");
    if name.starts_with("token_embd") || is_sensitive && wants_more {
        Stored::Q6K
    } else {
        Stored::Q4K
    }
}

fn model_fields(model: &Model, vocabulary: &Vocabulary) -> Fields {
    let text = &model.text;
    let mut fields = Fields::of("gemma3", MOSTLY_Q4_K_M);
    for (name, size) in [
        ("context_length", context(model.size)),
        ("embedding_length", text.hidden),
        ("block_count", text.layers),
        ("feed_forward_length", text.feed_forward),
        ("attention.head_count", text.heads),
        ("attention.head_count_kv", text.key_heads),
        ("attention.key_length", text.head_width),
        ("attention.value_length", text.head_width),
        ("attention.sliding_window", text.window),
    ] {
        fields.size(&format!("gemma3.{name}"), size);
    }
    fields.add("gemma3.attention.layer_norm_rms_epsilon", Field::Float(1e-6));
    fields.add("gemma3.rope.freq_base", Field::Float(1e6));
    // The published 1b has positions without scaling.
    if model.size != Size::OneB {
        fields.add("gemma3.rope.scaling.type", Field::Text("linear".to_owned()));
        fields.add("gemma3.rope.scaling.factor", Field::Float(8.0));
    }
    let pieces = || vocabulary.sentence_pieces();
    fields.add("tokenizer.ggml.model", Field::Text("llama".to_owned()));
    fields.add(
        "tokenizer.ggml.tokens",
        Field::Texts(pieces().map(|piece| piece.text.to_owned()).collect()),
    );
    fields.add("tokenizer.ggml.scores", Field::Floats(pieces().map(|piece| piece.score).collect()));
    fields.add(
        "tokenizer.ggml.token_type",
        Field::Integers(pieces().map(|piece| piece.kind).collect()),
    );
    for (name, id) in [
        ("padding", 0),
        ("eos", 1),
        ("bos", 2),
        ("unknown", 3),
        ("eot", vocabulary.ids.end_of_turn),
    ] {
        fields.size(&format!("tokenizer.ggml.{name}_token_id"), id);
    }
    fields.add("tokenizer.ggml.add_bos_token", Field::Flag(true));
    fields.add("tokenizer.ggml.add_space_prefix", Field::Flag(false));
    fields.add("tokenizer.chat_template", Field::Text(CHAT_TEMPLATE.to_owned()));
    fields
}

/// The most tokens of prompt and answer together.
fn context(size: Size) -> usize {
    match size {
        Size::Tiny => 8192,
        Size::OneB => 32_768,
        Size::Mid | Size::FourB => 131_072,
    }
}

fn tower_fields(model: &Model) -> Fields {
    let vision = &model.vision;
    let mut fields = Fields::of("clip", MOSTLY_F16);
    fields.add("clip.has_vision_encoder", Field::Flag(true));
    fields.add("clip.projector_type", Field::Text("gemma3".to_owned()));
    for (name, size) in [
        ("image_size", vision.image),
        ("patch_size", vision.patch),
        ("embedding_length", vision.hidden),
        ("feed_forward_length", vision.inner),
        ("block_count", vision.layers),
        ("attention.head_count", vision.heads),
        ("projection_dim", model.text.hidden),
        (
            "projector.scale_factor",
            vision.image / vision.patch / super::companions::IMAGE_TOKENS.isqrt(),
        ),
    ] {
        fields.size(&format!("clip.vision.{name}"), size);
    }
    fields.add("clip.vision.attention.layer_norm_epsilon", Field::Float(1e-6));
    for name in ["image_mean", "image_std"] {
        fields.add(&format!("clip.vision.{name}"), Field::Floats(vec![0.5; 3]));
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::File;

    use quantised_weights::{BlockType, Gguf};

    use super::*;
    use crate::synthesize::Options;

    fn read(folder: &Path, name: &str) -> Gguf {
        let path = folder.join(name);
        Gguf::read(&path, File::open(&path).unwrap()).unwrap()
    }

    fn types(plan: &Plan) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for entry in plan.entries() {
            *counts.entry(entry.stored.name()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn tiny_files_are_read_and_numbers_are_as_large_as_they_should_be() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("tiny");
        crate::synthesize::run(&Options { gguf: true, ..Options::usual(Size::Tiny, out.clone()) })
            .unwrap();
        let (model, tower) = (read(&out, MODEL), read(&out, TOWER));
        assert_eq!((model.tensors().len(), tower.tensors().len()), (7 * 13 + 2, 2 * 16 + 5 + 2));
        assert_eq!(model.texts("tokenizer.ggml.tokens").unwrap().len(), 768);
        let bytes = std::fs::read(out.join(MODEL)).unwrap();
        for (name, deviation, mean) in [
            ("token_embd.weight", 0.125 * 0.5, 0.0), // most rows are quiet
            ("blk.3.ffn_gate.weight", 0.125, 0.0),
            ("blk.3.ffn_down.weight", 128_f64.powf(-0.5), 0.0),
            ("blk.3.attn_q_norm.weight", 0.05, 1.8),
        ] {
            let info = &model.tensors()[name];
            let mut numbers = vec![0.0; info.shape.iter().product()];
            info.blocks
                .dequantise(&bytes[info.start as usize..][..info.bytes as usize], &mut numbers);
            let count = numbers.len() as f64;
            let found_mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
            let square = numbers.iter().map(|&x| (f64::from(x) - found_mean).powi(2)).sum::<f64>();
            let found = (square / count).sqrt();
            // 16 numbers of a norm say little of their deviation.
            let most = if count < 100.0 { 0.5 } else { 0.3 };
            assert!((found / deviation - 1.0).abs() < most, "{name}: {found}");
            assert!((found_mean - mean).abs() < 0.06, "{name}: {found_mean}");
        }
        // Rows of 64 are no whole blocks of 256.
        assert_eq!(model.tensors()["token_embd.weight"].blocks, BlockType::Q8_0);
        assert_eq!(model.tensors()["blk.2.ffn_gate.weight"].blocks, BlockType::Q5_0);
        assert_eq!(tower.tensors()["v.blk.1.ffn_up.weight"].blocks, BlockType::F16);
        assert_eq!(tower.tensors()["v.position_embd.weight"].blocks, BlockType::F32);
    }

    #[test]
    fn four_b_is_stored_as_files_of_q4_k_m_are() {
        let vocabulary = Vocabulary::full();
        let files = Files::new(&Model::new(Size::FourB), &vocabulary);
        let embedding = files.model.entries().iter().find(|entry| entry.is_embedding).unwrap();
        assert_eq!(
            (embedding.shape.as_slice(), embedding.stored),
            (&[262_144, 2560][..], Stored::Q6K)
        );
        // 34 layers: 4 first, 5 last, every third of the 25 between them; two matrices of each.
        let expected = BTreeMap::from([("F32", 205), ("Q4_K", 7 * 34 - 34), ("Q6_K", 1 + 34)]);
        assert_eq!(types(&files.model), expected);
        assert!((2.4e9..2.6e9).contains(&(files.model.size() as f64)), "{}", files.model.size());
        assert!((0.8e9..0.9e9).contains(&(files.tower.size() as f64)), "{}", files.tower.size());
    }

    #[test]
    fn one_b_falls_back_where_its_rows_are_no_whole_blocks() {
        let vocabulary = Vocabulary::full();
        let files = Files::new(&Model::new(Size::OneB), &vocabulary);
        let stored = |name: &str| {
            files.model.entries().iter().find(|entry| entry.name == name).unwrap().stored
        };
        assert_eq!(stored("token_embd.weight"), Stored::Q8_0);
        assert_eq!(stored("blk.4.attn_q.weight"), Stored::Q5_0);
        assert_eq!(stored("blk.0.ffn_down.weight"), Stored::Q6K);
        assert_eq!(stored("blk.3.ffn_down.weight"), Stored::Q4K);
        assert_eq!(stored("blk.0.attn_output.weight"), Stored::Q4K);
    }
}
