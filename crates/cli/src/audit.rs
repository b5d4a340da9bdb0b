//! `medgemma-explainer audit`: whether a model uses the pictures of a set of cases, and the parts of them that it should.

mod cases;
mod journal;
mod print;
mod source;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::builder::RangedU64ValueParser;
use medgemma_explainer::{
    AuditOptions, ErrorKind, ExplainOptions, Explainer, ModelRecord, WeightFile, Words,
};
use model_audit::{About, BadCase, Case, Cases, Row, Summary};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::args::{ModelArgs, PictureArgs, load_options};
use crate::methods::MethodArgs;
use crate::{answer, interrupt, output, progress};
use cases::Set;
use journal::{Header, Journal, VERSION};
use source::{Benchmark, Source, SourceArgs};

pub(crate) const CASES: &str = concat!(
    "Each line of --set is a JSON object: id, image (a file or a list of files, relative to the file of cases) and question; and, where known, ",
    "answer (the right one), word (of the answer, that is looked at), boxes ([[x0, y0, x1, y1], …] in pixels) or mask (a picture, black where ",
    "nothing is relevant), picture (which of several they belong to, from 0), patient, label, group, system, against (a word that word is ",
    "set against in its map).\n\n",
    "Each case is asked as it is, with a blank picture, without one, with pictures of other patients with the same and with another label, ",
    "with the relevant part hidden behind another part of the picture, and with another part of its size hidden; what cells of the picture are worth is measured in the ",
    "model, too. `medgemma-explainer phantom --cases` makes a set to try it with.\n\n",
    "--from medground asks the questions of MedGround-Bench beside your own copies of its pictures, explains \"Yes\" against \"No\", and also writes ",
    "medground.json, rows as the benchmark's scorer reads them with all boxes in the square of 224 pixels.\n\n",
    "Files in --out: audit.html, a page with the verdict and its reasons; audit.json and audit.parquet, all numbers; audit.jsonl, what is ",
    "done so far. The same command goes on where it was stopped."
);

#[derive(clap::Args, Debug)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Only the first N cases
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..), help_heading = "Cases")]
    limit: Option<usize>,
    #[command(flatten)]
    pictures: PictureArgs,
    /// Maximum number of tokens in an answer
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..), help_heading = "Generation")]
    max_new_tokens: usize,
    #[command(flatten)]
    methods: MethodArgs,
    /// Leave out the certificates, which take about a hundred runs of the language model for each case
    #[arg(long, help_heading = "Method")]
    no_certificate: bool,
    /// Seed of what is random: which other part is hidden, noise, controls
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Method")]
    seed: u64,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is written, and where.
