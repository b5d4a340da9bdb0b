//! `tokenizer.json`: parts that the library panics on, and those that grow without end.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Surface, answer, checkpoint_with, no_files};
use crate::attack::case::{Case, What};
use crate::attack::material::Material;
use crate::attack::mutate;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "tokenizer.json", fixed, random };

const FILE: &str = "tokenizer.json";

fn fixed(material: &Material) -> Result<Vec<Case>> {
    let whole: Value = serde_json::from_str(&material.text(FILE)?)?;
    let mut cases = Vec::new();
    for (name, what) in no_files() {
        let case = checkpoint_with(name, FILE, what);
        cases.push(case.call(answer().refused(&[FILE])));
    }
    let case = checkpoint_with("larger than any", FILE, What::Zeros(1 << 31));
    cases.push(case.call(answer().refused(&[FILE])));
    let nested = mutate::nested(100_000).into_bytes();
    let case = checkpoint_with("nested", FILE, What::File(nested));
    cases.push(case.call(answer().refused(&[FILE])));
    for (title, field, value) in parts() {
        let mut changed = whole.clone();
        changed[field] = value;
        let what = What::File(changed.to_string().into_bytes());
        cases.push(checkpoint_with(title, FILE, what).call(answer().refused(&[FILE])));
    }
    let mut changed = whole.clone();
    changed["model"]["dropout"] = json!(0.5);
    let what = What::File(changed.to_string().into_bytes());
    let case = checkpoint_with("random tokens", FILE, what);
    cases.push(case.call(answer().refused(&[FILE, "dropout"])));
    Ok(cases)
}

/// Fields of the whole with values that no Gemma3 tokenizer has.
fn parts() -> Vec<(&'static str, &'static str, Value)> {
    let charsmap = |map: &str| json!({"type": "Precompiled", "precompiled_charsmap": map});
    let text = |n| "grow ".repeat(n);
    let replace = json!({"type": "Replace", "pattern": {"Regex": "."}, "content": text(2000)});
    let prepend = json!({"type": "Prepend", "prepend": text(1 << 20)});
    let template = json!({
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "B", "type_id": 0}}],
        "pair": [],
        "special_tokens": {},
    });
    vec![
        ("an empty map of characters", "normalizer", charsmap("")),
        ("a map of three bytes", "normalizer", charsmap("AAAA")),
        ("a map of four gigabytes", "normalizer", charsmap("/////w==")),
        ("a map that points past its end", "normalizer", charsmap("BAAAAP////9hYmM=")),
        ("a map with half an entry", "normalizer", charsmap("CAAAAAAAAAAAAAAAYWJj")),
        ("pieces of length 0", "pre_tokenizer", json!({"type": "FixedLength", "length": 0})),
        ("a template of what is not there", "post_processor", template),
        (
            "replacements that grow",
            "normalizer",
            json!({"type": "Sequence", "normalizers": [replace, replace, replace]}),
        ),
        (
            "megabytes in front",
            "normalizer",
            json!({"type": "Sequence", "normalizers": vec![prepend; 64]}),
        ),
        (
            "an expression that backtracks",
            "pre_tokenizer",
            json!({
                "type": "Split", "pattern": {"Regex": "(?=(a|a|b)*+c)(a*)*$"}, "behavior": "Isolated", "invert": false,
            }),
        ),
    ]
}

fn random(material: &Material, random: &mut SplitMix) -> Result<Case> {
    let mut document: Value = serde_json::from_str(&material.text(FILE)?)?;
    if random.once_in(3) {
        let parts = parts();
        let (_, field, value) = random.pick(&parts);
        document[*field] = value.clone();
    }
    let bytes = mutate::json(random, &document);
    let case = checkpoint_with("changed tokenizer", FILE, What::File(bytes));
    Ok(case.call(answer()))
}
