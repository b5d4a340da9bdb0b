//! Models in GGUF files: headers, vocabularies, blocks.

use anyhow::Result;

use super::{Surface, no_files};
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::mutate;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "GGUF files", fixed, random };

const FILE: &str = "model.gguf";

fn model_is(title: &str, what: What) -> Case {
    Case::new(title).with(FILE, what)
}

fn inspect() -> Call {
    Call::new(["inspect", "--model", FILE])
}

/// A text is continued: the file has no vision tower.
fn answer() -> Call {
    let asked = ["answer", "--model", FILE, "--prompt", "the heart", "--max-new-tokens", "1"];
    Call::new(asked).and(["--threads", "1"])
}

fn fixed(material: &Material) -> Result<Vec<Case>> {
    let good = material.gguf()?;
    let mut cases = vec![model_is("a good file", What::File(good.clone())).call(answer().done())];
    let mut refused = |title: &str, what: What| {
        cases.push(model_is(title, what).call(answer().refused(&[FILE])));
    };
    for (name, what) in no_files() {
        // A folder may hold a file of its own, and this one holds none.
        if !matches!(what, What::Folder) {
            refused(name, what);
        }
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        What::File(changed)
    };
    // Version, counts of tensors and of fields, length of the first name.
    refused("another version", with(4, &9_u32.to_le_bytes()));
    refused("the other byte order", with(4, &3_u32.to_be_bytes()));
    for count in [u64::MAX, 1 << 40, 1 << 20] {
        refused("many tensors", with(8, &count.to_le_bytes()));
        refused("many fields", with(16, &count.to_le_bytes()));
        refused("a long name", with(24, &count.to_le_bytes()));
    }
    refused("cut in its header", What::File(good[..good.len().min(3000)].to_vec()));
    refused("cut in its data", What::File(good[..good.len() - 1].to_vec()));
    refused("only zeros", What::Zeros(1 << 32));
    Ok(cases)
}

fn random(material: &Material, random: &mut SplitMix) -> Result<Case> {
    let mut file = material.gguf()?;
    // Mostly in the header: the weights themselves are only numbers.
    let end = file.len().min(1 << (6 + random.below(16)));
    let rest = file.split_off(end);
    let bytes = [mutate::bytes(random, &file), rest].concat();
    let case = model_is("changed file", What::File(bytes));
    Ok(case.call(if random.once_in(2) { inspect() } else { answer() }))
}
