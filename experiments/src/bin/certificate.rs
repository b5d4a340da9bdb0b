//! `certificate`: how often maps of the project's checkpoints are ahead of their controls.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use experiments::certificates::{Certified, measure};
use experiments::document::{replaced, save};
use experiments::recipe::{Recipe, Variant};
use medgemma_explainer::Operator;
use serde_json::json;

/// Certifies maps of words of reports about unseen phantoms.
#[derive(Parser)]
struct Args {
    /// The sound checkpoint.
    #[arg(long, default_value = "crates/explainer/models/phantom")]
    model: PathBuf,
    /// The checkpoint that learnt the shortcut.
    #[arg(long, default_value = "crates/explainer/models/phantom-shortcut")]
    shortcut: PathBuf,
    /// Unseen phantoms, for each checkpoint.
    #[arg(long, default_value_t = 40)]
    pictures: u64,
    /// The tables go into certificate.md of this folder, between its marks, and the data into certificate.json.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    let seed = Recipe::full(Variant::Sound).seed;
    let of =
        |folder: &Path, variant| measure(folder, (seed, variant), args.pictures, &Operator::ALL);
    let sound = of(&args.model, Variant::Sound)?;
    let shortcut = of(&args.shortcut, Variant::Shortcut)?;
    write(&args.out, &sound, &shortcut)
}

fn write(folder: &Path, sound: &Certified, shortcut: &Certified) -> Result<()> {
    let path = folder.join("certificate.md");
    let mut page = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let words = format!(
        "| words | number | ahead by all | by some | by none | no effect of the picture | no curves |\n\
         |---|---:|---:|---:|---:|---:|---:|\n{}{}",
        sound.words("`phantom`"),
        shortcut.words("`phantom-shortcut`, opacities alone")
    );
    for (name, table) in [
        ("words", words),
        ("methods", sound.methods()),
        ("shortcut", shortcut.methods()),
        ("cost", sound.cost()),
    ] {
        println!("{table}");
        page = replaced(&page, name, &table)
            .with_context(|| format!("{} has no marks for {name}", path.display()))?;
    }
    save(&path, &page)?;
    let data = json!({ "sound": sound.to_json(), "shortcut": shortcut.to_json() });
    save(&folder.join("certificate.json"), &format!("{data}\n"))
}
