//! `localize`: maps of the project's checkpoints against the masks of the phantoms.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attention_relevancy::Update;
use clap::Parser;
use experiments::document::{replaced, save};
use experiments::localize::benchmark::{self, Plan};
use experiments::localize::page::Results;
use experiments::localize::settings::{Goals, Method, Setting};
use experiments::localize::{randomized, sheet, tag};
use experiments::reader::Reader;
use experiments::recipe::{Recipe, Variant};

/// Compares maps of the project's checkpoints with the masks of what their words tell of.
#[derive(Parser)]
struct Args {
    /// The sound checkpoint.
    #[arg(long, default_value = "crates/explainer/models/phantom")]
    model: PathBuf,
    /// The checkpoint that learnt the shortcut.
    #[arg(long, default_value = "crates/explainer/models/phantom-shortcut")]
    shortcut: PathBuf,
    /// Unseen phantoms whose words are measured.
    #[arg(long, default_value_t = 200)]
    pictures: u64,
    /// Phantoms for each of the two studies: random weights, and the tag.
    #[arg(long, default_value_t = 40)]
    study: u64,
    /// The tables go into localization.md of this folder, between its marks, and the data into localization.json.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    let seed = Recipe::full(Variant::Sound).seed;
    let settings = Setting::all();
    let studied = vec![
        Setting { method: Method::Relevancy(Update::Additive), goals: Goals::Logit },
        Setting::CONTRAST,
    ];
    let plan = Plan { pictures: args.pictures, seed };
    let measured = benchmark::measure(&args.model, plan, &settings)?;
    println!("{} words of {} right answers", measured.items.len(), measured.right);
    let stages = randomized::measure(&args.model, (seed, args.study), &studied)?;
    println!("random weights: done");
    let tagged = [
        tag::measure(&args.model, args.study, &studied)?,
        tag::measure(&args.shortcut, args.study, &studied)?,
    ];
    let results =
        Results { settings, benchmark: measured, pictures: args.pictures, studied, stages, tagged };
    write(&args.out, &results)?;
    let [sound, shortcut] = [Reader::open(&args.model)?, Reader::open(&args.shortcut)?];
    let pictures = args.out.join("images");
    std::fs::create_dir_all(&pictures)?;
    sheet::methods(&sound, seed, &pictures.join("localization-methods.png"))?;
    let models = [("phantom", &sound), ("phantom-shortcut", &shortcut)];
    sheet::models(models, &pictures.join("localization-models.png"))
}

/// Puts each table between its marks in the page.
fn write(folder: &Path, results: &Results) -> Result<()> {
    let path = folder.join("localization.md");
    let mut page = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let measured = format!(
        "{} pictures, {} answers, {} of them right from the first token to the last.\n\n",
        results.pictures, results.benchmark.answers, results.benchmark.right
    );
    for (name, table) in [
        ("words", measured + &results.tables()),
        ("random", results.randomization()),
        ("tag", results.tag()),
    ] {
        println!("{table}");
        page = replaced(&page, name, &table)
            .with_context(|| format!("{} has no marks for {name}", path.display()))?;
    }
    save(&path, &page)?;
    save(&folder.join("localization.json"), &format!("{:#}\n", results.to_json()))
}
