//! `localize`: maps of the project's checkpoints against the masks of the phantoms.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attention_relevancy::Update;
use clap::Parser;
use experiments::document::{replaced, save};
use experiments::hybrid::merged;
use experiments::localize::benchmark::{self, Plan};
use experiments::localize::case::{Language, Usual};
use experiments::localize::page::{self, Results};
use experiments::localize::settings::{Effort, Goals, Method, Setting};
use experiments::localize::tag::{self, Tagged};
use experiments::localize::{randomized, sheet};
use experiments::reader::Reader;
use experiments::recipe::{Recipe, Variant};
use safetensors::Dtype;

/// Compares maps of the project's checkpoints with the masks of what their words tell of.
#[derive(Parser)]
struct Args {
    /// The sound checkpoint.
    #[arg(long, default_value = "crates/explainer/models/phantom")]
    model: PathBuf,
    /// The checkpoint that learnt the shortcut, crates/explainer/models/phantom-shortcut unless this is given; with --hybrid the folder
    /// of a hybrid that learnt it, or a GGUF file with the vision tower that makes one of the hybrid in --hybrid.
    #[arg(long)]
    shortcut: Option<PathBuf>,
    /// Unseen phantoms whose words are measured.
    #[arg(long, default_value_t = 200)]
    pictures: u64,
    /// Phantoms for each of the two studies: random weights, and the tag.
    #[arg(long, default_value_t = 40)]
    study: u64,
    /// The folder of a trained hybrid, in the place of the two checkpoints.
    #[arg(long, requires = "decoder", conflicts_with = "model")]
    hybrid: Option<PathBuf>,
    /// The GGUF file of its language model; tokenizer.json lies beside it.
    #[arg(long, requires = "hybrid")]
    decoder: Option<PathBuf>,
    /// The number of the first of them: from 1000 on are phantoms that no choice was made on.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Only the relevancy by each objective, without the studies; of a hybrid on words of what its reports name.
    #[arg(long, conflicts_with_all = ["study", "shortcut"])]
    objectives: bool,
    /// Only how alike maps and occlusions are, on all words of what the reports of a hybrid name: some minutes a picture.
    #[arg(long, requires = "hybrid", conflicts_with_all = ["study", "shortcut", "objectives"])]
    occlusions: bool,
    /// Only the study of the tag, on --study phantoms, into the page and the data that are there.
    #[arg(long, requires = "shortcut", conflicts_with = "objectives")]
    tag: bool,
    /// The tables go into localization.md of this folder, between its marks, and the data into localization.json; those of a
    /// hybrid into localization-hybrid.md and .json.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

/// The most words of an answer of the hybrid that are measured.
const WORDS: usize = 3;

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(1); // the lanes are the threads
    let seed = Recipe::full(Variant::Sound).seed;
    match args.hybrid.as_ref().zip(args.decoder.as_ref()) {
        Some((trained, decoder)) => of_hybrid(&args, seed, trained, decoder),
        None => of_small_models(&args, seed),
    }
}

/// The settings of the two studies.
fn studied() -> Vec<Setting> {
    vec![
        Setting { method: Method::Relevancy(Update::Additive), goals: Goals::Logit },
        Setting::DEFAULT,
    ]
}

fn of_small_models(args: &Args, seed: u64) -> Result<()> {
    let page = Page::open(&args.out, "localization")?;
    let plan = Plan { first: args.first, ..Plan::even(args.pictures, args.study, seed) };
    if args.objectives {
        return page.write_objectives(plan, &args.model, &Language::Places);
    }
    if let (true, Some(shortcut)) = (args.tag, &args.shortcut) {
        return page.write_tag(&tagged(args, [&args.model, shortcut], &Language::Places)?);
    }
    let found = measured(args, plan, (&args.model, &Language::Places), Setting::all())?;
    let usual = PathBuf::from("crates/explainer/models/phantom-shortcut");
    let shortcut = args.shortcut.as_ref().unwrap_or(&usual);
    let tagged = tagged(args, [&args.model, shortcut], &Language::Places)?;
    page.write(&Results { tagged: Some(tagged), ..found })?;
    let [sound, shortcut] = [Reader::open(&args.model)?, Reader::open(shortcut)?];
    let pictures = args.out.join("images");
    std::fs::create_dir_all(&pictures)?;
    let path = pictures.join("localization-methods.png");
    sheet::methods(&sound, &Language::Places, seed, &path)?;
    let models = [("phantom", &sound), ("phantom-shortcut", &shortcut)];
    sheet::models(models, &pictures.join("localization-models.png"))
}

