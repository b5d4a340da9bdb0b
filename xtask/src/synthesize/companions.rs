//! The files beside the weights, as a published checkpoint has them.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::Size;
use super::model::{Model, Text, Vision};
use super::noise::Dtype;
use super::vocabulary::{Ids, Vocabulary};

/// Image tokens of one picture, in every size.
const IMAGE_TOKENS: usize = 256;

pub(crate) fn write(
    folder: &Path,
    model: &Model,
    vocabulary: &Vocabulary,
    dtype: Dtype,
) -> Result<()> {
    let ids = vocabulary.ids;
    let files = [
        ("config.json", config(model, ids, dtype)),
        ("generation_config.json", generation_config(ids)),
        ("preprocessor_config.json", preprocessor_config(model.vision.image)),
        (
            "processor_config.json",
            json!({ "image_seq_length": IMAGE_TOKENS, "processor_class": "Gemma3Processor" }),
        ),
        ("tokenizer_config.json", tokenizer_config()),
        ("special_tokens_map.json", Value::Object(named_tokens())),
    ];
    for (name, value) in files {
        write_file(folder, name, &format!("{value:#}\n"))?;
    }
    write_file(folder, "tokenizer.json", &vocabulary.to_json().to_string())?;
    write_file(folder, "chat_template.jinja", include_str!("chat_template.jinja"))
}

fn write_file(folder: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::write(folder.join(name), text).with_context(|| format!("could not write {name}"))
}

/// In the older spelling, the one that published checkpoints have; 4b states as little as they do.
fn config(model: &Model, ids: Ids, dtype: Dtype) -> Value {
    json!({
        "architectures": ["Gemma3ForConditionalGeneration"],
        "boi_token_index": ids.start_of_image,
        "eoi_token_index": ids.end_of_image,
        "eos_token_id": [1, ids.end_of_turn],
        "image_token_index": ids.image,
        "initializer_range": 0.02,
        "mm_tokens_per_image": IMAGE_TOKENS,
        "model_type": "gemma3",
        "text_config": text_config(&model.text, model.size),
        "torch_dtype": dtype.name(),
        "transformers_version": "4.50.0.dev0",
        "vision_config": vision_config(&model.vision),
    })
}

fn text_config(text: &Text, size: Size) -> Value {
    let mut config = json!({
        "hidden_size": text.hidden,
        "intermediate_size": text.feed_forward,
        "model_type": "gemma3_text",
        "num_hidden_layers": text.layers,
        "sliding_window": text.window,
    });
    // The rest of 4b's numbers are the defaults of the architecture, and its published file leaves them out.
    if size != Size::FourB {
        config["head_dim"] = json!(text.head_width);
        config["num_attention_heads"] = json!(text.heads);
        config["num_key_value_heads"] = json!(text.key_heads);
        config["query_pre_attn_scalar"] = json!(text.head_width);
        config["vocab_size"] = json!(text.rows);
    }
    if size == Size::Tiny {
        config["max_position_embeddings"] = json!(8192);
    }
    // The published 1b has positions without scaling.
    if size != Size::OneB {
        config["rope_scaling"] = json!({ "factor": 8.0, "rope_type": "linear" });
    }
    config
}

fn vision_config(vision: &Vision) -> Value {
    json!({
        "hidden_size": vision.hidden,
        "image_size": vision.image,
        "intermediate_size": vision.feed_forward,
        "model_type": "siglip_vision_model",
        "num_attention_heads": vision.heads,
        "num_hidden_layers": vision.layers,
        "patch_size": vision.patch,
        "vision_use_head": false,
    })
}

fn generation_config(ids: Ids) -> Value {
    json!({
        "bos_token_id": 2,
        "do_sample": true,
        "eos_token_id": [1, ids.end_of_turn],
        "pad_token_id": 0,
        "top_k": 64,
        "top_p": 0.95,
        "transformers_version": "4.50.0.dev0",
    })
}

fn preprocessor_config(size: usize) -> Value {
    json!({
        "do_convert_rgb": null,
        "do_normalize": true,
        "do_pan_and_scan": null,
        "do_rescale": true,
        "do_resize": true,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "Gemma3ImageProcessor",
        "image_seq_length": IMAGE_TOKENS,
        "image_std": [0.5, 0.5, 0.5],
        "pan_and_scan_max_num_crops": null,
        "pan_and_scan_min_crop_size": null,
        "pan_and_scan_min_ratio_to_activate": null,
        "processor_class": "Gemma3Processor",
        "resample": 2,
        "rescale_factor": 0.003_921_568_627_450_98,
        "size": { "height": size, "width": size },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_b_states_what_the_published_file_states() {
        let config = config(&Model::new(Size::FourB), Vocabulary::full().ids, Dtype::Bfloat16);
        let expected = json!({
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 34,
            "rope_scaling": { "factor": 8.0, "rope_type": "linear" },
            "sliding_window": 1024,
        });
        assert_eq!(config["text_config"], expected);
        assert_eq!(config["eos_token_id"], json!([1, 106]));
        assert_eq!(config["image_token_index"], 262_144);
        assert_eq!(config["torch_dtype"], "bfloat16");
    }

    #[test]
    fn the_picture_has_as_many_cells_as_the_prompt_has_tokens() {
        for size in [Size::Tiny, Size::Mid, Size::OneB, Size::FourB] {
            let vision = Model::new(size).vision;
            let pooled = (vision.image / vision.patch).pow(2) / IMAGE_TOKENS;
            assert!([4, 16].contains(&pooled), "{size:?}: {pooled} patches in a cell");
        }
    }
}
