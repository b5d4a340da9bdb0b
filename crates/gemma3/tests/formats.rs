//! Checkpoints in forms that are recognised and not read: named, with what to do, by whoever loads or inspects them.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::path::Path;

use gemma3_tch::{Checkpoint, CheckpointPlace, Inspection};
use serde_json::{Value, json};

const INSTEAD: &str = "which is not read; use the checkpoint that they were made of (bfloat16), one that bitsandbytes quantised to NF4, or a GGUF file of the model (Q4_K_M, Q8_0)";

/// A folder of transformers: a small configuration with some fields more, and one file of tensors of two bytes.
fn folder(fields: &Value, tensors: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut config = json!({
        "model_type": "gemma3_text", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "sliding_window": 16,
    });
    config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let (mut header, mut data) = (json!({}), Vec::new());
    for (name, dtype) in tensors {
        let bytes = match *dtype {
            "U8" | "I8" | "F8_E4M3" => 1,
            "F16" | "BF16" => 2,
            "I64" => 8,
            _ => 4,
        };
        let start = data.len();
        data.resize(start + bytes, 0);
        header[*name] =
            json!({ "dtype": dtype, "shape": [1], "data_offsets": [start, data.len()] });
    }
    let header = header.to_string().into_bytes();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    dir
}

fn message(dir: &Path) -> String {
    let inspected = Inspection::open(dir).err().unwrap().to_string();
    let loaded = Checkpoint::open(dir).err().unwrap().to_string();
    assert_eq!(loaded, inspected);
    loaded
}

#[test]
fn a_folder_in_another_form_is_named_by_its_configuration() {
    let method = |name: &str| json!({ "quantization_config": { "quant_method": name, "bits": 4 } });
    let bitsandbytes = |field: &str, value: Value| {
        let mut fields =
            json!({ "quant_method": "bitsandbytes", "load_in_4bit": field != "load_in_8bit" });
        fields[field] = value;
        json!({ "quantization_config": fields })
    };
    let mlx = json!({ "quantization": { "group_size": 64, "bits": 4 } });
    for (fields, field, form) in [
        (method("awq"), "quantization_config.quant_method", "AWQ"),
        (method("gptq"), "quantization_config.quant_method", "GPTQ"),
        (method("torchao"), "quantization_config.quant_method", "torchao"),
        (method("compressed-tensors"), "quantization_config.quant_method", "compressed-tensors"),
        (method("fp8"), "quantization_config.quant_method", "FP8"),
        (method("tomorrow"), "quantization_config.quant_method", "a method named \"tomorrow\""),
        (
            bitsandbytes("load_in_8bit", true.into()),
            "quantization_config.load_in_8bit",
            "bitsandbytes to int8 (LLM.int8)",
        ),
        (
            bitsandbytes("bnb_4bit_quant_type", "fp4".into()),
            "quantization_config.bnb_4bit_quant_type",
            "bitsandbytes to fp4",
        ),
        (mlx, "quantization", "MLX"),
    ] {
        let dir = folder(&fields, &[("model.norm.weight", "BF16")]);
        let expected = format!(
            "config.json ({field}) says that the weights are quantised by {form}, {INSTEAD}"
        );
        assert_eq!(message(dir.path()), expected);
    }
}

#[test]
fn a_folder_in_another_form_is_named_by_its_tensors() {
    let layer = "model.layers.0.mlp.up_proj";
    for (parts, tensor, form) in [
        (
            &[(".qweight", "I32"), (".qzeros", "I32"), (".scales", "F16")][..],
            ".qweight",
            "GPTQ or AWQ",
        ),
        (&[(".weight", "U32"), (".scales", "BF16"), (".biases", "BF16")], ".weight", "MLX"),
        (&[(".weight", "I8"), (".SCB", "F32")], ".SCB", "bitsandbytes to int8 (LLM.int8)"),
        (
            &[(".weight", "U8"), (".weight.quant_state.bitsandbytes__fp4", "U8")],
            ".weight.quant_state.bitsandbytes__fp4",
            "bitsandbytes to fp4",
        ),
        (
            &[(".weight_packed", "I32"), (".weight_shape", "I64")],
            ".weight_packed",
            "compressed-tensors",
        ),
        (&[(".weight", "F8_E4M3")], ".weight", "FP8"),
    ] {
        let parts: Vec<(String, &str)> =
            parts.iter().map(|(part, dtype)| (format!("{layer}{part}"), *dtype)).collect();
        let tensors: Vec<(&str, &str)> =
            parts.iter().map(|(name, dtype)| (name.as_str(), *dtype)).collect();
        let dir = folder(&json!({}), &tensors);
        let expected = format!(
            "{} (tensor \"{layer}{tensor}\") says that the weights are quantised by {form}, {INSTEAD}",
            dir.path().join("model.safetensors").display()
        );
        assert_eq!(message(dir.path()), expected);
    }
}

/// A header without tensors, of a model of this architecture.
fn gguf(architecture: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let counts = [0_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat();
    let start = [&b"GGUF"[..], &3_u32.to_le_bytes(), &counts].concat();
    [start, text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text(architecture)].concat()
}

#[test]
fn a_gguf_file_of_another_architecture_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (architecture, expected) in [
        (
            "llama",
            "is \"llama\", another architecture; only that of Gemma 3 is supported, \"gemma3\": name a GGUF file of Gemma 3 or MedGemma",
        ),
        ("gemma3n", "is \"gemma3n\", another architecture"),
        ("clip", "is \"clip\": this file is a vision tower, which goes beside a language model"),
    ] {
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, gguf(architecture)).unwrap();
        let place = CheckpointPlace::find(&path, None, &[]).unwrap();
        let message = Checkpoint::at(&place).err().unwrap().to_string();
        let start = format!("{}: the field general.architecture {expected}", path.display());
        assert!(message.starts_with(&start), "{message}");
    }
}
