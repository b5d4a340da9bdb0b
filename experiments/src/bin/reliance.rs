//! `reliance`: how often "does not depend on the picture" is wrong, on phantoms.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use experiments::document::{replaced, save};
use experiments::recipe::{Recipe, Variant};
use experiments::reliance::measure::{Plan, Subject, measure};
use experiments::reliance::page::Results;
use experiments::reliance::text_only::blinded;

/// Counts false verdicts on the reliance of words on the picture.
#[derive(Parser)]
struct Args {
    /// The sound checkpoint.
    #[arg(long, default_value = "crates/explainer/models/phantom")]
    model: PathBuf,
    /// The checkpoint that learnt the shortcut.
    #[arg(long, default_value = "crates/explainer/models/phantom-shortcut")]
    shortcut: PathBuf,
    /// Unseen phantoms whose words are rated.
    #[arg(long, default_value_t = 500)]
    pictures: u64,
    /// As many for the checkpoint that learnt the shortcut.
    #[arg(long, default_value_t = 100)]
    shortcut_pictures: u64,
    /// The number of the first one.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Where what is done is kept: a run that was stopped goes on from there.
    #[arg(long, default_value = "target/reliance.jsonl")]
    progress: PathBuf,
    /// The tables go into reliance.md of this folder, between its marks, and the data into reliance.json.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    let plan = Plan {
        pictures: args.first..args.first + args.pictures,
        seed: Recipe::full(Variant::Sound).seed,
        file: args.progress,
    };
    let blind = blinded(&args.model, plan.seed)?;
    let mut rated = BTreeMap::new();
    for (subject, folder, pictures) in [
        (Subject::Sound, args.model.as_path(), args.pictures),
        (Subject::Blind, blind.path(), args.pictures),
        (Subject::Shortcut, &args.shortcut, args.shortcut_pictures),
    ] {
        let plan = Plan { pictures: args.first..args.first + pictures, ..plan.clone() };
        rated.insert(subject, measure(subject, folder, &plan)?);
    }
    write(&args.out, &Results { pictures: plan.pictures, rated })
}

/// Puts each table between its marks in the page.
fn write(folder: &Path, results: &Results) -> Result<()> {
    let path = folder.join("reliance.md");
    let mut page = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    for (name, table) in [
        ("verdicts", results.progress() + "\n" + &results.verdicts()),
        ("blanks", results.blanks()),
    ] {
        println!("{table}");
        page = replaced(&page, name, &table)
            .with_context(|| format!("{} has no marks for {name}", path.display()))?;
    }
    save(&path, &page)?;
    save(&folder.join("reliance.json"), &format!("{:#}\n", results.to_json()))
}
