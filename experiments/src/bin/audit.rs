//! `audit`: audits of models whose right verdict is known.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use experiments::audits::{Audited, Subject, numbers, read, reliability, verdicts, write};
use experiments::document::{replaced, save};
use experiments::hybrid::merged::{self, Files};
use experiments::recipe::{Recipe, Variant};
use medgemma_explainer::DtypeSpec;
use model_audit::Verdict;
use safetensors::Dtype;

/// Audits models over sets of unseen phantoms.
#[derive(Parser)]
struct Args {
    /// The sound checkpoint.
    #[arg(long, default_value = "crates/explainer/models/phantom")]
    model: PathBuf,
    /// The checkpoint that learnt the shortcut.
    #[arg(long, default_value = "crates/explainer/models/phantom-shortcut")]
    shortcut: PathBuf,
    /// The checkpoint that learnt how often an answer is right.
    #[arg(long, default_value = "experiments/models/prior")]
    prior: PathBuf,
    /// Sets of 24 cases for each of them.
    #[arg(long, default_value_t = 10)]
    sets: u64,
    /// The hybrid, too: the folder of its vision tower and adapter.
    #[arg(long, requires = "decoder")]
    hybrid: Option<PathBuf>,
    /// The language model of the hybrid, a GGUF file.
    #[arg(long)]
    decoder: Option<PathBuf>,
    /// Sets for the hybrid.
    #[arg(long, default_value_t = 1)]
    hybrid_sets: u64,
    /// Only make the tables anew, from audit.json.
    #[arg(long)]
    page: bool,
    /// The tables go into audit.md of this folder, between its marks, and the data into audit.json.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    if args.page {
        return tables(&args, &read(&args.out.join(DATA))?);
    }
    let seed = Recipe::full(Variant::Sound).seed;
    let of = |name: &str, deserves: Verdict, model: &PathBuf| Subject {
        name: name.to_owned(),
        deserves,
        model: model.clone(),
        dtype: DtypeSpec::Float32,
        sets: args.sets,
    };
    let mut subjects = vec![
        of("`phantom`", Verdict::UsesThePart, &args.model),
        of("`phantom-shortcut`", Verdict::UsesAnotherPart, &args.shortcut),
        of("`prior`", Verdict::DoesNotNeedThePicture, &args.prior),
    ];
    let mut folders = Vec::new();
    if let (Some(hybrid), Some(decoder)) = (&args.hybrid, &args.decoder) {
        let tokenizer = decoder.with_file_name("tokenizer.json");
        let shortcut = hybrid.join("shortcut").join("mmproj.gguf");
        for (name, deserves, tower) in [
            ("hybrid", Verdict::UsesThePart, None),
            ("hybrid with a shortcut", Verdict::UsesAnotherPart, Some(shortcut.as_path())),
        ] {
            let files = Files { decoder, tokenizer: &tokenizer, trained: hybrid, tower };
            let folder = merged::write(files, Dtype::BF16)?;
            let (dtype, sets) = (DtypeSpec::BFloat16, args.hybrid_sets);
            subjects.push(Subject { dtype, sets, ..of(name, deserves, &folder.path().to_owned()) });
            folders.push(folder);
        }
    }
    let mut all: Vec<Audited> = Vec::new();
    for subject in &subjects {
        all.push(subject.audit(seed)?);
        println!("{}", verdicts(&all));
    }
    write(&all, &args.out.join(DATA))?;
    tables(&args, &all)
}

const DATA: &str = "audit.json";

fn tables(args: &Args, all: &[Audited]) -> Result<()> {
    let path = args.out.join("audit.md");
    let mut page = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    for (name, table) in
        [("verdicts", verdicts(all)), ("reliability", reliability(all)), ("numbers", numbers(all))]
    {
        println!("{table}");
        page = replaced(&page, name, &table)
            .with_context(|| format!("{} has no marks for {name}", path.display()))?;
    }
    save(&path, &page)
}
