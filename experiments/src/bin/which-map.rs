//! `which-map`: the table of all studies on one page.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use experiments::document::{replaced, save};
use experiments::which_map::{Studies, table};

/// Puts what localize and deciding-words found into one table; measures nothing.
#[derive(Parser)]
struct Args {
    /// Where the data of the studies are; the table goes into which-map.md, between its marks.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let Args { out } = Args::parse();
    let data = |name: &str| -> Result<_> { Ok(serde_json::from_str(&read(&out.join(name))?)?) };
    let studies = Studies {
        phantom: data("localization.json")?,
        hybrid: data("localization-hybrid.json")?,
        texts: data("deciding-words.json")?,
    };
    let path = out.join("which-map.md");
    let table = table(&studies)?;
    println!("{table}");
    let page = replaced(&read(&path)?, "methods", &table)
        .with_context(|| format!("{} has no marks for methods", path.display()))?;
    save(&path, &page)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}
