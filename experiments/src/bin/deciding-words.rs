//! `deciding-words`: maps over texts in which one word decides the next.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use experiments::deciding::items::Item;
use experiments::deciding::measure::{measure, settings};
use experiments::deciding::page::{tables, to_json};
use experiments::document::{replaced, save};

/// Holds maps of a real language model against the words that decide what it says.
#[derive(Parser)]
struct Args {
    /// The GGUF file of Gemma 3 270M, or of another language model.
    #[arg(long)]
    model: PathBuf,
    /// The tables go into deciding-words.md of this folder, between its marks, and the data into deciding-words.json.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    let path = args.out.join("deciding-words.md");
    let page = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let (items, settings) = (Item::all(), settings());
    let found = measure(&args.model, &items, &settings)?;
    let tables = tables(&settings, &found);
    println!("{tables}");
    let page = replaced(&page, "words", &tables)
        .with_context(|| format!("{} has no marks for words", path.display()))?;
    save(&path, &page)?;
    save(&path.with_extension("json"), &format!("{:#}\n", to_json(&settings, &found)))
}
