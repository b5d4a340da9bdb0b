//! `quantised`: how far maps drift when weights are quantised.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use experiments::document::{replaced, save};
use experiments::quantised::measure::{Other, measure};
use experiments::quantised::{page, real};
use experiments::recipe::{Recipe, Variant};

/// Holds maps of the project's checkpoint in quantised formats against those in bfloat16.
#[derive(Parser)]
struct Args {
    /// The checkpoint.
    #[arg(long, default_value = "crates/explainer/models/phantom")]
    model: PathBuf,
    /// Unseen phantoms whose words are measured.
    #[arg(long, default_value_t = 200)]
    pictures: u64,
    /// The GGUF file of Gemma 3 270M, for the second table; without it that stays as it is.
    #[arg(long)]
    real: Option<PathBuf>,
    /// The tables go into quantised.md of this folder, between its marks, and the data into quantised.json.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    let seed = Recipe::full(Variant::Sound).seed;
    let others = Other::all(&args.model)?;
    let measured = measure(&args.model, (seed, args.pictures), &others)?;
    let first = measured.first().context("there is something to compare with")?;
    let table = format!(
        "{} pictures, {} right answers, {} words.\n\n{}",
        args.pictures,
        first.answers.len(),
        first.words.len(),
        page::table(&others, &measured)
    );
    println!("{table}");
    let path = args.out.join("quantised.md");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let text = replaced(&text, "drift", &table)
        .with_context(|| format!("{} has no marks for drift", path.display()))?;
    save(&path, &text)?;
    let data = page::to_json(&others, &measured, args.pictures);
    save(&args.out.join("quantised.json"), &format!("{data:#}\n"))?;
    args.real.as_deref().map_or(Ok(()), |file| types(file, &args.out))
}

/// The second table: products in bfloat16 against products in float32.
fn types(file: &Path, out: &Path) -> Result<()> {
    let lines = real::measure(file)?;
    let table = real::table(&lines);
    println!("{table}");
    let path = out.join("quantised.md");
    let text = std::fs::read_to_string(&path)?;
    let text = replaced(&text, "types", &table)
        .with_context(|| format!("{} has no marks for types", path.display()))?;
    save(&path, &text)?;
    save(&out.join("quantised-types.json"), &format!("{:#}\n", real::to_json(&lines)))
}
