//! The files beside the weights, as a published checkpoint has them.

use std::path::Path;

use anyhow::Result;
use checkpoint_files::companions::{Companions, Ids};
use serde_json::{Value, json};

use super::Size;
use super::model::{Model, Text};
use super::noise::Dtype;
use super::vocabulary::Vocabulary;

/// Image tokens of one picture, in every size.
pub(super) const IMAGE_TOKENS: usize = 256;

pub(crate) fn write(
    folder: &Path,
    model: &Model,
    vocabulary: &Vocabulary,
    dtype: Dtype,
) -> Result<()> {
    let companions = companions(model, vocabulary.ids, dtype);
    Ok(companions.write(folder, &vocabulary.to_json().to_string())?)
}

/// 4b states as little as published checkpoints do.
fn companions(model: &Model, ids: Ids, dtype: Dtype) -> Companions<'static> {
    Companions {
        ids,
        image_tokens: IMAGE_TOKENS,
        text: text_config(&model.text, model.size),
        vision: model.vision,
        dtype: dtype.name(),
        sampling: json!({ "do_sample": true, "top_k": 64, "top_p": 0.95 }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_b_states_what_the_published_file_states() {
        let (model, ids) = (Model::new(Size::FourB), Vocabulary::full().ids);
        let config = companions(&model, ids, Dtype::Bfloat16).config();
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
