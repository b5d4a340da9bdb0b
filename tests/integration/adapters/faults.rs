//! Adapters that cannot be used: each an error that names what is wrong.

use super::{CONFIG, Change, WEIGHTS, base, changed, checkpoint, folder, load};
use gemma3_tch::Placement;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tch::Kind;

/// What its configuration asks for and is not understood, and what its file lacks or has too many of: each an error that names file
/// and field or tensor.
#[test]
fn damaged_adapters_are_named() {
    let base = base().model();
    let same = |name: &str| name.to_owned();
    let set = |field: &'static str, value: Value| -> Change {
        Box::new(move |config| config[field] = value.clone())
    };
    let settings: Vec<(Change, &str)> = vec![
        (set("peft_type", json!("LOHA")), "peft_type is LOHA"),
        (set("peft_type", json!(null)), "has no peft_type"),
        (set("peft_type", json!(3)), "peft_type is 3, expected a text"),
        (set("r", json!(0)), "r from 1"),
        (set("r", json!(8)), "rank 8"),
        (set("r", json!("4")), "r from 1"),
        (set("lora_alpha", json!("x")), "lora_alpha"),
        (set("use_rslora", json!("yes")), "use_rslora is \"yes\", expected true or false"),
        (set("use_dora", json!(true)), "no lora_magnitude_vector"),
        (set("target_modules", json!(null)), "names no target_modules"),
        (set("target_modules", json!([1])), "target_modules is [1], expected a list of names"),
        (
            set("target_modules", json!(["q_proj"])),
            "v_proj\" has a low-rank part, and target_modules",
        ),
        (
            set("target_modules", json!(["q_proj", "v_proj", "k_proj"])),
            "target_modules names module",
        ),
        (set("target_modules", json!("(")), "no regular expression"),
        (set("target_modules", json!("(a|a)*b(?=c)".repeat(3000))), "expression of 36000 bytes"),
        (set("target_modules", json!("(?:.*(?=(a))?.*)*(?=x)y")), "target_modules"),
        (set("target_modules", json!("all-linear")), "target_modules names module"),
        (set("exclude_modules", json!(["v_proj"])), "target_modules does not name it"),
        (set("exclude_modules", json!(3)), "exclude_modules is 3"),
        (set("layers_to_transform", json!([0])), "target_modules does not name it"),
        (set("layers_to_transform", json!(["a"])), "layers_to_transform"),
        (set("layers_pattern", json!("[")), "layers_pattern has ["),
        (set("rank_pattern", json!({"q_proj": 2})), "rank 2"),
        (set("rank_pattern", json!({"q_proj": "x"})), "rank_pattern for q_proj"),
        (set("rank_pattern", json!([1])), "rank_pattern is [1], expected a table"),
        (set("alpha_pattern", json!({"(": 2})), "alpha_pattern has ("),
        (set("modules_to_save", json!(["lm_head"])), "modules_to_save names \"lm_head\", and"),
        (
            set("modules_to_save", json!(["classifier"])),
            "\"classifier\", which the model does not have",
        ),
        (set("fan_in_fan_out", json!(true)), "fan_in_fan_out"),
        (set("bias", json!("some")), "bias is some"),
        (
            set("init_lora_weights", json!("pissa_niter_4")),
            "init_lora_weights is \"pissa_niter_4\"",
        ),
        (set("lora_bias", json!(true)), "lora_bias = true is not supported"),
        (set("target_parameters", json!(["x"])), "target_parameters"),
        (set("trainable_token_indices", json!([5])), "trainable_token_indices = [5]"),
        (set("use_qalora", json!(true)), "use_qalora"),
        (set("layer_replication", json!([[0, 4]])), "layer_replication"),
        (set("alora_invocation_tokens", json!([1])), "alora_invocation_tokens"),
        (set("something_new", json!({"a": 1})), "something_new = {\"a\":1} is not supported"),
    ];
    for (change, part) in settings {
        let folder = changed("lists", same, |config| change(config));
        let message = load(&base, &[(folder.path(), 1.0)]).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("adapter_"), "{part}: {message}");
    }
    let of_layer = "language_model.layers.1.self_attn.q_proj";
    let renames: [(&str, &str, &str); 6] = [
        ("lora_A", "lora_C", "has no lora_A"),
        (
            &format!("{of_layer}.lora_B"),
            "language_model.layers.9.self_attn.q_proj.lora_B",
            "no lora_",
        ),
        ("q_proj.lora_A", "r_proj.lora_A", "q_proj\" has no lora_A"),
        (
            "self_attn.q_proj",
            "mlp.q_proj",
            "has no place in the model; is it an adapter of another model?",
        ),
        ("lora_B.weight", "lora_magnitude_vector", "has no lora_B"),
        (
            "lora_A.weight",
            "lora_embedding_A",
            "lora_embedding_A and lora_embedding_B belong to embeddings",
        ),
    ];
    for (from, to, part) in renames {
        let folder = changed("lists", |name| name.replace(from, to), |_| {});
        let message = load(&base, &[(folder.path(), 1.0)]).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains(WEIGHTS), "{part}: {message}");
    }
    damaged_files(&base);
}

