//! The configuration files of a checkpoint.

use std::io::{Error, Result};
use std::path::Path;

use serde_json::{Map, Value, json};

/// Renders a conversation as Gemma3 was trained on it.
pub const CHAT_TEMPLATE: &str = include_str!("chat_template.jinja");

/// Ids that the configuration files name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// Ends a turn of the conversation, and generation.
    pub end_of_turn: usize,
    /// Before the tokens of an image.
    pub start_of_image: usize,
    /// After the tokens of an image.
    pub end_of_image: usize,
    /// Each token of an image.
    pub image: usize,
}

/// Sizes of the vision tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vision {
    /// Side of the picture in pixels.
    pub image: usize,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Width of a patch's features.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward part.
    pub inner: usize,
}

/// What the files say of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Companions<'a> {
    /// Ids of the tokenizer.
    pub ids: Ids,
    /// Tokens of one image.
    pub image_tokens: usize,
    /// `text_config` of `config.json`.
    pub text: Value,
    /// Sizes of the vision tower.
    pub vision: Vision,
    /// The type of the weights, as transformers writes it: `bfloat16`, `float32`.
    pub dtype: &'a str,
    /// How tokens are drawn by default: entries of `generation_config.json` beside its ids.
    pub sampling: Value,
}

impl Companions<'_> {
    /// Writes everything but the weights and the model card into a folder that exists; `tokenizer` is the text of `tokenizer.json`.
    ///
    /// # Errors
    /// What keeps a file from being written, with its name.
    pub fn write(&self, folder: &Path, tokenizer: &str) -> Result<()> {
        let processor = json!({
            "image_seq_length": self.image_tokens,
            "processor_class": "Gemma3Processor",
        });
        let files = [
            ("config.json", self.config()),
            ("generation_config.json", self.generation_config()),
            ("preprocessor_config.json", self.preprocessor_config()),
            ("processor_config.json", processor),
            ("tokenizer_config.json", tokenizer_config()),
            ("special_tokens_map.json", Value::Object(named_tokens())),
        ];
        for (name, value) in files {
            write_file(folder, name, &format!("{value:#}\n"))?;
        }
        write_file(folder, "tokenizer.json", tokenizer)?;
        write_file(folder, "chat_template.jinja", CHAT_TEMPLATE)
    }

    /// `config.json`, with the names of transformers before version 5, which published checkpoints have.
    pub fn config(&self) -> Value {
        json!({
            "architectures": ["Gemma3ForConditionalGeneration"],
            "boi_token_index": self.ids.start_of_image,
            "eoi_token_index": self.ids.end_of_image,
            "eos_token_id": [1, self.ids.end_of_turn],
            "image_token_index": self.ids.image,
            "initializer_range": 0.02,
            "mm_tokens_per_image": self.image_tokens,
            "model_type": "gemma3",
            "text_config": self.text,
            "torch_dtype": self.dtype,
            "transformers_version": TRANSFORMERS,
            "vision_config": self.vision_config(),
        })
    }

    fn vision_config(&self) -> Value {
        let vision = &self.vision;
        json!({
            "hidden_size": vision.hidden,
            "image_size": vision.image,
            "intermediate_size": vision.inner,
            "model_type": "siglip_vision_model",
            "num_attention_heads": vision.heads,
            "num_hidden_layers": vision.layers,
            "patch_size": vision.patch,
            "vision_use_head": false,
        })
    }

    /// Keys in alphabetical order.
    fn generation_config(&self) -> Value {
        let fixed = json!({
            "bos_token_id": 2,
            "eos_token_id": [1, self.ids.end_of_turn],
            "pad_token_id": 0,
            "transformers_version": TRANSFORMERS,
        });
        let parts = [&fixed, &self.sampling];
        let mut entries: Vec<(&String, &Value)> =
            parts.iter().filter_map(|part| part.as_object()).flatten().collect();
        entries.sort_by_key(|(name, _)| *name);
        entries.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn preprocessor_config(&self) -> Value {
        json!({
            "do_convert_rgb": null,
            "do_normalize": true,
            "do_pan_and_scan": null,
            "do_rescale": true,
            "do_resize": true,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "Gemma3ImageProcessor",
            "image_seq_length": self.image_tokens,
            "image_std": [0.5, 0.5, 0.5],
            "pan_and_scan_max_num_crops": null,
            "pan_and_scan_min_crop_size": null,
            "pan_and_scan_min_ratio_to_activate": null,
            "processor_class": "Gemma3Processor",
            "resample": 2,
            "rescale_factor": 0.003_921_568_627_450_98,
            "size": { "height": self.vision.image, "width": self.vision.image },
        })
    }
}

const TRANSFORMERS: &str = "4.50.0.dev0";

/// Writes one file of a checkpoint.
///
/// # Errors
/// What keeps it from being written, with its name.
pub fn write_file(folder: &Path, name: &str, text: &str) -> Result<()> {
    let named = |error: Error| Error::new(error.kind(), format!("could not write {name}: {error}"));
    std::fs::write(folder.join(name), text).map_err(named)
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
