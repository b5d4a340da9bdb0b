//! Files of weights: their headers, indices and what stands in their place.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{Surface, answer, checkpoint_with, no_files};
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::mutate;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "safetensors", fixed, random };

const FILE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn inspect() -> Call {
    Call::new(["inspect", "--model", "model"])
}

/// The header of the checkpoint's weights and what follows it.
struct Parts {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl Parts {
    fn of(material: &Material) -> Result<Self> {
        let bytes = material.file(FILE)?;
        let (length, rest) = bytes.split_at_checked(8).context("weights without a header")?;
        let length = u64::from_le_bytes(length.try_into()?) as usize;
        let (header, data) = rest.split_at_checked(length).context("weights without data")?;
        Ok(Self { header: serde_json::from_slice(header)?, data: data.to_vec() })
    }

    fn file(&self, header: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header, &self.data].concat()
    }

    /// With the header changed in one way.
    fn with(&self, change: impl Fn(&mut Map<String, Value>)) -> What {
        let mut header = self.header.clone();
        change(&mut header);
        What::File(self.file(Value::Object(header).to_string().as_bytes()))
    }
}

fn fixed(material: &Material) -> Result<Vec<Case>> {
    let parts = Parts::of(material)?;
    let first = parts.header.keys().find(|name| *name != "__metadata__").context("no tensor")?;
    let first = first.clone();
    let mut cases = Vec::new();
    let mut refused = |title: &str, what| {
        let case = checkpoint_with(title, FILE, what);
        cases.push(case.call(answer().refused(&[FILE])));
    };
    for (name, what) in no_files() {
        refused(name, what);
    }
    let length = |n: u64| What::File([&n.to_le_bytes()[..], b"{}"].concat());
    for n in [0, 3, 1 << 31, 1 << 63, u64::MAX] {
        refused("length of the header", length(n));
    }
    refused("only zeros", What::Zeros(1 << 32));
    refused("nested header", What::File(parts.file("[".repeat(100_000).as_bytes())));
    let field = |name: &'static str, value: Value| {
        parts.with(|header| header[&first][name] = value.clone())
    };
    refused("shape of 2⁶³", field("shape", json!([1_u64 << 63, 1_u64 << 63])));
    refused("offsets in reverse", field("data_offsets", json!([100, 4])));
    refused("offsets past the end", field("data_offsets", json!([0, u64::MAX])));
    refused("unknown dtype", field("dtype", json!("\u{1b}[31mF7")));
    let many = parts.with(|header| {
        for index in 0..150_000 {
            let tensor = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]});
            header.insert(format!("unknown.{index}"), tensor);
        }
    });
    cases.push(checkpoint_with("150 000 unknown tensors", FILE, many).call(answer()));
    let long = parts.with(|header| {
        let tensor = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]});
        header.insert("\u{1b}[31mlong".repeat(120_000), tensor);
    });
    cases.push(checkpoint_with("a tensor name of a megabyte", FILE, long).call(answer()));
    cases.extend(shards());
    Ok(cases)
}

/// Indices of several files.
fn shards() -> Vec<Case> {
    let index = |target: &str| json!({"weight_map": {"x": target}}).to_string().into_bytes();
    let mut cases = Vec::new();
    for target in ["../../picture.png", "/etc/hostname", "\u{1b}[31m.safetensors", "."] {
        let case = checkpoint_with(&format!("shard {target:?}"), INDEX, What::File(index(target)));
        let case = case.with("model/model.safetensors", What::Link("nowhere".to_owned()));
        cases.push(case.call(inspect().refused(&[])));
    }
    for (name, what) in no_files() {
        let case = checkpoint_with(&format!("index is {name}"), INDEX, what);
        let case = case.with("model/model.safetensors", What::Link("nowhere".to_owned()));
        cases.push(case.call(inspect().refused(&[])));
    }
    let case = checkpoint_with("links in a circle", FILE, What::Link(FILE.to_owned()));
    cases.push(case.call(inspect().refused(&[FILE])));
    cases
}

fn random(material: &Material, random: &mut SplitMix) -> Result<Case> {
    let parts = Parts::of(material)?;
    let bytes = match random.below(4) {
        0 => {
            let mut file = parts.file(Value::Object(parts.header.clone()).to_string().as_bytes());
            // Mostly in the header: the weights themselves are only numbers.
            let end = file.len().min(1 << (4 + random.below(20)));
            let rest = file.split_off(end);
            [mutate::bytes(random, &file), rest].concat()
        }
        _ => parts.file(&mutate::json(random, &Value::Object(parts.header.clone()))),
    };
    let case = checkpoint_with("changed weights", FILE, What::File(bytes));
    Ok(case.call(if random.once_in(2) { inspect() } else { answer() }))
}
