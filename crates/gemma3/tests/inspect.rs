//! What `inspect` says of a checkpoint, without loading it.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::fs;
use std::path::Path;

use gemma3_tch::{Bytes, DtypeSpec, Inspection, Misshapen, Parameters, Placement, Weights};
use serde_json::{Value, json};
use tch::{Device, Kind};
use tempfile::TempDir;

/// D = 8, F = 12, 2 layers (one full), H = 4, K = 2, d = 6, vocabulary 10; vision width 4, one layer, 2×2 patches.
fn config() -> Value {
    json!({
        "model_type": "gemma3", "mm_tokens_per_image": 1,
        "text_config": {
            "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 6, "sliding_window": 16, "sliding_window_pattern": 2,
        },
        "vision_config": {
            "hidden_size": 4, "intermediate_size": 5, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 4,
            "patch_size": 2,
        },
    })
}

/// Stored names (old spelling) and shapes of that model.
fn layout() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![
        ("language_model.model.embed_tokens.weight".to_owned(), vec![10, 8]),
        ("language_model.model.norm.weight".to_owned(), vec![8]),
        ("multi_modal_projector.mm_input_projection_weight".to_owned(), vec![4, 8]),
        ("multi_modal_projector.mm_soft_emb_norm.weight".to_owned(), vec![4]),
    ];
    for layer in 0..2 {
        let mut add = |name: &str, shape: &[usize]| {
            all.push((
                format!("language_model.model.layers.{layer}.{name}.weight"),
                shape.to_vec(),
            ));
        };
        for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
            add(&format!("{norm}_layernorm"), &[8]);
        }
        for (name, shape) in
            [("q_proj", [24, 8]), ("k_proj", [12, 8]), ("v_proj", [12, 8]), ("o_proj", [8, 24])]
        {
            add(&format!("self_attn.{name}"), &shape);
        }
        add("self_attn.q_norm", &[6]);
        add("self_attn.k_norm", &[6]);
        for (name, shape) in [("gate_proj", [12, 8]), ("up_proj", [12, 8]), ("down_proj", [8, 12])]
        {
            add(&format!("mlp.{name}"), &shape);
        }
    }
    let tower = "vision_tower.vision_model";
    let mut add =
        |name: &str, shape: &[usize]| all.push((format!("{tower}.{name}"), shape.to_vec()));
    add("embeddings.patch_embedding.weight", &[4, 3, 2, 2]);
    add("embeddings.patch_embedding.bias", &[4]);
    add("embeddings.position_embedding.weight", &[4, 4]);
    add("post_layernorm.weight", &[4]);
    add("post_layernorm.bias", &[4]);
    let layers = [
        ("layer_norm1", vec![4]),
        ("layer_norm2", vec![4]),
        ("self_attn.q_proj", vec![4, 4]),
        ("self_attn.k_proj", vec![4, 4]),
        ("self_attn.v_proj", vec![4, 4]),
        ("self_attn.out_proj", vec![4, 4]),
        ("mlp.fc1", vec![5, 4]),
        ("mlp.fc2", vec![4, 5]),
    ];
    for (name, shape) in layers {
        add(&format!("encoder.layers.0.{name}.weight"), &shape);
        add(&format!("encoder.layers.0.{name}.bias"), &shape[..1]);
    }
    all
}

/// Writes the checkpoint with all tensors in one type of this width.
fn checkpoint(
    config: &Value,
    layout: &[(String, Vec<usize>)],
    (dtype, width): (&str, usize),
) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in layout {
        let start = end;
        end += shape.iter().product::<usize>() * width;
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = Value::Object(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; end]].concat();
    fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    dir
}

fn on_disk(dir: &Path) -> u64 {
    fs::metadata(dir.join("model.safetensors")).unwrap().len()
}

/// Counted by hand from the sizes above.
const TEXT: u64 = 2 * (4 * 8 + 2 * (24 * 8) + 2 * (12 * 8) + 2 * 6 + 3 * (12 * 8)) + 8;
const VISION: u64 =
    (4 * 3 * 2 * 2 + 4) + 4 * 4 + 2 * 4 + (4 * 4 + 4 * (16 + 4) + (20 + 5) + (20 + 4));
const EXPECTED: Parameters =
    Parameters { embeddings: 80, text: TEXT, vision: VISION, projector: 36, other: 0 };

#[test]
fn a_whole_checkpoint_is_counted_part_by_part() {
    let dir = checkpoint(&config(), &layout(), ("BF16", 2));
    let found = Inspection::open(dir.path()).unwrap();
    assert_eq!(found.architecture, "Gemma3ForConditionalGeneration");
    assert_eq!(found.parameters, EXPECTED);
    assert_eq!(found.tensors, layout().len());
    assert_eq!(found.bytes_on_disk, Bytes(on_disk(dir.path())));
    assert_eq!(
        found.stored.into_iter().collect::<Vec<_>>(),
        [("BF16".to_owned(), EXPECTED.total())]
    );
    assert_eq!((found.missing, found.misshapen, found.unused), (vec![], vec![], vec![]));
}

