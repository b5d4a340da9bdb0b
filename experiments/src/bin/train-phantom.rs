//! `train-phantom`: trains a small checkpoint on phantom radiographs, or evaluates one.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use experiments::recipe::{Recipe, Variant};
use experiments::train::Run;

/// Trains a small Gemma3 checkpoint on phantom radiographs.
#[derive(Parser)]
struct Args {
    /// Folder of the checkpoint and of the state of the run.
    #[arg(long)]
    out: PathBuf,
    /// What the data teach: sound or shortcut.
    #[arg(long, default_value = "sound", value_parser = Variant::parse)]
    variant: Variant,
    /// So many steps in each stage, to try things.
    #[arg(long)]
    steps: Option<usize>,
    /// Go on where the run in this folder stopped.
    #[arg(long)]
    resume: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    let recipe = Recipe::full(args.variant);
    let recipe = args.steps.map_or(recipe.clone(), |steps| recipe.with_steps(steps));
    Run::open(&recipe, &args.out, args.resume)?.finish(&mut std::io::stdout())
}
