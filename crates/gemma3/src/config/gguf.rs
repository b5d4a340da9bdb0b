//! The configuration out of the metadata of GGUF files. What such files leave out are conventions of the architecture, in llama.cpp as here:
//! every sixth layer is full, sliding layers turn by the base 10 000, scores are scaled by the width of a head (with 62 layers, as in the
//! model of 27 billion parameters, by the width of the residual stream over the number of heads).

use quantised_weights::{BlockType, Gguf, Value};
use tch::Kind;

use super::{Config, LayerType, Rope, TextConfig, VisionConfig};
use crate::Error;
use crate::shown::quoted;

/// Layers of the one published size whose scores are scaled in another way.
const LAYERS_OF_27B: usize = 62;

/// What a file is, by its field `general.architecture`.
pub(crate) const ARCHITECTURE: &str = "general.architecture";
/// What that field says of a vision tower.
const TOWER: &str = "clip";

impl Config {
    /// Of a language model, and of the vision tower in a second file.
    pub(crate) fn from_gguf(model: &Gguf, mmproj: Option<&Gguf>) -> Result<Self, Error> {
        let found = model.text(ARCHITECTURE)?;
        if found != "gemma3" {
            let reason = if found == TOWER {
                format!(
                    "is {TOWER:?}: this file is a vision tower, which goes beside a language model; name that model's file as the model, and this one as its vision tower"
                )
            } else {
                format!(
                    "is {}, another architecture; only that of Gemma 3 is supported, \"gemma3\": name a GGUF file of Gemma 3 or MedGemma",
                    quoted(found)
                )
            };
            return Err(model.wrong(ARCHITECTURE, reason).into());
        }
        let text = text(model)?;
        let token = |name: &str| {
            let tokens = model.texts("tokenizer.ggml.tokens");
            tokens.ok().and_then(|all| all.iter().position(|token| token == name))
        };
        let id = |name, default: u32| token(name).map_or(default, |id| id as u32);
        let eos = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];
        let eos = eos.map(|key| optional_id(model, key));
        let mut eos_token_ids: Vec<u32> = Vec::new();
        for found in eos {
            eos_token_ids.extend(found?.filter(|id| !eos_token_ids.contains(id)));
        }
        // Not every converter names the end of a turn; it ends an answer of every instructed Gemma.
        let turn = token("<end_of_turn>").map(|id| id as u32);
        eos_token_ids.extend(turn.filter(|id| !eos_token_ids.contains(id)));
        let vision = mmproj.map(vision).transpose()?;
        let tokens = match (&vision, mmproj) {
            (Some(vision), Some(file)) => {
                let merged = file.optional_size("clip.vision.projector.scale_factor", 64)?;
                (vision.patches_per_side() / merged.unwrap_or(4)).pow(2)
            }
            _ => 256,
        };
        let config = Self {
            text,
            vision,
            image_token_id: id("<image_soft_token>", 262_144),
            boi_token_id: id("<start_of_image>", 255_999),
            eoi_token_id: id("<end_of_image>", 256_000),
            mm_tokens_per_image: tokens.max(1),
            eos_token_ids: if eos_token_ids.is_empty() { vec![1] } else { eos_token_ids },
            dtype: Some(main_type(model)),
        };
        config.check_image_tokens()?;
        Ok(config)
    }
}

/// bfloat16 where most weights are quantised or of 16 bits: what the models were trained in.
fn main_type(model: &Gguf) -> Kind {
    let bytes = |wide: bool| -> u64 {
        let is = |blocks| matches!(blocks, BlockType::F32) == wide;
        model.tensors().values().filter(|info| is(info.blocks)).map(|info| info.bytes).sum()
    };
    if bytes(true) > bytes(false) { Kind::Float } else { Kind::BFloat16 }
}

fn optional_id(model: &Gguf, key: &str) -> Result<Option<u32>, Error> {
    match model.metadata().get(key) {
        None => Ok(None),
        Some(&Value::Unsigned(id)) if u32::try_from(id).is_ok() => Ok(Some(id as u32)),
        Some(_) => Err(model.wrong(key, "is not a token id").into()),
    }
}

