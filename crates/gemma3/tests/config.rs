//! `config.json` and `generation_config.json`: both spellings, defaults, and every refusal with its message.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::fs;

use gemma3_tch::{Config, Error, GenerationConfig, LayerType, Rope};
use serde_json::{Value, json};
use tch::Kind;

/// As published for the 4B model (transformers 4.50 spelling): most fields are left to their defaults.
fn published() -> Value {
    json!({
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255_999, "eoi_token_index": 256_000,
        "eos_token_id": [1, 106], "image_token_index": 262_144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024,
        },
        "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
        "vision_config": {
            "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "model_type": "siglip_vision_model",
            "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14, "vision_use_head": false,
        },
    })
}

fn parse(value: &Value) -> Result<Config, Error> {
    Config::from_json(&value.to_string())
}

/// The message for the published configuration with one value changed (null removes it, as in transformers).
fn refusal(pointer: &str, value: Value) -> String {
    let mut config = published();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[name] = value;
    parse(&config).expect_err(pointer).to_string()
}

#[test]
fn the_published_configuration_gets_its_defaults() {
    let config = parse(&published()).unwrap();
    let text = &config.text;
    assert_eq!((text.vocab_size, text.hidden_size, text.intermediate_size), (262_208, 2560, 10240));
    assert_eq!((text.num_attention_heads, text.num_key_value_heads, text.head_dim), (8, 4, 256));
    assert_eq!((text.rms_norm_eps, text.query_pre_attn_scalar), (1e-6, 256.0));
    assert_eq!((text.sliding_window, text.max_position_embeddings), (1024, 131_072));
    assert_eq!(text.rope_full, Rope { theta: 1e6, factor: 8.0 });
    assert_eq!(text.rope_sliding, Rope { theta: 1e4, factor: 1.0 });
    assert!(text.tie_word_embeddings);
    let full: Vec<usize> = (0..34).filter(|&layer| text.layers[layer] == LayerType::Full).collect();
    assert_eq!(full, [5, 11, 17, 23, 29]);
    let vision = config.vision.as_ref().unwrap();
    assert_eq!((vision.num_channels, vision.layer_norm_eps), (3, 1e-6));
    assert_eq!((vision.patches_per_side(), vision.patches(), vision.head_dim()), (64, 4096, 72));
    assert_eq!((config.tokens_per_side(), config.pool()), (16, Some(4)));
    assert_eq!(
        (config.boi_token_id, config.eoi_token_id, config.image_token_id),
        (255_999, 256_000, 262_144)
    );
    assert_eq!((config.eos_token_ids, config.dtype), (vec![1, 106], Some(Kind::BFloat16)));
}

#[test]
fn the_new_spelling_means_the_same() {
    let old = published();
    let mut new = old.clone();
    let root = new.as_object_mut().unwrap();
    for (from, to) in [
        ("torch_dtype", "dtype"),
        ("image_token_index", "image_token_id"),
        ("boi_token_index", "boi_token_id"),
        ("eoi_token_index", "eoi_token_id"),
    ] {
        let value = root.remove(from).unwrap();
        root.insert(to.to_owned(), value);
    }
    let text = root["text_config"].as_object_mut().unwrap();
    text.remove("rope_scaling");
    text.insert(
        "rope_parameters".to_owned(),
        json!({
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        }),
    );
    let kind = |layer| if layer % 6 == 5 { "full_attention" } else { "sliding_attention" };
    text.insert("layer_types".to_owned(), (0..34).map(kind).collect());
    text.insert("_sliding_window_pattern".to_owned(), json!(6));
    text.insert("final_logit_softcapping".to_owned(), Value::Null);
    assert_eq!(parse(&new).unwrap(), parse(&old).unwrap());
}

#[test]
fn old_rope_fields_and_the_window_pattern_count() {
    let mut config = published();
    let text = &mut config["text_config"];
    text["rope_theta"] = json!(5e5);
    text["rope_local_base_freq"] = json!(2e4);
    text["rope_scaling"] = Value::Null;
    text["sliding_window_pattern"] = json!(2);
    text["num_hidden_layers"] = json!(4);
    let text = parse(&config).unwrap().text;
    assert_eq!(text.rope_full, Rope { theta: 5e5, factor: 1.0 });
    assert_eq!(text.rope_sliding, Rope { theta: 2e4, factor: 1.0 });
    assert_eq!(
        text.layers,
        [LayerType::Sliding, LayerType::Full, LayerType::Sliding, LayerType::Full]
    );
}

#[test]
fn untied_heads_and_single_eos() {
    let mut config = published();
    config["tie_word_embeddings"] = json!(false);
    config["eos_token_id"] = json!(7);
    let config = parse(&config).unwrap();
    assert!(!config.text.tie_word_embeddings);
    assert_eq!(config.eos_token_ids, [7]);
}

