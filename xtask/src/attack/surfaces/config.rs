//! `config.json` and the small JSON files beside it.

use anyhow::Result;
use serde_json::Value;

use super::{Surface, answer, checkpoint_with, no_files};
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::mutate;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "config.json", fixed, random };

const COMPANIONS: [&str; 4] = [
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
];

fn inspect() -> Call {
    Call::new(["inspect", "--model", "model"])
}

fn fixed(material: &Material) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut refused = |title: &str, what| {
        let case = checkpoint_with(title, "config.json", what);
        cases.push(case.call(inspect().refused(&["config.json"])));
    };
    for (name, what) in no_files() {
        refused(name, what);
    }
    refused("larger than any", What::Zeros(1 << 30));
    refused("nested", What::File(mutate::nested(100_000).into_bytes()));
    let whole: Value = serde_json::from_str(&material.text("config.json")?)?;
    let numbers = ["0", "-1", "2147483648", "9223372036854775807", "1e308", "null", "NaN", "\"x\""];
    for field in ["num_hidden_layers", "vocab_size"] {
        for number in numbers {
            let old = format!("\"{field}\":{}", whole["text_config"][field]);
            let text = whole.to_string().replacen(&old, &format!("\"{field}\":{number}"), 1);
            let title = format!("{field} = {number}");
            let case = checkpoint_with(&title, "config.json", What::File(text.into()));
            cases.push(case.call(inspect()));
        }
    }
    for name in COMPANIONS {
        let case = checkpoint_with(&format!("{name} is a pipe"), name, What::Pipe);
        cases.push(case.call(answer().refused(&[name])));
    }
    Ok(cases)
}

fn random(material: &Material, random: &mut SplitMix) -> Result<Case> {
    let is_config = !random.once_in(3);
    let name = if is_config { "config.json" } else { random.pick(&COMPANIONS) };
    let document: Value = serde_json::from_str(&material.text(name)?)?;
    let bytes = mutate::json(random, &document);
    let case = checkpoint_with(&format!("changed {name}"), name, What::File(bytes));
    // To inspect reads the configuration and the headers of the weights alone.
    Ok(case.call(if is_config && random.once_in(2) { inspect() } else { answer() }))
}
