//! Forms of quantised weights that are recognised and not read, so that a checkpoint in one of them is named and not found full of holes.
//!
//! `config.json` says how transformers is to read the weights (`quantization_config`, `compression_config` before there was that), or how
//! MLX is (`quantization`). Where it says nothing, tensors tell by what stands beside them.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::{Map, Value};

use crate::Error;
use crate::shown::quoted;

/// `quant_method` in `config.json`, and what people call it.
const METHODS: [(&str, &str); 15] = [
    ("awq", "AWQ"),
    ("gptq", "GPTQ"),
    ("torchao", "torchao"),
    ("compressed-tensors", "compressed-tensors"),
    ("fp8", "FP8"),
    ("fbgemm_fp8", "FBGEMM (FP8)"),
    ("modelopt", "ModelOpt"),
    ("mxfp4", "MXFP4"),
    ("hqq", "HQQ"),
    ("quanto", "Quanto"),
    ("aqlm", "AQLM"),
    ("eetq", "EETQ"),
    ("higgs", "HIGGS"),
    ("vptq", "VPTQ"),
    ("auto-round", "AutoRound"),
];

const INT8: &str = "bitsandbytes to int8 (LLM.int8)";
const FP4: &str = "bitsandbytes to fp4";

/// What the name of a tensor ends in where weights are quantised in such a form.
const TENSORS: [(&str, &str); 8] = [
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".SCB", INT8),
    (".quant_state.bitsandbytes__fp4", FP4),
    (".weight_packed", "compressed-tensors"),
    (".weight_scale", "compressed-tensors (FP8 or int8)"),
    (".weight_scale_inv", "FP8"),
    (".weight_shape", "compressed-tensors"),
];

/// Refuses what `config.json` says of quantised weights, if they are not bitsandbytes' in NF4.
pub(crate) fn check_config(config: &Map<String, Value>) -> Result<(), Error> {
    let text = config.get("text_config").and_then(Value::as_object);
    for (prefix, part) in [("", Some(config)), ("text_config.", text)] {
        let Some(part) = part else { continue };
        for field in ["quantization_config", "compression_config", "quantization"] {
            let Some(found) = part.get(field).and_then(Value::as_object) else { continue };
            if let Some((within, form)) = refused(found) {
                let place = format!("config.json ({prefix}{field}{within})");
                return Err(Error::Quantised { place, form });
            }
        }
    }
    Ok(())
}

/// The field that decides, and what it says, where that is not read.
fn refused(found: &Map<String, Value>) -> Option<(&'static str, String)> {
    let is_set = |field: &str| found.get(field).and_then(Value::as_bool) == Some(true);
    let text = |field: &str| {
        let value = found.get(field).filter(|value| !value.is_null());
        value.map(|value| value.as_str().map(str::to_lowercase))
    };
    let method = ".quant_method";
    match text("quant_method") {
        Some(Some(name)) if name != "bitsandbytes" => {
            let known = METHODS.iter().find(|(method, _)| *method == name);
            let form = known.map_or_else(
                || format!("a method named {}", quoted(&name)),
                |(_, form)| (*form).to_owned(),
            );
            Some((method, form))
        }
        Some(None) => Some((method, "a method that is not named by a text".to_owned())),
        // Of bitsandbytes, also where an old file does not say so.
        _ if is_set("load_in_8bit") => Some((".load_in_8bit", INT8.to_owned())),
        _ if is_set("load_in_4bit") => match text("bnb_4bit_quant_type") {
            None => None, // tensors tell
            Some(Some(kind)) if kind == "nf4" => None,
            Some(Some(kind)) if kind == "fp4" => Some((".bnb_4bit_quant_type", FP4.to_owned())),
            Some(kind) => {
                let kind = quoted(&kind.unwrap_or_default());
                Some((".bnb_4bit_quant_type", format!("bitsandbytes to a type named {kind}")))
            }
        },
        None if found.contains_key("bits") && found.contains_key("group_size") => {
            Some(("", "MLX".to_owned()))
        }
        _ => None,
    }
}

/// Refuses a file whose tensors are quantised in a form that is not read.
pub(crate) fn check_tensors<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, &'a TensorInfo)>,
) -> Result<(), Error> {
    let mut found: Vec<(&str, &str)> =
        tensors.filter_map(|(name, info)| Some((name, form(name, info)?))).collect();
    found.sort_unstable(); // a header has no order
    let Some((name, form)) = found.first() else { return Ok(()) };
    let place = format!("{} (tensor {})", path.display(), quoted(name));
    Err(Error::Quantised { place, form: (*form).to_owned() })
}

fn form(name: &str, info: &TensorInfo) -> Option<&'static str> {
    if let Some((_, form)) = TENSORS.iter().find(|(suffix, _)| name.ends_with(suffix)) {
        return Some(form);
    }
    match info.dtype {
        Dtype::F8_E4M3 | Dtype::F8_E5M2 => Some("FP8"),
        Dtype::U32 if name.ends_with(".weight") => Some("MLX"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(config: &Value) -> String {
        let checked = check_config(config.as_object().unwrap());
        checked.map_or_else(|error| error.to_string(), |()| String::new())
    }

    /// `tests/formats.rs` has the usual spellings.
    #[test]
    fn rare_spellings_are_understood() {
        let gptq = json!({ "quantization_config": { "quant_method": "GPTQ" } });
        for (config, start) in [
            (
                gptq.clone(),
                "config.json (quantization_config.quant_method) says that the weights are quantised by GPTQ, ",
            ),
            (
                json!({ "text_config": gptq }),
                "config.json (text_config.quantization_config.quant_method) says",
            ),
            (
                json!({ "quantization_config": { "quant_method": 7 } }),
                "config.json (quantization_config.quant_method) says",
            ),
            (
                json!({ "quantization_config": { "load_in_4bit": true, "bnb_4bit_quant_type": "\u{1b}" } }),
                r#"config.json (quantization_config.bnb_4bit_quant_type) says that the weights are quantised by bitsandbytes to a type named "\u{1b}", "#,
            ),
            (
                json!({ "quantization_config": { "group_size": 64, "bits": 4 } }),
                "config.json (quantization_config) says that the weights are quantised by MLX, ",
            ),
            (
                json!({ "compression_config": { "quant_method": "compressed-tensors" } }),
                "config.json (compression_config.quant_method) says",
            ),
        ] {
            let message = message(&config);
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn what_is_read_or_not_quantised_passes() {
        for config in [
            json!({}),
            json!({ "quantization_config": null }),
            json!({ "quantization_config": {} }),
            json!({ "quantization_config": {
                "quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false,
                "_load_in_4bit": true, "bnb_4bit_quant_type": "nf4",
            } }),
            json!({ "quantization_config": { "quant_method": "bitsandbytes", "load_in_4bit": true } }),
        ] {
            assert_eq!(message(&config), "", "{config}");
        }
        let info = |dtype| TensorInfo { dtype, shape: vec![2, 2], data_offsets: (0, 0) };
        let nf4 = [
            ("a.weight", info(Dtype::U8)),
            ("a.weight.absmax", info(Dtype::U8)),
            ("a.weight.quant_state.bitsandbytes__nf4", info(Dtype::U8)),
            ("b.weight", info(Dtype::BF16)),
        ];
        let tensors = nf4.iter().map(|(name, info)| (*name, info));
        assert!(check_tensors(Path::new("model.safetensors"), tensors).is_ok());
    }
}
