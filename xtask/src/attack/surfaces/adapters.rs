//! Adapters beside a good checkpoint.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Surface, answer, no_files};
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::{mutate, picture};
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "adapters", fixed, random };

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// The one matrix that the adapter changes, `[outputs, inputs]` of the checkpoint `phantom`.
const MODULE: &str = "model.language_model.layers.0.mlp.up_proj";
const SIDES: [usize; 2] = [384, 128];
const RANK: usize = 2;

fn config() -> Value {
    json!({
        "peft_type": "LORA", "base_model_name_or_path": "phantom", "r": RANK, "lora_alpha": 4, "lora_dropout": 0.05,
        "target_modules": [MODULE], "modules_to_save": null, "bias": "none", "use_rslora": false, "use_dora": false,
        "rank_pattern": {}, "alpha_pattern": {}, "init_lora_weights": true, "layers_to_transform": null,
    })
}

/// A header with a tensor of each of these shapes in float32.
fn header(tensors: &[(String, Vec<usize>)]) -> (Value, usize) {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    (Value::Object(header), end)
}

fn file(header: &[u8], data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, &vec![0x3c; data]].concat()
}

fn tensors() -> Vec<(String, Vec<usize>)> {
    let name = |part: &str| format!("base_model.model.{MODULE}.{part}.weight");
    vec![(name("lora_A"), vec![RANK, SIDES[1]]), (name("lora_B"), vec![SIDES[0], RANK])]
}

fn weights() -> Vec<u8> {
    let (header, data) = header(&tensors());
    file(header.to_string().as_bytes(), data)
}

/// A checkpoint in `model`, an adapter in `adapter` with another file in the place of one, and a good picture.
fn adapter_with(title: &str, name: &str, what: What) -> Case {
    let case =
        Case::new(title).file("picture.png", picture::good()).with("model", What::Checkpoint);
    let case = case.file(format!("adapter/{CONFIG}"), config().to_string());
    case.file(format!("adapter/{WEIGHTS}"), weights()).with(format!("adapter/{name}"), what)
}

fn asked() -> Call {
    answer().and(["--adapter", "adapter"])
}

fn fixed(_: &Material) -> Result<Vec<Case>> {
    let text = |text: String| What::File(text.into_bytes());
    let good = adapter_with("a good adapter", "note.txt", text(String::new()));
    let mut cases = vec![good.call(asked().done())];
    for file in [CONFIG, WEIGHTS] {
        for (name, what) in no_files() {
            cases.push(adapter_with(name, file, what).call(asked().refused(&[file])));
        }
    }
    let mut refused = |title: &str, change: &dyn Fn(&mut Value)| {
        let mut value = config();
        change(&mut value);
        let case = adapter_with(title, CONFIG, text(value.to_string()));
        cases.push(case.call(asked().refused(&[CONFIG])));
    };
    let set =
        |field: &'static str, value: Value| move |config: &mut Value| config[field] = value.clone();
    refused(
        "an expression that goes back for ever",
        &set("target_modules", json!("(.*(?=(a))?.*)*(?=x)y")),
    );
    refused("an expression that is no expression", &set("target_modules", json!("\u{1b}[31m(")));
    refused("a long expression", &set("target_modules", json!("a|".repeat(1 << 20))));
    refused("many names", &set("target_modules", json!(vec!["q"; 100_000])));
    let many: serde_json::Map<String, Value> =
        (0..100_000).map(|n| (format!("x{n}"), json!(1))).collect();
    refused("many patterns", &move |config: &mut Value| {
        config["rank_pattern"] = Value::Object(many.clone());
    });
    refused("many names of whole modules", &set("modules_to_save", json!(vec!["q"; 100_000])));
    refused("a field that steers a terminal", &set("\u{1b}[31mx", json!("\u{202e}")));
    let nested = adapter_with("nested configuration", CONFIG, text(mutate::nested(100_000)));
    cases.push(nested.call(asked().refused(&[CONFIG])));
    // What is said of a rank is believed only as far as the file goes.
    let mut huge = tensors();
    for (_, shape) in &mut huge {
        shape.push(1 << 40);
    }
    let entries: serde_json::Map<String, Value> = huge
        .into_iter()
        .map(|(name, shape)| {
            (name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [0, 4] }))
        })
        .collect();
    let bytes = file(Value::Object(entries).to_string().as_bytes(), 4);
    let case = adapter_with("shapes without data", WEIGHTS, What::File(bytes));
    cases.push(case.call(asked().refused(&[WEIGHTS])));
    let case = adapter_with("base in a circle", CONFIG, {
        let mut value = config();
        value["base_model_name_or_path"] = json!("./adapter");
        text(value.to_string())
    });
    cases.push(case.call(Call::answer("adapter", "picture.png").refused(&["adapter"])));
    Ok(cases)
}

fn random(_: &Material, random: &mut SplitMix) -> Result<Case> {
    let (name, bytes) = match random.below(4) {
        0 => (WEIGHTS, mutate::bytes(random, &weights())),
        1 => {
            let (header, data) = header(&tensors());
            (WEIGHTS, file(&mutate::json(random, &header), data))
        }
        _ => (CONFIG, mutate::json(random, &config())),
    };
    let case = adapter_with("a changed adapter", name, What::File(bytes));
    let inspect = Call::new(["inspect", "--model", "model", "--adapter", "adapter"]);
    Ok(case.call(if random.once_in(2) { inspect } else { asked() }))
}