fn of_hybrid(args: &Args, seed: u64, trained: &Path, decoder: &Path) -> Result<()> {
    let page = Page::open(&args.out, "localization-hybrid")?;
    let tokenizer = decoder.with_file_name("tokenizer.json");
    // A hybrid of its own, or another vision tower for this one.
    let merged = |of: &Path| {
        let (trained, tower) = if of.is_file() { (trained, Some(of)) } else { (of, None) };
        let files = merged::Files { decoder, tokenizer: &tokenizer, trained, tower };
        merged::write(files, Dtype::BF16)
    };
    let checkpoint = merged(trained)?;
    let language = Language::Natural(Usual::new(seed));
    let mut settings = Setting::of_a_deep_model();
    let plan = Plan {
        first: args.first,
        pictures: args.pictures,
        more: args.pictures / 4,
        most: args.pictures / 15,
        words: WORDS,
        only_reports: false,
        seed,
    };
    if args.objectives {
        let plan = Plan { words: usize::MAX, only_reports: true, ..plan };
        return page.write_objectives(plan, checkpoint.path(), &language);
    }
    if args.occlusions {
        let (more, most) = (args.pictures, args.pictures);
        let plan = Plan { more, most, words: usize::MAX, only_reports: true, ..plan };
        return page.write_occlusions(plan, checkpoint.path(), &language);
    }
    if let (true, Some(shortcut)) = (args.tag, &args.shortcut) {
        let shortcut = merged(shortcut)?;
        return page.write_tag(&tagged(args, [checkpoint.path(), shortcut.path()], &language)?);
    }
    settings.retain(|setting| !setting.is_occlusion()); // they take a run of their own
    let found = measured(args, plan, (checkpoint.path(), &language), settings)?;
    let tagged = match &args.shortcut {
        Some(shortcut) => {
            let shortcut = merged(shortcut)?;
            Some(tagged(args, [checkpoint.path(), shortcut.path()], &language)?)
        }
        None => None,
    };
    page.write(&Results { tagged, ..found })?;
    let pictures = args.out.join("images");
    std::fs::create_dir_all(&pictures)?;
    let path = pictures.join("localization-hybrid-methods.png");
    sheet::methods(&Reader::open(checkpoint.path())?, &language, seed, &path)
}

/// The study of the tag, of a sound model and of one that learnt the shortcut.
fn tagged(args: &Args, models: [&Path; 2], language: &Language) -> Result<[Tagged; 2]> {
    let [sound, shortcut] =
        models.map(|folder| tag::measure(folder, args.study, language, &studied()));
    Ok([sound?, shortcut?])
}

/// The benchmark and the study of random weights.
fn measured(
    args: &Args,
    plan: Plan,
    (folder, language): (&Path, &Language),
    settings: Vec<Setting>,
) -> Result<Results> {
    let benchmark = benchmark::measure(folder, &plan, language, &settings)?;
    println!("{} words of {} right answers", benchmark.items.len(), benchmark.right);
    let stages = randomized::measure(folder, (plan.seed, args.study), language, &studied())?;
    println!("random weights: done");
    let (pictures, studied) = (args.pictures, studied());
    Ok(Results { settings, benchmark, pictures, studied, stages, tagged: None })
}

