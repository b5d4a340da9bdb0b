//! The names that tensors of Gemma 3 have in GGUF files, as llama.cpp's converter gives them (`gguf-py/gguf/tensor_mapping.py`).

/// Parts of a layer of the language model: the names in transformers, and in GGUF files.
const TEXT: [(&str, &str); 13] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Parts of a layer of the vision tower.
const VISION: [(&str, &str); 8] = [
    ("layer_norm1", "ln1"),
    ("layer_norm2", "ln2"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.out_proj", "attn_out"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
];

/// What stands in front of a part, outside of layers.
const OTHERS: [(&str, &str); 7] = [
    ("language_model.embed_tokens", "token_embd"),
    ("language_model.norm", "output_norm"),
    ("vision_tower.embeddings.patch_embedding", "v.patch_embd"),
    ("vision_tower.embeddings.position_embedding", "v.position_embd"),
    ("vision_tower.post_layernorm", "v.post_ln"),
    ("multi_modal_projector.mm_soft_emb_norm", "mm.soft_emb_norm"),
    ("multi_modal_projector.mm_input_projection_weight", "mm.input_projection.weight"),
];

/// The name in GGUF files of a tensor that is called so in a checkpoint, in the spelling of transformers before version 5 or without
/// `model.` and `vision_model.`, and the number of its layer, 0 outside of layers. `None`: such a file has no such tensor.
pub fn stored(name: &str) -> Option<(String, usize)> {
    let name = name.replacen("language_model.model.", "language_model.", 1).replacen(
        "vision_tower.vision_model.",
        "vision_tower.",
        1,
    );
    let other = OTHERS.iter().find_map(|(ours, theirs)| {
        let rest =
            name.strip_prefix(ours).filter(|rest| rest.is_empty() || rest.starts_with('.'))?;
        Some(format!("{theirs}{rest}"))
    });
    if let Some(other) = other {
        return Some((other, 0));
    }
    let text = name.strip_prefix("language_model.layers.").map(|rest| ("blk", rest, &TEXT[..]));
    let layers = text.or_else(|| {
        let rest = name.strip_prefix("vision_tower.encoder.layers.")?;
        Some(("v.blk", rest, &VISION[..]))
    });
    let (start, rest, parts) = layers?;
    let (layer, part) = rest.split_once('.')?;
    let (part, kind) = part.rsplit_once('.')?;
    let (_, theirs) = parts.iter().find(|(ours, _)| *ours == part)?;
    Some((format!("{start}.{layer}.{theirs}.{kind}"), layer.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_spelling_has_one_name() {
        for (name, expected) in [
            ("language_model.model.layers.3.self_attn.q_proj.weight", ("blk.3.attn_q.weight", 3)),
            ("language_model.layers.3.self_attn.q_norm.weight", ("blk.3.attn_q_norm.weight", 3)),
            ("vision_tower.vision_model.encoder.layers.1.mlp.fc1.bias", ("v.blk.1.ffn_up.bias", 1)),
            ("vision_tower.encoder.layers.1.mlp.fc1.bias", ("v.blk.1.ffn_up.bias", 1)),
            ("language_model.model.norm.weight", ("output_norm.weight", 0)),
            ("multi_modal_projector.mm_input_projection_weight", ("mm.input_projection.weight", 0)),
        ] {
            assert_eq!(stored(name), Some((expected.0.to_owned(), expected.1)), "{name}");
        }
        assert_eq!(stored("language_model.layers.3.other.weight"), None);
        assert_eq!(stored("head.weight"), None);
    }
}
