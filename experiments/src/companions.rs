//! The files beside the weights, as a published checkpoint has them.

use std::path::Path;

use anyhow::{Context, Result};
use checkpoint_files::companions::Companions;
use gemma3_tch::Config;
use serde_json::json;

use crate::recipe::Sizes;
use crate::vocabulary::{IDS, Vocabulary};

/// Tokens that prompt and answer may have together.
const CONTEXT: usize = 2048;

/// Writes everything but the weights and the model card.
pub fn write(folder: &Path, sizes: &Sizes) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("could not create {}", folder.display()))?;
    let tokenizer = format!("{}\n", Vocabulary::new().to_json());
    Ok(companions(sizes).write(folder, &tokenizer)?)
}

/// The configuration of the model.
pub fn config(sizes: &Sizes) -> Result<Config> {
    Ok(Config::from_json(&companions(sizes).config().to_string())?)
}

fn companions(sizes: &Sizes) -> Companions<'static> {
    let text = &sizes.text;
    Companions {
        ids: IDS,
        image_tokens: sizes.grid * sizes.grid,
        text: json!({
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
        }),
        vision: sizes.vision,
        dtype: "bfloat16",
        // The most likely token, always: the answers are trained to be one thing.
        sampling: json!({ "do_sample": false }),
    }
}