#[derive(clap::Args, Debug)]
struct OutputArgs {
    /// Folder for the results; created if needed. An audit of the same model, cases and options in it is gone on with
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out: PathBuf,
    /// Keep full paths in the results; otherwise only file names, because a path can name people
    #[arg(long, help_heading = "Output")]
    keep_paths: bool,
    /// Print only JSON on stdout: the summary
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Asks all cases that are not done, and writes what they say together.
pub(crate) fn run(args: &AuditArgs) -> Result<()> {
    let mut source = args.source.read()?;
    source.cases.lines.truncate(args.limit.unwrap_or(usize::MAX));
    let cases = &source.cases;
    for bad in cases.lines.iter().filter_map(|line| line.as_ref().err()) {
        output::warning(format_args!("{}: {}", bad.id, bad.reason));
    }
    if cases.lines.iter().all(Result::is_err) {
        bail!("{} has no line that is a case", source.path.display());
    }
    let set = Set {
        patients: cases.patients(),
        cases,
        folder: source.folder.clone(),
        allow_outside: source.allow_outside,
        reader: args.pictures.reader(),
    };
    check_free(&args.output.out)?;
    let explainer = answer::load(&args.model, load_options(&args.model, &args.pictures))?;
    if explainer.inspection().vision_tower().is_none() {
        bail!(
            "the model sees no pictures, it is a language model alone: there is nothing to audit"
        );
    }
    let methods = args.methods.methods(&explainer);
    let certificate = AuditOptions::default().certificate.filter(|_| !args.no_certificate);
    let options = AuditOptions::default()
        .with_max_new_tokens(args.max_new_tokens)
        .with_seed(args.seed)
        .with_certificate(certificate.map(|options| options.with_seed(args.seed)))
        .with_explain(
            ExplainOptions::default()
                .with_words(Words::None)
                .with_folding(args.methods.folding())
                .with_methods(methods),
        );
    let header = Header {
        audit: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        model: serde_json::to_value(explainer.model_record(args.output.keep_paths)?)?,
        set_sha256: source.sha256.clone(),
        settings: settings(args, &options),
    };
    let mut journal = Journal::open(&args.output.out, &header)?;
    ask(&set, &explainer, &options, &mut journal)?;
    let rows = in_order(cases, std::mem::take(&mut journal.rows));
    write(args, (&source, &set), &header, &rows)
}

/// Files that an audit writes, beside the journal.
const RESULTS: [&str; 4] = ["audit.html", "audit.json", "audit.parquet", "medground.json"];

/// Refuses a folder in which a file that no audit wrote has the name of a result.
fn check_free(out: &Path) -> Result<()> {
    let has_journal = out.join(journal::FILE).exists();
    let taken = RESULTS.map(|name| out.join(name)).into_iter().find(|path| path.exists());
    match taken.filter(|_| !has_journal) {
        Some(path) => bail!(
            "{} is there, and no audit beside it: choose another --out, or move that file away",
            path.display()
        ),
        None => Ok(()),
    }
}

/// All that changes a number, as text that a person understands.
fn settings(args: &AuditArgs, options: &AuditOptions) -> Value {
    let AuditOptions { max_new_tokens, explain, certificate, seed, .. } = options;
    json!({
        "max_new_tokens": max_new_tokens,
        "seed": seed,
        "dtype": args.model.dtype.to_string(),
        "pictures": args.pictures,
        "objective": explain.objective.to_string(),
        "folding": format!("{:?}", explain.folding),
        "methods": explain.methods.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "certificate": certificate.as_ref().map(|it| json!({
            "operators": it.operators.iter().map(|it| it.name()).collect::<Vec<_>>(),
            "fractions": it.fractions,
            "controls": it.controls,
            "seed": it.seed,
        })),
        "limit": args.limit,
    })
}

/// Asks what is not done.
fn ask(
    set: &Set<'_>,
    explainer: &Explainer,
    options: &AuditOptions,
    journal: &mut Journal,
) -> Result<()> {
    let total = set.cases.lines.len();
    let known: std::collections::HashSet<String> =
        journal.rows.iter().map(|row| row.id.clone()).collect();
    if !known.is_empty() {
        output::note(format_args!("{} of {total} cases are done already", known.len()));
    }
    let bar = progress::counter("asking", total as u64)?;
    for (index, line) in set.cases.lines.iter().enumerate() {
        bar.inc(1);
        let id = match line {
            Ok(case) => &case.id,
            Err(bad) => &bad.id,
        };
        if known.contains(id) {
            continue;
        }
        let row = match line {
            Err(bad) => failed(set.patients[index], bad),
            Ok(case) => {
                let Ok(row) = observe(set, explainer, options, (index, case)) else {
                    bar.finish_and_clear();
                    let done = journal.rows.len();
                    bail!("stopped after {done} of {total} cases; the same command goes on there");
                };
                row
            }
        };
        if let Some(error) = &row.error {
            bar.suspend(|| output::warning(format_args!("{}: {error}", row.id)));
        }
        journal.add(row)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Somebody ended the work.
struct Stopped;

fn failed(patient: u64, bad: &BadCase) -> Row {
    Row {
        id: bad.id.clone(),
        patient,
        label: None,
        group: None,
        right_answer: None,
        observed: None,
        error: Some(bad.reason.clone()),
    }
}

fn observe(
    set: &Set<'_>,
    explainer: &Explainer,
    options: &AuditOptions,
    (index, case): (usize, &Case),
) -> Result<Row, Stopped> {
    let look = || -> Result<_> {
        let asked = set.case(index, case)?;
        Ok(explainer.audit(&asked, options)?)
    };
    let found = look();
    let (observed, error) = match found {
        Ok(observed) => (Some(observed), None),
        Err(error) => {
            let of_model = error.downcast_ref::<medgemma_explainer::Error>();
            let cancelled = of_model.is_some_and(|it| it.kind() == ErrorKind::Cancelled);
            if cancelled || interrupt::exit_code().is_some() {
                return Err(Stopped);
            }
            (None, Some(set.reason(&error)))
        }
    };
    Ok(Row {
        id: case.id.clone(),
        patient: set.patients[index],
        label: case.label.clone(),
        group: case.group.clone(),
        right_answer: case.answer.clone(),
        observed,
        error,
    })
}

/// The rows in the order of the cases.
fn in_order(cases: &Cases, mut rows: Vec<Row>) -> Vec<Row> {
    let place: std::collections::HashMap<&str, usize> = cases
        .lines
        .iter()
        .enumerate()
        .map(|(at, line)| match line {
            Ok(case) => (case.id.as_str(), at),
            Err(bad) => (bad.id.as_str(), at),
        })
        .collect();
    rows.sort_by_key(|row| place.get(row.id.as_str()).copied());
    rows
}

fn write(
    args: &AuditArgs,
    (source, set): (&Source, &Set<'_>),
    header: &Header,
    rows: &[Row],
) -> Result<()> {
    let summary = Summary::of(rows);
    if summary.all.failed == rows.len() {
        let first = rows.iter().find_map(|row| row.error.as_deref()).unwrap_or("no case");
        bail!("no case could be asked: {first}");
    }
    let model: ModelRecord = serde_json::from_value(header.model.clone())?;
    let benchmark = source.benchmark(&model.source, rows);
    let document = json!({
        "audit": VERSION,
        "program": header.program,
        "model": header.model,
        "set": { "file": shown(&source.path, args.output.keep_paths), "sha256": header.set_sha256, "cases": rows.len() },
        "settings": header.settings,
        "summary": summary,
        "benchmark": benchmark.as_ref().map(Benchmark::summary).transpose()?,
        "rows": rows,
    });
    let about = about(args, (source, &model), header);
    let page = progress::step("drawing", || print::page(set, &about, (&summary, rows)))?;
    let [html, json, parquet, medground] = RESULTS.map(|name| args.output.out.join(name));
    save(&json, |file| Ok(writeln!(file, "{document:#}")?))?;
    save(&parquet, |file| Ok(model_audit::write_parquet(rows, file)?))?;
    save(&html, |file| Ok(file.write_all(page.as_bytes())?))?;
    let mut files = vec![html, json, parquet];
    if let Some(benchmark) = &benchmark {
        save(&medground, |file| Ok(serde_json::to_writer_pretty(file, &benchmark.rows)?))?;
        files.push(medground);
    }
    if args.output.json {
        output::json(&serde_json::to_string_pretty(&summary)?);
        return Ok(());
    }
    print::summary(&summary);
    if let Some(benchmark) = &benchmark {
        print::benchmark(benchmark);
    }
    output::blank_line();
    for file in files {
        output::line(file.display());
    }
    Ok(())
}

/// What the page says of model, cases and options.
fn about(args: &AuditArgs, (source, model): (&Source, &ModelRecord), header: &Header) -> About {
    let file = shown(&source.path, args.output.keep_paths);
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        other => other.to_string(),
    };
    let settings = header.settings.as_object().into_iter().flatten();
    let settings = settings.map(|(name, value)| (name.replace('_', " "), text(value)));
    let mut provenance = vec![
        ("model".to_owned(), model.source.clone()),
        ("architecture".to_owned(), model.architecture.clone()),
    ];
    let files = |files: &[WeightFile]| -> Vec<(String, String)> {
        let hash =
            |file: &WeightFile| file.sha256.clone().unwrap_or_else(|| "not known".to_owned());
        files.iter().map(|file| (file.name.clone(), format!("sha256 {}", hash(file)))).collect()
    };
    provenance.extend(files(&model.files));
    for adapter in &model.adapters {
        provenance.push(("adapter".to_owned(), adapter.source.clone()));
        provenance.extend(files(&adapter.files));
    }
    provenance.push(("cases".to_owned(), format!("{file}, sha256 {}", header.set_sha256)));
    provenance.push(("program".to_owned(), format!("medgemma-explainer {}", header.program)));
    About {
        subtitle: format!("{} on {file}", model.source),
        seed: args.seed,
        settings: settings.collect(),
        provenance,
    }
}

fn shown(path: &Path, keep_paths: bool) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    if keep_paths { path.display().to_string() } else { name.unwrap_or_default() }
}

/// Writes a file whole or not at all.
fn save(path: &Path, write: impl FnOnce(&mut std::fs::File) -> Result<()>) -> Result<()> {
    let named = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).with_context(named)?;
    write(file.as_file_mut()).with_context(named)?;
    file.as_file().sync_all().with_context(named)?;
    file.persist(path).with_context(named)?;
    Ok(())
}
