//! The files beside the weights, as a published checkpoint has them.

use std::path::Path;

use anyhow::{Context, Result};
use gemma3_tch::Config;
use serde_json::{Map, Value, json};

use crate::recipe::Sizes;
use crate::vocabulary::{END_OF_IMAGE, END_OF_TURN, IMAGE, START_OF_IMAGE, Vocabulary};

/// Tokens that prompt and answer may have together.
const CONTEXT: usize = 2048;

/// Writes everything but the weights and the model card.
pub fn write(folder: &Path, sizes: &Sizes) -> Result<()> {
    let tokens = sizes.grid * sizes.grid;
    let files = [
        ("config.json", config_json(sizes)),
        ("generation_config.json", generation_config()),
        ("preprocessor_config.json", preprocessor_config(sizes.vision.image, tokens)),
        (
            "processor_config.json",
            json!({ "image_seq_length": tokens, "processor_class": "Gemma3Processor" }),
        ),
        ("tokenizer_config.json", tokenizer_config()),
        ("special_tokens_map.json", Value::Object(named_tokens())),
    ];
    std::fs::create_dir_all(folder)
        .with_context(|| format!("could not create {}", folder.display()))?;
    for (name, value) in files {
        write_file(folder, name, &format!("{value:#}\n"))?;
    }
    write_file(folder, "tokenizer.json", &format!("{}\n", Vocabulary::new().to_json()))?;
    let template = include_str!("../../xtask/src/synthesize/chat_template.jinja");
    write_file(folder, "chat_template.jinja", template)
}

/// Writes one file of a checkpoint.
pub fn write_file(folder: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::write(folder.join(name), text).with_context(|| format!("could not write {name}"))
}

/// The configuration of the model.
pub fn config(sizes: &Sizes) -> Result<Config> {
    Ok(Config::from_json(&config_json(sizes).to_string())?)
}

fn config_json(sizes: &Sizes) -> Value {
    let (text, vision) = (&sizes.text, &sizes.vision);
    json!({
        "architectures": ["Gemma3ForConditionalGeneration"],
        "boi_token_index": START_OF_IMAGE,
        "eoi_token_index": END_OF_IMAGE,
        "eos_token_id": [1, END_OF_TURN],
        "image_token_index": IMAGE,
        "initializer_range": 0.02,
        "mm_tokens_per_image": sizes.grid * sizes.grid,
        "model_type": "gemma3",
        "text_config": {
            "head_dim": text.head,
            "hidden_size": text.hidden,
            "intermediate_size": text.inner,
            "max_position_embeddings": CONTEXT,
            "model_type": "gemma3_text",
            "num_attention_heads": text.heads,
            "num_hidden_layers": text.layers,
            "num_key_value_heads": text.key_heads,
            "query_pre_attn_scalar": text.head,
            "sliding_window": text.window,
            "vocab_size": Vocabulary::new().len(),
        },
        "torch_dtype": "bfloat16",
        "transformers_version": "4.50.0.dev0",
        "vision_config": {
            "hidden_size": vision.hidden,
            "image_size": vision.image,
            "intermediate_size": vision.inner,
            "model_type": "siglip_vision_model",
            "num_attention_heads": vision.heads,
            "num_hidden_layers": vision.layers,
            "patch_size": vision.patch,
            "vision_use_head": false,
        },
    })
}

/// The most likely token, always: the answers are trained to be one thing.
fn generation_config() -> Value {
    json!({
        "bos_token_id": 2,
        "do_sample": false,
        "eos_token_id": [1, END_OF_TURN],
        "pad_token_id": 0,
        "transformers_version": "4.50.0.dev0",
    })
}

fn preprocessor_config(side: usize, tokens: usize) -> Value {
    json!({
        "do_convert_rgb": null,
        "do_normalize": true,
        "do_pan_and_scan": null,
        "do_rescale": true,
        "do_resize": true,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "Gemma3ImageProcessor",
        "image_seq_length": tokens,
        "image_std": [0.5, 0.5, 0.5],
        "pan_and_scan_max_num_crops": null,
        "pan_and_scan_min_crop_size": null,
        "pan_and_scan_min_ratio_to_activate": null,
        "processor_class": "Gemma3Processor",
        "resample": 2,
        "rescale_factor": 0.003_921_568_627_450_98,
        "size": { "height": side, "width": side },
    })
}

fn named_tokens() -> Map<String, Value> {
    let tokens = [
        ("bos_token", "<bos>"),
        ("eos_token", "<eos>"),
        ("pad_token", "<pad>"),
        ("unk_token", "<unk>"),
        ("boi_token", "<start_of_image>"),
        ("eoi_token", "<end_of_image>"),
        ("image_token", "<image_soft_token>"),
    ];
    tokens.into_iter().map(|(name, token)| (name.to_owned(), json!(token))).collect()
}

fn tokenizer_config() -> Value {
    let mut config = named_tokens();
    config.insert("add_bos_token".to_owned(), json!(true));
    config.insert("add_eos_token".to_owned(), json!(false));
    config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
    config.insert("padding_side".to_owned(), json!("left"));
    config.insert("processor_class".to_owned(), json!("Gemma3Processor"));
    // The general class takes tokenizer.json as it is.
    config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
    Value::Object(config)
}
