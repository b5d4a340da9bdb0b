//! `train-phantom`: trains a small checkpoint on phantom radiographs, or evaluates one.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use experiments::evaluate::{Plan, evaluate};
use experiments::hybrid;
use experiments::recipe::{Recipe, Variant};
use experiments::scenes::Purpose;
use experiments::train::Run;

/// Trains a small Gemma3 checkpoint on phantom radiographs, or evaluates one.
#[derive(Parser)]
struct Args {
    /// Folder of the checkpoint and of the state of the run.
    #[arg(long, required_unless_present = "evaluate")]
    out: Option<PathBuf>,
    /// What the data teach: sound, shortcut or prior.
    #[arg(long, default_value = "sound", value_parser = Variant::parse)]
    variant: Variant,
    /// So many steps in each stage, to try things.
    #[arg(long)]
    steps: Option<usize>,
    /// Train the hybrid: this GGUF file of a language model stays as it is, behind the vision tower in --tower.
    #[arg(long)]
    decoder: Option<PathBuf>,
    /// The checkpoint whose vision tower the hybrid begins with.
    #[arg(long, default_value = "crates/explainer/models/phantom", requires = "decoder")]
    tower: PathBuf,
    /// Begin with what the hybrid in this folder has learnt, in the place of the first lessons.
    #[arg(long, requires = "decoder")]
    learnt: Option<PathBuf>,
    /// Give that hybrid the vision tower in --tower, with a projector that tells the decoder the same of each cell.
    #[arg(long, requires = "learnt")]
    new_tower: bool,
    /// Go on where the run in this folder stopped.
    #[arg(long)]
    resume: bool,
    /// Ask the checkpoint in this folder about phantoms it has not seen; writes evaluation.json there.
    #[arg(long, conflicts_with_all = ["out", "steps", "resume"])]
    evaluate: Option<PathBuf>,
    /// How many phantoms.
    #[arg(long, default_value_t = 500, requires = "evaluate")]
    pictures: u64,
    /// Ask about phantoms that are not those of the last word, to see how a training goes.
    #[arg(long, requires = "evaluate", requires = "decoder")]
    rehearsal: bool,
    /// Side of these phantoms in pixels.
    #[arg(long, default_value_t = 896, requires = "evaluate")]
    size: u32,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    ensure!(
        args.decoder.is_none() || args.variant != Variant::Prior,
        "--variant prior is not for a hybrid"
    );
    if let Some(decoder) = &args.decoder {
        return of_hybrid(&args, decoder);
    }
    let recipe = Recipe::full(args.variant);
    if let Some(folder) = &args.evaluate {
        let plan = Plan {
            pictures: args.pictures,
            size: args.size,
            seed: recipe.seed,
            variant: args.variant,
        };
        return report(folder, &plan);
    }
    let recipe = args.steps.map_or(recipe.clone(), |steps| recipe.with_steps(steps));
    let out = args.out.context("--out is missing")?;
    Run::open(&recipe, &out, args.resume)?.finish(&mut std::io::stdout())
}

/// The hybrid: trained, or asked about phantoms.
fn of_hybrid(args: &Args, decoder: &Path) -> Result<()> {
    let recipe = match args.learnt {
        Some(_) if args.new_tower => hybrid::run::Recipe::further(args.variant).behind_new_tower(),
        Some(_) => hybrid::run::Recipe::further(args.variant),
        None => hybrid::run::Recipe::full(args.variant),
    };
    if let Some(folder) = &args.evaluate {
        let plan = hybrid::evaluate::Plan {
            pictures: args.pictures,
            seed: recipe.seed,
            variant: args.variant,
            purpose: if args.rehearsal { Purpose::Dialogue } else { Purpose::Evaluation },
        };
        let tokenizer = decoder.with_file_name("tokenizer.json");
        let files =
            hybrid::merged::Files { decoder, tokenizer: &tokenizer, trained: folder, tower: None };
        let evaluation = hybrid::evaluate::evaluate(files, &plan)?;
        print!("{}", evaluation.text());
        let path = folder.join(format!("evaluation-{}.json", plan.variant.name()));
        return std::fs::write(&path, format!("{:#}\n", evaluation.to_json(&plan)))
            .with_context(|| format!("could not write {}", path.display()));
    }
    let recipe = args.steps.map_or(recipe.clone(), |steps| recipe.with_steps(steps));
    let out = args.out.as_ref().context("--out is missing")?;
    let sources = hybrid::run::Sources {
        decoder: decoder.to_owned(),
        tower: args.tower.clone(),
        learnt: args.learnt.clone(),
        new_tower: args.new_tower,
    };
    let mut run = hybrid::run::Run::open(&recipe, &sources, out, args.resume)?;
    run.finish(&mut std::io::stdout())
}

fn report(folder: &Path, plan: &Plan) -> Result<()> {
    let evaluation = evaluate(folder, plan)?;
    print!("{}", evaluation.text());
    let path = folder.join(format!("evaluation-{}-{}.json", plan.variant.name(), plan.size));
    std::fs::write(&path, format!("{:#}\n", evaluation.to_json(plan)))
        .with_context(|| format!("could not write {}", path.display()))
}
