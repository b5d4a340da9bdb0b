//! Every tensor that a configuration asks for, with its shape (canonical names).

use crate::{Config, TextConfig, VisionConfig};

/// Calls `visit(name, shape)` for each tensor of the model. A head tied to the embedding is skipped.
pub(crate) fn visit(config: &Config, visit: &mut dyn FnMut(String, Vec<usize>)) {
    text(&config.text, visit);
    let Some(tower) = &config.vision else { return };
    vision(tower, visit);
    let (from, to) = (tower.hidden_size, config.text.hidden_size);
    visit("multi_modal_projector.mm_input_projection_weight".to_owned(), vec![from, to]);
    visit("multi_modal_projector.mm_soft_emb_norm.weight".to_owned(), vec![from]);
}

fn text(config: &TextConfig, visit: &mut dyn FnMut(String, Vec<usize>)) {
    let (hidden, inner, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let queries = config.num_attention_heads * head;
    let keys = config.num_key_value_heads * head;
    visit("language_model.embed_tokens.weight".to_owned(), vec![config.vocab_size, hidden]);
    visit("language_model.norm.weight".to_owned(), vec![hidden]);
    if !config.tie_word_embeddings {
        visit("lm_head.weight".to_owned(), vec![config.vocab_size, hidden]);
    }
    for layer in 0..config.num_hidden_layers {
        for (name, shape) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("pre_feedforward_layernorm", vec![hidden]),
            ("post_feedforward_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![queries, hidden]),
            ("self_attn.k_proj", vec![keys, hidden]),
            ("self_attn.v_proj", vec![keys, hidden]),
            ("self_attn.o_proj", vec![hidden, queries]),
            ("self_attn.q_norm", vec![head]),
            ("self_attn.k_norm", vec![head]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ] {
            visit(format!("language_model.layers.{layer}.{name}.weight"), shape);
        }
    }
}

fn vision(config: &VisionConfig, visit: &mut dyn FnMut(String, Vec<usize>)) {
    let (hidden, inner, patch) = (config.hidden_size, config.intermediate_size, config.patch_size);
    let patch_shape = vec![hidden, config.num_channels, patch, patch];
    visit("vision_tower.embeddings.patch_embedding.weight".to_owned(), patch_shape);
    visit("vision_tower.embeddings.patch_embedding.bias".to_owned(), vec![hidden]);
    visit(
        "vision_tower.embeddings.position_embedding.weight".to_owned(),
        vec![config.patches(), hidden],
    );
    for layer in 0..config.num_hidden_layers {
        for (name, shape) in [
            ("layer_norm1", vec![hidden]),
            ("layer_norm2", vec![hidden]),
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![hidden, hidden]),
            ("self_attn.v_proj", vec![hidden, hidden]),
            ("self_attn.out_proj", vec![hidden, hidden]),
            ("mlp.fc1", vec![inner, hidden]),
            ("mlp.fc2", vec![hidden, inner]),
        ] {
            with_bias(&format!("vision_tower.encoder.layers.{layer}.{name}"), shape, visit);
        }
    }
    with_bias("vision_tower.post_layernorm", vec![hidden], visit);
}

/// A weight and its bias, which is as long as the weight's first side.
fn with_bias(name: &str, shape: Vec<usize>, visit: &mut dyn FnMut(String, Vec<usize>)) {
    visit(format!("{name}.bias"), vec![shape[0]]);
    visit(format!("{name}.weight"), shape);
}