#[test]
fn sizes_that_class_defaults_get_wrong_must_be_there() {
    for field in ["hidden_size", "intermediate_size", "num_hidden_layers", "sliding_window"] {
        let message = refusal(&format!("/text_config/{field}"), Value::Null);
        assert_eq!(
            message,
            format!(
                "config.json has no text_config.{field}, and no default would be right for every model"
            )
        );
    }
    for field in [
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "image_size",
        "patch_size",
    ] {
        let message = refusal(&format!("/vision_config/{field}"), Value::Null);
        assert!(
            message.starts_with(&format!("config.json has no vision_config.{field}")),
            "{message}"
        );
    }
    for section in ["text_config", "vision_config"] {
        assert!(refusal(&format!("/{section}"), Value::Null).contains(&format!("no {section}")));
    }
}

#[test]
fn other_architectures_are_refused_by_name() {
    for (pointer, value, found) in [
        ("/model_type", json!("llama"), "llama"),
        ("/architectures", json!(["LlamaForCausalLM"]), "LlamaForCausalLM"),
        ("/text_config/model_type", json!("gemma2"), "gemma2"),
        ("/vision_config/model_type", json!("clip_vision_model"), "clip_vision_model"),
    ] {
        let message = refusal(pointer, value);
        assert!(
            message.starts_with(&format!("config.json describes {found:?}; only Gemma3")),
            "{message}"
        );
    }
}

#[test]
fn a_language_model_alone_has_its_fields_at_the_top() {
    let text = r#"{
        "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "hidden_size": 640, "intermediate_size": 2048,
        "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1, "sliding_window": 512,
        "vocab_size": 262144, "max_position_embeddings": 32768, "eos_token_id": [1, 106], "torch_dtype": "bfloat16"
    }"#;
    let config = Config::from_json(text).unwrap();
    assert_eq!((config.vision.as_ref(), config.pool()), (None, None));
    assert_eq!((config.text.hidden_size, config.text.layers.len()), (640, 18));
    assert_eq!(config.eos_token_ids, [1, 106]);
    assert!(config.tensors().keys().all(|name| name.starts_with("language_model.")));
    for (from, to) in [("gemma3_text", "gemma3n_text"), ("Gemma3ForCausalLM", "LlamaForCausalLM")] {
        let message = Config::from_json(&text.replace(from, to)).unwrap_err().to_string();
        assert!(message.starts_with("config.json describes") && message.contains(to), "{message}");
    }
}