/// The benchmark of reports alone.
fn of_reports(
    plan: Plan,
    folder: &Path,
    language: &Language,
    settings: Vec<Setting>,
) -> Result<Results> {
    let benchmark = benchmark::measure(folder, &plan, language, &settings)?;
    let (pictures, studied, stages) = (plan.pictures, Vec::new(), Vec::new());
    Ok(Results { settings, benchmark, pictures, studied, stages, tagged: None })
}

/// A page with marks for tables; it is read before anything is measured.
struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    /// The page of this name in a folder; one that is not there begins with nothing but the marks.
    fn open(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name).with_extension("md");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let marks = ["objectives", "words", "occlusion", "random", "tag"]
                    .map(|name| format!("<!-- {name} -->\n<!-- end of {name} -->\n"));
                format!("# {name}\n\n{}", marks.join("\n"))
            }
            Err(error) => {
                return Err(error).with_context(|| format!("could not read {}", path.display()));
            }
        };
        Ok(Self { path, text })
    }

    /// Measures the objectives alone.
    fn write_objectives(self, plan: Plan, folder: &Path, language: &Language) -> Result<()> {
        let settings = [Setting::objectives(), vec![Setting::TWO_POINTS]].concat();
        let results = of_reports(plan, folder, language, settings)?;
        self.write_one("objectives", &results.objectives(), &results)
    }

    /// Measures what every map has in common with the occlusions, alone.
    fn write_occlusions(self, plan: Plan, folder: &Path, language: &Language) -> Result<()> {
        let mut settings = Setting::of_a_deep_model();
        settings.retain(|setting| setting.is_occlusion() || setting.effort() != Effort::Most);
        let results = of_reports(plan, folder, language, settings)?;
        self.write_one("occlusion", &results.occlusions(), &results)
    }

    /// Puts a table between its marks, and the data into a file of its own beside the page.
    fn write_one(self, mark: &str, table: &str, results: &Results) -> Result<()> {
        println!("{table}");
        let page = replaced(&self.text, mark, table)
            .with_context(|| format!("{} has no marks for {mark}", self.path.display()))?;
        save(&self.path, &page)?;
        let data = format!("{:#}\n", results.to_json());
        save(&self.path.with_extension(format!("{mark}.json")), &data)
    }

    /// Puts the table of the tag between its marks, and the data in their place among those beside the page.
    fn write_tag(self, tagged: &[Tagged; 2]) -> Result<()> {
        let table = page::tag_table(&studied(), tagged);
        println!("{table}");
        let page = replaced(&self.text, "tag", &table)
            .with_context(|| format!("{} has no marks for the tag", self.path.display()))?;
        let data = self.path.with_extension("json");
        let text = std::fs::read_to_string(&data)
            .with_context(|| format!("could not read {}", data.display()))?;
        let mut all: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON", data.display()))?;
        all["tag"] = page::tag_json(&studied(), tagged);
        save(&self.path, &page)?;
        save(&data, &format!("{all:#}\n"))
    }

    /// Puts each table between its marks, and the data beside the page.
    fn write(self, results: &Results) -> Result<()> {
        let Self { path, text: mut page } = self;
        let measured = format!(
            "{} pictures, {} answers, {} of them right from the first token to the last.\n\n",
            results.pictures, results.benchmark.answers, results.benchmark.right
        );
        let tag = results.tagged.as_ref().map(|_| ("tag", results.tag()));
        let occluded = results.settings.iter().any(|setting| setting.is_occlusion());
        let occlusions = occluded.then(|| ("occlusion", results.occlusions()));
        let tables = [("words", measured + &results.tables()), ("random", results.randomization())];
        for (mark, table) in tables.into_iter().chain(tag).chain(occlusions) {
            println!("{table}");
            page = replaced(&page, mark, &table)
                .with_context(|| format!("{} has no marks for {mark}", path.display()))?;
        }
        save(&path, &page)?;
        save(&path.with_extension("json"), &format!("{:#}\n", results.to_json()))
    }
}
