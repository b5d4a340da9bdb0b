//! A trained hybrid as one checkpoint of the ordinary kind, for studies that ask it a thousand times or change its weights: blocks of the
//! language model are expanded and the adapter is merged, once and not in every product.

use std::path::Path;

use anyhow::{Context as _, Result};
use checkpoint_files::companions::{Companions, Ids, Vision};
use gemma3_tch::{Config, LayerType, Rope};
use safetensors::Dtype;
use serde_json::{Value, json};
use tch::Kind;
use tempfile::TempDir;

use super::decoder::{Decoder, modules};
use super::{decoder, export};
use crate::checkpoint;
use crate::document::save;
use crate::parameters::Parameters;

/// Files of a hybrid.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The GGUF file of the language model.
    pub decoder: &'a Path,
    /// Its `tokenizer.json`.
    pub tokenizer: &'a Path,
    /// The folder with what was trained.
    pub trained: &'a Path,
    /// A GGUF file with another vision tower and projector than that folder has.
    pub tower: Option<&'a Path>,
}

/// The checkpoint, stored in `dtype`, in a folder that goes away with what is returned.
///
/// # Errors
/// Files that are not those of a hybrid, and what cannot be written.
pub fn write(files: Files<'_>, dtype: Dtype) -> Result<TempDir> {
    let (config, trained) = export::read(files.decoder, files.trained, files.tower)?;
    let scale = export::scale(files.trained)?;
    let vision = config.vision.as_ref().context("a hybrid sees pictures")?;
    let language = Decoder::open(files.decoder, vision, config.mm_tokens_per_image, Kind::Float)?;
    let folder = tempfile::tempdir()?;
    let tokenizer = std::fs::read_to_string(files.tokenizer)
        .with_context(|| format!("could not read {}", files.tokenizer.display()))?;
    companions(&config)?.write(folder.path(), &tokenizer)?;
    checkpoint::export_as(folder.path(), &merged(&language, trained, scale)?, dtype)?;
    Ok(folder)
}

/// The language model alone as a checkpoint of the ordinary kind, in float32: nothing is added and nothing rounded.
///
/// # Errors
/// Files that are not those of a language model, and what cannot be written.
pub fn language_alone(decoder: &Path, tokenizer: &Path) -> Result<TempDir> {
    let (config, tensors) = decoder::expanded(decoder, Kind::Float)?;
    let folder = tempfile::tempdir()?;
    std::fs::copy(tokenizer, folder.path().join("tokenizer.json"))
        .with_context(|| format!("could not copy {}", tokenizer.display()))?;
    let mut json = text(&config);
    json["architectures"] = json!(["Gemma3ForCausalLM"]);
    json["eos_token_id"] = json!(config.eos_token_ids);
    save(&folder.path().join("config.json"), &json.to_string())?;
    // Without a chat template prompts are continued as they are.
    let special = json!({ "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>" });
    save(&folder.path().join("tokenizer_config.json"), &special.to_string())?;
    let tensors: Vec<_> = tensors
        .into_iter()
        .map(|(name, tensor)| (name.replacen("language_model.", "model.", 1), tensor))
        .collect();
    checkpoint::write(&folder.path().join("model.safetensors"), &tensors, Dtype::F32, None)?;
    Ok(folder)
}

fn merged(language: &Decoder, trained: Parameters, scale: f64) -> Result<Parameters> {
    let _no_grad = tch::no_grad_guard();
    let mut all = trained;
    for (name, tensor) in language.frozen() {
        all.insert(name.clone(), tensor.shallow_clone());
    }
    for (module, _) in modules(&language.config) {
        let mut part = |which: &str| {
            let name = format!("{}{module}.{which}", decoder::ADAPTER);
            all.remove(&name).with_context(|| format!("{name} is missing"))
        };
        let (down, up) = (part("down")?, part("up")?);
        let weight = format!("{module}.weight");
        let weight = all.get_mut(&weight).with_context(|| format!("{weight} is missing"))?;
        *weight = &*weight + up.matmul(&down) * scale;
    }
    Ok(all)
}

fn companions(config: &Config) -> Result<Companions<'static>> {
    let vision = config.vision.as_ref().context("a hybrid sees pictures")?;
    let id = |id: u32| id as usize;
    let end_of_turn = config.eos_token_ids.iter().find(|token| **token != 1);
    Ok(Companions {
        ids: Ids {
            end_of_turn: id(*end_of_turn.context("the decoder has no end of a turn")?),
            start_of_image: id(config.boi_token_id),
            end_of_image: id(config.eoi_token_id),
            image: id(config.image_token_id),
        },
        image_tokens: config.mm_tokens_per_image,
        text: text(config),
        vision: Vision {
            image: vision.image_size,
            patch: vision.patch_size,
            hidden: vision.hidden_size,
            layers: vision.num_hidden_layers,
            heads: vision.num_attention_heads,
            inner: vision.intermediate_size,
        },
        dtype: "bfloat16",
        sampling: json!({ "do_sample": false }),
    })
}

/// The part of `config.json` that tells of the language model.
fn text(config: &Config) -> Value {
    let text = &config.text;
    let kind = |layer: &LayerType| match layer {
        LayerType::Sliding => "sliding_attention",
        LayerType::Full => "full_attention",
    };
    let scaling = |Rope { factor, .. }: Rope| match factor {
        1.0 => Value::Null,
        factor => json!({ "rope_type": "linear", "factor": factor }),
    };
    json!({
        "head_dim": text.head_dim,
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "layer_types": text.layers.iter().map(kind).collect::<Vec<_>>(),
        "max_position_embeddings": text.max_position_embeddings,
        "model_type": "gemma3_text",
        "num_attention_heads": text.num_attention_heads,
        "num_hidden_layers": text.num_hidden_layers,
        "num_key_value_heads": text.num_key_value_heads,
        "query_pre_attn_scalar": text.query_pre_attn_scalar,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_local_base_freq": text.rope_sliding.theta,
        "rope_scaling": scaling(text.rope_full),
        "rope_theta": text.rope_full.theta,
        "sliding_window": text.sliding_window,
        "tie_word_embeddings": text.tie_word_embeddings,
        "vocab_size": text.vocab_size,
    })
}