#[test]
fn what_is_not_computed_is_refused() {
    for (pointer, value, message) in [
        (
            "/text_config/final_logit_softcapping",
            json!(30.0),
            "text_config.final_logit_softcapping = 30.0 is not supported",
        ),
        (
            "/text_config/attn_logit_softcapping",
            json!(50),
            "text_config.attn_logit_softcapping = 50 is not supported",
        ),
        (
            "/text_config/attention_bias",
            json!(true),
            "text_config.attention_bias = true is not supported",
        ),
        (
            "/text_config/use_bidirectional_attention",
            json!(true),
            "use_bidirectional_attention = true is not supported",
        ),
        (
            "/text_config/hidden_activation",
            json!("silu"),
            "text_config.hidden_activation = silu is not supported",
        ),
        (
            "/vision_config/hidden_act",
            json!("gelu"),
            "vision_config.hidden_act = gelu is not supported",
        ),
        (
            "/text_config/rope_scaling",
            json!({"rope_type": "yarn"}),
            "text_config.rope_scaling.rope_type = yarn is not supported",
        ),
        (
            "/vision_config/image_size",
            json!([896, 448]),
            "vision_config.image_size = [896,448] is not supported; only squares are",
        ),
        ("/torch_dtype", json!("float8"), "dtype = float8 is not supported"),
    ] {
        let found = refusal(pointer, value);
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn inconsistent_values_name_their_field() {
    for (pointer, value, message) in [
        (
            "/text_config/num_key_value_heads",
            json!(3),
            "text_config.num_key_value_heads is 3, which does not divide num_attention_heads = 8",
        ),
        (
            "/text_config/head_dim",
            json!(7),
            "text_config.head_dim is 7; rotary embedding turns pairs, so it must be even",
        ),
        (
            "/text_config/hidden_size",
            json!(0),
            "text_config.hidden_size is 0, outside of 1 to 65536",
        ),
        ("/text_config/hidden_size", json!(-1), "text_config.hidden_size is not a whole number"),
        (
            "/text_config/hidden_size",
            json!("2560"),
            "text_config.hidden_size is not a whole number",
        ),
        (
            "/text_config/num_hidden_layers",
            json!(u64::MAX),
            "text_config.num_hidden_layers is 18446744073709551615, outside of 1 to 1024",
        ),
        (
            "/text_config/rms_norm_eps",
            json!(-1e-6),
            "text_config.rms_norm_eps is -0.000001, but must be above zero",
        ),
        (
            "/text_config/layer_types",
            json!(["full_attention"]),
            "text_config.layer_types has 1 entries for num_hidden_layers = 34",
        ),
        (
            "/text_config/sliding_window_pattern",
            json!(0),
            "text_config.sliding_window_pattern is 0, outside of 1 to 1024",
        ),
        (
            "/text_config/rope_parameters",
            json!({"rope_theta": 1e4}),
            "text_config.rope_parameters.full_attention is missing",
        ),
        (
            "/vision_config/num_attention_heads",
            json!(7),
            "vision_config.num_attention_heads is 7, which does not divide hidden_size = 1152",
        ),
        (
            "/vision_config/patch_size",
            json!(15),
            "vision_config.patch_size is 15, which does not divide image_size = 896",
        ),
        (
            "/mm_tokens_per_image",
            json!(255),
            "mm_tokens_per_image is 255, which is not a square number",
        ),
        (
            "/mm_tokens_per_image",
            json!(225),
            "mm_tokens_per_image asks for a grid of 15, which does not divide the 64 patches",
        ),
        (
            "/image_token_index",
            json!(255_999),
            "image_token_id is 255999, the same as the token beside the image",
        ),
        ("/image_token_index", json!(1u64 << 40), "image_token_index is not a token id"),
        ("/image_token_id", json!(5), "image_token_id differs from image_token_index"),
        ("/eos_token_id", json!(["a"]), "eos_token_id is not a token id or a list of them"),
        ("/text_config", json!([]), "text_config is not an object"),
    ] {
        let found = refusal(pointer, value);
        assert!(found.starts_with("config.json: ") && found.contains(message), "{found}");
    }
}

#[test]
fn directories_and_files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    let message = Config::from_dir(&absent).unwrap_err().to_string();
    assert_eq!(message, format!("model directory {} does not exist", absent.display()));
    let message = Config::from_dir(dir.path()).unwrap_err().to_string();
    assert!(
        message.ends_with("config.json is missing; every checkpoint directory has one"),
        "{message}"
    );
    let file = dir.path().join("config.json");
    fs::write(&file, [b'{', 0xff, 0xfe]).unwrap();
    let message = Config::from_dir(dir.path()).unwrap_err().to_string();
    assert!(message.contains("config.json is not valid JSON"), "{message}");
    assert!(matches!(Config::from_dir(&file).unwrap_err(), Error::NotADirectory { .. }));
    fs::File::create(&file).unwrap().set_len(17 << 20).unwrap();
    assert!(matches!(Config::from_dir(dir.path()).unwrap_err(), Error::TooLarge { .. }));
    assert!(matches!(Config::from_json("[]").unwrap_err(), Error::Field { .. }));
}

#[test]
fn generation_settings_with_and_without_a_file() {
    let config = parse(&published()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let without = GenerationConfig::from_dir(dir.path(), &config).unwrap();
    assert_eq!((without.eos_token_ids, without.do_sample), (vec![1, 106], false));
    let with = |json: &str| {
        fs::write(dir.path().join("generation_config.json"), json).unwrap();
        GenerationConfig::from_dir(dir.path(), &config)
    };
    let found = with(
        r#"{"eos_token_id": 3, "do_sample": true, "top_k": 64, "top_p": 0.95, "temperature": 0.7}"#,
    )
    .unwrap();
    assert_eq!((found.eos_token_ids, found.do_sample), (vec![3], true));
    assert_eq!((found.top_k, found.top_p, found.temperature), (Some(64), 0.95, 0.7));
    assert_eq!(with(r#"{"top_k": 0}"#).unwrap().top_k, None);
    let zero = with(r#"{"do_sample": true, "temperature": 0}"#).unwrap();
    assert_eq!(
        (zero.do_sample, zero.temperature),
        (false, 1.0),
        "no randomness is the greedy choice"
    );
    let message = with(r#"{"top_p": 1.5}"#).unwrap_err().to_string();
    assert_eq!(message, "generation_config.json: top_p is 1.5, but must be at most 1");
    let message = with(r#"{"temperature": -1}"#).unwrap_err().to_string();
    assert_eq!(message, "generation_config.json: temperature is -1, but must be above zero");
    assert!(matches!(with("nonsense").unwrap_err(), Error::Json { .. }));
}