fn text(model: &Gguf) -> Result<TextConfig, Error> {
    let key = |name: &str| format!("gemma3.{name}");
    let size = |name: &str, most| model.size(&key(name), most);
    let embedding = model.tensors().get("token_embd.weight");
    let vocab_size = embedding.and_then(|info| info.shape.first().copied());
    let vocab_size = vocab_size.ok_or_else(|| Error::MissingTensor {
        name: "token_embd.weight".to_owned(),
        nearest: None,
    })?;
    let (layers, hidden) = (size("block_count", 1 << 10)?, size("embedding_length", 1 << 16)?);
    let heads = size("attention.head_count", 1 << 10)?;
    let head_dim = model.optional_size(&key("attention.key_length"), 1 << 14)?.unwrap_or(256);
    let values = model.optional_size(&key("attention.value_length"), 1 << 14)?;
    if let Some(values) = values.filter(|&values| values != head_dim) {
        let reason =
            format!("is {values}, but keys have {head_dim}; heads of one width are supported");
        return Err(model.wrong(&key("attention.value_length"), reason).into());
    }
    let scalar =
        if layers == LAYERS_OF_27B { hidden as f64 / heads as f64 } else { head_dim as f64 };
    let positive = |name: &str| model.optional_positive(&key(name));
    let config = TextConfig {
        vocab_size,
        hidden_size: hidden,
        intermediate_size: size("feed_forward_length", 1 << 20)?,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: size("attention.head_count_kv", 1 << 10)?,
        head_dim,
        rms_norm_eps: positive("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6),
        query_pre_attn_scalar: scalar,
        max_position_embeddings: size("context_length", 1 << 28)?,
        sliding_window: size("attention.sliding_window", 1 << 28)?,
        layers: kinds(model, layers)?,
        rope_full: Rope {
            theta: positive("rope.freq_base")?.unwrap_or(1e6),
            factor: factor(model)?,
        },
        rope_sliding: Rope { theta: positive("rope.freq_base_swa")?.unwrap_or(1e4), factor: 1.0 },
        tie_word_embeddings: !model.tensors().contains_key("output.weight"),
    };
    config
        .check()
        .map_err(|(field, reason)| model.wrong(&key(field), reason).into())
        .map(|()| config)
}

/// Every sixth layer is full, unless the file has a pattern: how many layers repeat it, or one flag a layer for a sliding one.
fn kinds(model: &Gguf, layers: usize) -> Result<Vec<LayerType>, Error> {
    let key = "gemma3.attention.sliding_window_pattern";
    let kind = |is_full| if is_full { LayerType::Full } else { LayerType::Sliding };
    match model.metadata().get(key) {
        Some(Value::Integers(slides)) if slides.len() == layers => {
            Ok(slides.iter().map(|&slides| kind(slides == 0)).collect())
        }
        Some(Value::Integers(slides)) => {
            let reason = format!("has {} entries for {layers} layers", slides.len());
            Err(model.wrong(key, reason).into())
        }
        _ => {
            let every = model.optional_size(key, 1 << 10)?.unwrap_or(6);
            Ok((0..layers).map(|layer| kind((layer + 1).is_multiple_of(every))).collect())
        }
    }
}

/// What the frequencies of full layers are divided by.
fn factor(model: &Gguf) -> Result<f64, Error> {
    let key = "gemma3.rope.scaling.type";
    match model.optional_text(key)? {
        None | Some("none") => Ok(1.0),
        Some("linear") => {
            let factor = model.optional_positive("gemma3.rope.scaling.factor")?;
            factor.ok_or_else(|| model.wrong("gemma3.rope.scaling.factor", "is missing").into())
        }
        Some(found) => {
            let reason = format!("is {found:?}; linear scaling and none are supported");
            Err(model.wrong(key, reason).into())
        }
    }
}

fn vision(file: &Gguf) -> Result<VisionConfig, Error> {
    let found = file.text(ARCHITECTURE)?;
    if found != TOWER {
        let reason = format!(
            "is {}; a vision tower is {TOWER:?}: name the file that converters call mmproj",
            quoted(found)
        );
        return Err(file.wrong(ARCHITECTURE, reason).into());
    }
    let projector = ["clip.vision.projector_type", "clip.projector_type"]
        .into_iter()
        .find_map(|key| file.optional_text(key).transpose());
    match projector.transpose()? {
        Some("gemma3") => {}
        found => {
            let reason = format!(
                "is {}; only \"gemma3\" is supported",
                found.map_or("missing".to_owned(), |found| format!("{found:?}"))
            );
            return Err(file.wrong("clip.projector_type", reason).into());
        }
    }
    let size = |name: &str, most| file.size(&format!("clip.vision.{name}"), most);
    let config = VisionConfig {
        hidden_size: size("embedding_length", 1 << 16)?,
        intermediate_size: size("feed_forward_length", 1 << 18)?,
        num_hidden_layers: size("block_count", 1 << 10)?,
        num_attention_heads: size("attention.head_count", 1 << 10)?,
        num_channels: 3,
        image_size: size("image_size", 1 << 14)?,
        patch_size: size("patch_size", 1 << 14)?,
        layer_norm_eps: file
            .optional_positive("clip.vision.attention.layer_norm_epsilon")?
            .unwrap_or(1e-6),
    };
    let wrong = |field: &str, reason: String| file.wrong(&format!("clip.vision.{field}"), reason);
    if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
        let reason = format!("does not divide the width {}", config.hidden_size);
        return Err(wrong("attention.head_count", reason).into());
    }
    if !config.image_size.is_multiple_of(config.patch_size) {
        let reason = format!("does not divide the picture's side {}", config.image_size);
        return Err(wrong("patch_size", reason).into());
    }
    Ok(config)
}