#[test]
fn memory_depends_on_type_and_device() {
    let dir = checkpoint(&config(), &layout(), ("BF16", 2));
    let found = Inspection::open(dir.path()).unwrap();
    let cpu = |kind| found.load_bytes(Placement { device: Device::Cpu, kind });
    let largest = 24 * 8 * 2; // q_proj in bfloat16
    assert_eq!(cpu(None), Bytes(on_disk(dir.path())));
    assert_eq!(cpu(Some(Kind::BFloat16)), Bytes(on_disk(dir.path())));
    assert_eq!(cpu(Some(Kind::Float)), Bytes(4 * EXPECTED.total() + largest));
    assert_eq!(cpu(Some(Kind::Half)), Bytes(2 * EXPECTED.total() + largest));
    let cuda = Placement { device: Device::Cuda(0), kind: Some(Kind::BFloat16) };
    assert_eq!(found.load_bytes(cuda), Bytes(2 * largest));
    assert_eq!(found.weight_bytes(None), Bytes(2 * EXPECTED.total()));
    assert_eq!(found.weight_bytes(Some(Kind::Float)), Bytes(4 * EXPECTED.total()));
}

#[test]
fn the_cache_honours_windows_and_maps_grow_with_the_square() {
    let dir = checkpoint(&config(), &layout(), ("F32", 4));
    let found = Inspection::open(dir.path()).unwrap();
    // One full and one sliding layer (window 16), keys and values of 2 heads of 6.
    assert_eq!(found.cache_bytes(Kind::Float, 10), Bytes(2 * 2 * 6 * (10 + 10) * 4));
    assert_eq!(found.cache_bytes(Kind::BFloat16, 1000), Bytes(2 * 2 * 6 * (1000 + 16) * 2));
    let at = |tokens| found.retained_bytes(Kind::Float, tokens).0;
    let maps = |tokens: u64| 2 * 4 * tokens * tokens * 8;
    let rest = |tokens: u64| at(tokens as usize) - maps(tokens);
    assert_eq!(rest(200), 2 * rest(100), "all but the maps is linear");
}

#[test]
fn what_does_not_fit_the_configuration_is_listed() {
    let mut layout = layout();
    layout.retain(|(name, _)| !name.ends_with("layers.1.mlp.up_proj.weight"));
    layout[0].1 = vec![11, 8];
    layout.push(("lm_head.weight".to_owned(), vec![10, 8]));
    layout.push(("audio_tower.x".to_owned(), vec![3]));
    let dir = checkpoint(&config(), &layout, ("F32", 4));
    let found = Inspection::open(dir.path()).unwrap();
    assert_eq!(found.missing, ["language_model.layers.1.mlp.up_proj.weight"]);
    let name = "language_model.embed_tokens.weight".to_owned();
    assert_eq!(found.misshapen, [Misshapen { name, expected: vec![10, 8], found: vec![11, 8] }]);
    assert_eq!(found.unused, ["audio_tower.x", "lm_head.weight"]);
    assert_eq!((found.parameters.other, found.parameters.embeddings), (3, 88 + 80));
}

#[test]
fn an_untied_head_is_wanted() {
    let mut config = config();
    config["tie_word_embeddings"] = json!(false);
    let found = Inspection::open(checkpoint(&config, &layout(), ("F32", 4)).path()).unwrap();
    assert_eq!(found.missing, ["lm_head.weight"]);
}

#[test]
fn the_automatic_type_is_the_declared_or_the_stored_one() {
    for (declared, stored, expected) in [
        (None, ("BF16", 2), Kind::BFloat16),
        (None, ("F32", 4), Kind::Float),
        (None, ("F16", 2), Kind::Float),
        (Some("bfloat16"), ("F32", 4), Kind::BFloat16),
        (Some("float32"), ("BF16", 2), Kind::Float),
    ] {
        let mut config = config();
        config["dtype"] = json!(declared);
        let dir = checkpoint(&config, &layout(), stored);
        let config = gemma3_tch::Config::from_dir(dir.path()).unwrap();
        let weights = Weights::open(dir.path()).unwrap();
        assert_eq!(DtypeSpec::Auto.resolve(&config, &weights), expected, "{declared:?} {stored:?}");
        assert_eq!(DtypeSpec::BFloat16.resolve(&config, &weights), Kind::BFloat16);
    }
}