fn damaged_files(base: &Path) {
    let copy = || changed("lists", str::to_owned, |_| {});
    let message =
        |folder: &tempfile::TempDir| load(base, &[(folder.path(), 1.0)]).unwrap_err().to_string();
    let folder = copy();
    let bytes = fs::read(folder.path().join(WEIGHTS)).unwrap();
    fs::write(folder.path().join(WEIGHTS), &bytes[..bytes.len() - 4]).unwrap();
    assert!(message(&folder).contains("truncated"), "{}", message(&folder));
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    assert!(message(&folder).contains(WEIGHTS), "{}", message(&folder));
    fs::write(folder.path().join("adapter_model.bin"), "x").unwrap();
    assert!(message(&folder).contains("is a pickle"), "{}", message(&folder));
    let folder = copy();
    fs::write(folder.path().join(CONFIG), "[1]").unwrap();
    assert!(message(&folder).contains("no JSON object"), "{}", message(&folder));
    fs::write(folder.path().join(CONFIG), "{").unwrap();
    assert!(message(&folder).contains("not valid JSON"), "{}", message(&folder));
    // Numbers that are not finite, and a type that weights do not have.
    let folder = copy();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let first = tensors.names()[0].to_owned();
    let (shape, nan) = (tensors.tensor(&first).unwrap().shape().to_vec(), f32::NAN.to_le_bytes());
    let spoilt: Vec<u8> =
        nan.iter().copied().cycle().take(4 * shape.iter().product::<usize>()).collect();
    for (dtype, part) in [(Dtype::F32, "not finite"), (Dtype::I32, "is stored as I32")] {
        let all: Vec<(String, TensorView<'_>)> = tensors
            .iter()
            .map(|(name, tensor)| {
                let spoilt = TensorView::new(dtype, shape.clone(), &spoilt).unwrap();
                (name.to_owned(), if name == first { spoilt } else { tensor })
            })
            .collect();
        serialize_to_file(all, None, &folder.path().join(WEIGHTS)).unwrap();
        let message = message(&folder);
        assert!(message.contains(part) && message.contains(&first), "{message}");
    }
    // Vision adapters on a language model alone.
    let text = self::folder("text/model");
    let error = load(&text, &[(&self::folder("lists"), 1.0)]).unwrap_err().to_string();
    assert!(
        error.contains("without its vision tower") || error.contains("has no place"),
        "{error}"
    );
}

/// What is said before anything is loaded.
#[test]
fn memory_for_adapters_is_counted() {
    let base = base().model();
    let plain = checkpoint(&base, &[]).unwrap().inspection();
    let (recipe, lists) = (folder("recipe"), folder("lists"));
    let head = (plain.config.text.vocab_size * plain.config.text.hidden_size * 4) as u64;
    let bytes = |inspection: &gemma3_tch::Inspection| inspection.weight_bytes(Some(Kind::Float)).0;
    let with = |folder: &Path| checkpoint(&base, &[(folder, 1.0)]).unwrap().inspection();
    assert_eq!(bytes(&with(&recipe)), bytes(&plain) + head); // the head has weights of its own
    assert_eq!(bytes(&with(&lists)), bytes(&plain));
    let stored = Placement { kind: Some(Kind::Float), ..Placement::AS_STORED };
    assert!(plain.load_bytes(stored).0 < with(&lists).load_bytes(stored).0);
}
