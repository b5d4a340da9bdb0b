//! What was trained, as files that every program of the kind can read: the vision tower as a GGUF file, the adapter as PEFT writes it.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor as Candle};
use checkpoint_files::companions::CHAT_TEMPLATE;
use checkpoint_files::gguf_names;
use gemma3_tch::{Checkpoint, CheckpointPlace, Config, Placement, Weights};
use safetensors::tensor::Dtype;
use serde_json::json;
use tch::{Kind, Tensor};

use super::decoder::{ADAPTER, MODULES};
use super::run::Recipe;
use crate::checkpoint;
use crate::parameters::Parameters;

/// The vision tower and the projector.
pub const TOWER: &str = "mmproj.gguf";
/// The chat template, which the base model does not have.
pub const TEMPLATE: &str = "chat_template.jinja";

/// The file of the adapter, as PEFT names it.
const CONFIG: &str = "adapter_config.json";
/// Its tensors.
const WEIGHTS: &str = "adapter_model.safetensors";

/// What the adapter's change is multiplied by, as its file says: α over the rank.
///
/// # Errors
/// A folder without an adapter of ours.
pub fn scale(folder: &Path) -> Result<f64> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let config: serde_json::Value = serde_json::from_str(&text)?;
    let [alpha, rank] = ["lora_alpha", "r"].map(|field| config[field].as_f64());
    alpha.zip(rank).map(|(alpha, rank)| alpha / rank).context("an adapter has a scale")
}

/// Writes the files of a trained hybrid: each is there as a whole or not at all.
///
/// # Errors
/// Files that cannot be written.
pub fn write(
    folder: &Path,
    config: &Config,
    parameters: &Parameters,
    recipe: &Recipe,
) -> Result<()> {
    tower(&folder.join(TOWER), config, parameters)?;
    let pairs = parameters.iter().filter_map(|(name, tensor)| {
        let (module, which) = name.strip_prefix(ADAPTER)?.rsplit_once('.')?;
        let module = module.strip_prefix("language_model.")?;
        let part = if which == "down" { "lora_A" } else { "lora_B" };
        Some((format!("base_model.model.model.{module}.{part}.weight"), tensor.shallow_clone()))
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let pairs: Vec<(String, Tensor)> = pairs.collect();
    checkpoint::write(&folder.join(WEIGHTS), &pairs, Dtype::F16, Some(metadata))?;
    let modules = MODULES.map(|part| part.rsplit('.').next().unwrap_or(part));
    let adapter = json!({
        "base_model_name_or_path": "google/gemma-3-270m",
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "lora_alpha": recipe.scale * recipe.rank as f64,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": recipe.rank,
        "target_modules": modules,
        "task_type": "CAUSAL_LM",
    });
    put(&folder.join(CONFIG), format!("{adapter:#}\n").as_bytes())?;
    put(&folder.join(TEMPLATE), CHAT_TEMPLATE.as_bytes())
}

/// What [`write()`] wrote, in float32: the adapter is rounded to float16 there. With the configuration of the whole model.
///
/// `tower`: with the vision tower and projector in this GGUF file in the place of those in the folder.
///
/// # Errors
/// Files that are not those of a hybrid with this decoder.
pub fn read(decoder: &Path, folder: &Path, tower: Option<&Path>) -> Result<(Config, Parameters)> {
    let mmproj = tower.map_or_else(|| folder.join(TOWER), Path::to_owned);
    let config = Checkpoint::open_gguf(decoder, Some(&mmproj))?.inspection().config;
    let weights =
        Weights::at(&CheckpointPlace::Gguf { model: decoder.to_owned(), mmproj: Some(mmproj) })?;
    let root = weights.root(Placement { device: tch::Device::Cpu, kind: Some(Kind::Float) });
    let mut parameters = Parameters::new();
    for (name, shape) in config.tensors() {
        if name.starts_with("language_model.") {
            continue;
        }
        let gain = f64::from(u8::from(name.contains("mm_soft_emb_norm")));
        let tensor = root.tensor(&name, &shape)? - gain;
        parameters.insert(name, tensor);
    }
    for (name, tensor) in checkpoint::tensors(&folder.join(WEIGHTS))? {
        let part = name.strip_prefix("base_model.model.model.").and_then(|name| {
            let module = name.strip_suffix(".weight")?;
            let (module, which) = module.rsplit_once('.')?;
            Some((module, if which == "lora_A" { "down" } else { "up" }))
        });
        let (module, which) = part.with_context(|| format!("{name} is of no adapter of ours"))?;
        parameters.insert(format!("{ADAPTER}language_model.{module}.{which}"), tensor);
    }
    Ok((config, parameters))
}

fn tower(path: &Path, config: &Config, parameters: &Parameters) -> Result<()> {
    let vision = config.vision.as_ref().context("a hybrid sees pictures")?;
    let mut tensors = Vec::new();
    for (name, tensor) in parameters.iter().filter(|(name, _)| !name.starts_with(ADAPTER)) {
        let (stored, _) = gguf_names::stored(name)
            .with_context(|| format!("{name} has no name in GGUF files"))?;
        // Gemma's norm is stored as 1 + w.
        let gain = f64::from(u8::from(stored == "mm.soft_emb_norm.weight"));
        let values = Vec::<f32>::try_from((tensor.to_kind(Kind::Float) + gain).flatten(0, -1))?;
        let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
        let tensor = Candle::from_vec(values, shape, &Device::Cpu)?;
        tensors.push((stored, QTensor::quantize(&tensor, GgmlDType::F32)?));
    }
    let size = |size: usize| gguf_file::Value::U32(size as u32);
    let text = |text: &str| gguf_file::Value::String(text.to_owned());
    let half = || gguf_file::Value::Array(vec![gguf_file::Value::F32(0.5); 3]);
    let tokens = config.mm_tokens_per_image.isqrt();
    let fields = [
        ("general.architecture", text("clip")),
        ("clip.has_vision_encoder", gguf_file::Value::Bool(true)),
        ("clip.projector_type", text("gemma3")),
        ("clip.vision.image_size", size(vision.image_size)),
        ("clip.vision.patch_size", size(vision.patch_size)),
        ("clip.vision.embedding_length", size(vision.hidden_size)),
        ("clip.vision.feed_forward_length", size(vision.intermediate_size)),
        ("clip.vision.block_count", size(vision.num_hidden_layers)),
        ("clip.vision.attention.head_count", size(vision.num_attention_heads)),
        ("clip.vision.projection_dim", size(config.text.hidden_size)),
        (
            "clip.vision.projector.scale_factor",
            size(vision.image_size / vision.patch_size / tokens),
        ),
        (
            "clip.vision.attention.layer_norm_epsilon",
            gguf_file::Value::F32(vision.layer_norm_eps as f32),
        ),
        ("clip.vision.image_mean", half()),
        ("clip.vision.image_std", half()),
    ];
    let fields: Vec<(&str, &gguf_file::Value)> =
        fields.iter().map(|(name, value)| (*name, value)).collect();
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let partial = path.with_extension("partial");
    let mut file =
        File::create(&partial).with_context(|| format!("could not write {}", path.display()))?;
    gguf_file::write(&mut file, &fields, &tensors)?;
    std::fs::rename(&partial, path).with_context(|| format!("could not write {}", path.display()))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("could not write {}", path.display()))
}
