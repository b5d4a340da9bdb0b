//! `cargo xtask bench`: ours and the Python way on the same shapes, in turn, one process for each measurement.
//!
//! What was measured goes into `benchmarks.json`; the page `benchmarks.md` is made from that file alone.

mod child;
mod format;
pub(crate) mod machine;
mod page;
mod plan;
mod report;
mod sections;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pico_args::Arguments;
use serde_json::{Value, json};

use crate::synthesize::{self, Size};
use crate::workspace::Workspace;
use crate::{process, setup};
use machine::Peer;
use plan::{Plan, Planned, Program};
use report::{Measurement, Report};

/// What the command line asks for.
pub(crate) struct Options {
    model: Option<PathBuf>,
    python: PathBuf,
    quick: bool,
    only: Vec<String>,
    device: String,
    date: Option<String>,
    out: Option<PathBuf>,
    page: bool,
    /// The program that measures, built elsewhere: for a machine without Rust.
    measure: Option<PathBuf>,
    /// What a reader of the page should know of this run.
    note: Option<String>,
}

impl Options {
    pub(crate) fn parse(args: &mut Arguments) -> Result<Self> {
        let path = |text: &std::ffi::OsStr| Ok::<_, anyhow::Error>(PathBuf::from(text));
        let options = Self {
            model: args.opt_value_from_os_str("--model", path)?,
            python: args
                .opt_value_from_os_str("--python", path)?
                .unwrap_or_else(|| "python3".into()),
            quick: args.contains("--quick"),
            only: args.values_from_str("--only")?,
            device: args.opt_value_from_str("--device")?.unwrap_or_else(|| "cpu".to_owned()),
            date: args.opt_value_from_fn("--date", date)?,
            out: args.opt_value_from_os_str("--out", path)?,
            page: args.contains("--page"),
            measure: args.opt_value_from_os_str("--measure", path)?,
            note: args.opt_value_from_str("--note")?,
        };
        if let Some(name) =
            options.only.iter().find(|name| !sections::NAMES.contains(&name.as_str()))
        {
            bail!("no section {name}; there are {}", sections::NAMES.join(", "));
        }
        let is_told = options.model.is_some() && options.out.is_some();
        ensure!(
            options.measure.is_none() || is_told,
            "--measure FILE, a program built elsewhere, needs --model DIR and --out DIR"
        );
        let is_device = options.device == "cpu" || options.device.starts_with("cuda");
        ensure!(is_device, "no device {}; there are cpu, cuda and cuda:N", options.device);
        Ok(options)
    }

    /// As one would type it, without the folders of one machine.
    fn shown(&self) -> String {
        let mut words = vec!["cargo xtask bench".to_owned()];
        words.extend(self.model.iter().map(|model| format!("--model {}", file_name(model))));
        if self.python != Path::new("python3") {
            words.push(format!("--python {}", file_name(&self.python)));
        }
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words.extend(self.only.iter().map(|name| format!("--only {name}")));
        if self.device != "cpu" {
            words.push(format!("--device {}", self.device));
        }
        words.join(" ")
    }

    /// The page of the project is written by a whole run only.
    fn folder(&self, workspace: &Workspace, scratch: &Path) -> PathBuf {
        let part = self.quick || !self.only.is_empty();
        let usual = if part { scratch.to_path_buf() } else { workspace.root().join("docs") };
        self.out.clone().unwrap_or(usual)
    }

    fn stem(&self) -> &'static str {
        if self.device == "cpu" { "benchmarks" } else { "benchmarks-cuda" }
    }
}

fn date(text: &str) -> Result<String> {
    let is_date = text.len() == 10 && text.chars().all(|c| c.is_ascii_digit() || c == '-');
    ensure!(is_date, "--date is written YYYY-MM-DD");
    Ok(text.to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Measures and writes, or rewrites the page from its JSON file.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let scratch = match (&options.measure, &options.out) {
        (Some(_), Some(out)) => out.clone(), // nothing is made there but the report
        _ => workspace.target_folder()?.join("bench"),
    };
    let folder = options.folder(workspace, &scratch);
    let file = folder.join(format!("{}.json", options.stem()));
    if options.page {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("could not read {}", file.display()))?;
        return Report::from_json(&serde_json::from_str(&text)?)?.write(&folder, options.stem());
    }
    for folder in [&scratch, &folder] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
    }
    let load = machine::load(); // before we ourselves give the machine something to do
    let bench = Bench::prepare(workspace, options, &scratch)?;
    let started = Instant::now();
    let mut report = bench.measure(options)?;
    report.head.insert("load_before".to_owned(), json!(load));
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    report.head.insert("minutes".to_owned(), json!((minutes * 10.0).round() / 10.0));
    report.write(&folder, options.stem())?;
    println!("{}: {minutes:.1} minutes", folder.join(options.stem()).display());
    Ok(())
}

/// All that is needed to measure.
struct Bench<'a> {
    workspace: &'a Workspace,
    measure: PathBuf,
    model: PathBuf,
    growth: PathBuf,
    peer: Result<Peer, String>,
    python: &'a Path,
}

impl<'a> Bench<'a> {
    fn prepare(workspace: &'a Workspace, options: &'a Options, scratch: &Path) -> Result<Self> {
        let peer = Peer::probe(&options.python);
        if let Err(why) = &peer {
            println!("the Python way is left out: {why}");
        }
        let measure = match &options.measure {
            Some(measure) => std::path::absolute(measure)?,
            None => build(workspace)?,
        };
        let mid = || checkpoint(scratch, Size::Mid, "mid");
        let model = match &options.model {
            Some(model) => std::path::absolute(model)?,
            None if options.quick => mid()?,
            None => checkpoint(scratch, Size::FourB, "4b")?,
        };
        // A GPU takes long sequences of the large model.
        let growth = if options.device == "cpu" { mid()? } else { model.clone() };
        Ok(Self { workspace, measure, model, growth, peer, python: &options.python })
    }

    fn measure(&self, options: &Options) -> Result<Report> {
        let head = machine::head(self.workspace, &options.device, self.peer.as_ref().ok());
        let mut report = Report { head, measurements: Vec::new() };
        report.head.insert("date".to_owned(), json!(options.date));
        report.head.insert("command".to_owned(), json!(options.shown()));
        report.head.extend(options.note.iter().map(|note| ("note".to_owned(), json!(note))));
        report.head.insert("device".to_owned(), json!(options.device));
        let models = json!({ "main": file_name(&self.model), "growth": file_name(&self.growth) });
        report.head.insert("models".to_owned(), models);
        let plan = Plan { quick: options.quick, cuda: options.device != "cpu" }.measurements();
        let wanted = |planned: &&Planned| {
            options.only.is_empty() || options.only.iter().any(|name| name == planned.section)
        };
        let plan: Vec<&Planned> = plan.iter().filter(wanted).collect();
        read_once(&self.model)?;
        for (index, planned) in plan.iter().enumerate() {
            print!("[{}/{}] {} · {}", index + 1, plan.len(), planned.section, planned.row);
            std::io::Write::flush(&mut std::io::stdout())?;
            let measurement = self.one(planned, &options.device);
            println!(": {}", measurement.in_short());
            report.measurements.push(measurement);
        }
        Ok(report)
    }

    fn one(&self, planned: &Planned, device: &str) -> Measurement {
        let started = Instant::now();
        let (command, outcome) = match self.command(planned, device) {
            Ok(mut command) => {
                let shown = shown(&command);
                (shown, child::measured(&mut command, LONGEST))
            }
            Err(why) => (String::new(), Err(why)),
        };
        Measurement {
            section: planned.section.to_owned(),
            row: planned.row.clone(),
            command,
            wall_s: started.elapsed().as_secs_f64(),
            outcome,
        }
    }

    fn command(&self, planned: &Planned, device: &str) -> Result<Command, String> {
        let mut command = match planned.program {
            Program::Ours => {
                let mut command = Command::new(&self.measure);
                command.env("OMP_WAIT_POLICY", "PASSIVE"); // as the program chooses for itself
                command.env("RUST_BACKTRACE", "0"); // the last line of a failure is then what went wrong
                command
            }
            Program::Peer => {
                self.peer.as_ref().map_err(Clone::clone)?;
                let mut command = Command::new(self.python);
                command.arg(self.workspace.root().join("benches/peer.py"));
                command.env("HF_HUB_OFFLINE", "1"); // a folder is given: nothing to ask for
                command
            }
        };
        command.args(["--job", planned.job]);
        match planned.model {
            plan::Model::None => {}
            plan::Model::Main => _ = command.arg("--model").arg(&self.model),
            plan::Model::Growth => _ = command.arg("--model").arg(&self.growth),
        }
        command.args(&planned.args);
        if device != "cpu" {
            command.args(["--device", device]);
        }
        Ok(command)
    }
}

/// Builds the program that measures.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    setup::run(workspace, None)?;
    let build = ["build", "--release", "--package", "benchmarks", "--bin", "measure"];
    process::run(&mut workspace.cargo(&build))?;
    Ok(workspace.target_folder()?.join("release/measure"))
}

/// The command without the folders of this machine.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let word = |word: &std::ffi::OsStr| {
        let path = Path::new(word);
        if path.is_absolute() { file_name(path) } else { word.to_string_lossy().into_owned() }
    };
    words.map(word).collect::<Vec<_>>().join(" ")
}

/// No measurement that is planned takes as long.
const LONGEST: Duration = Duration::from_mins(20);

fn checkpoint(scratch: &Path, size: Size, name: &str) -> Result<PathBuf> {
    let folder = scratch.join(name);
    if !folder.exists() {
        synthesize::run(&synthesize::Options::usual(size, folder.clone()))?;
    }
    Ok(folder)
}

/// Reads the weights, so that every program finds them in the cache of the system.
fn read_once(model: &Path) -> Result<()> {
    let entries =
        std::fs::read_dir(model).with_context(|| format!("could not read {}", model.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let mut file = std::fs::File::open(&path)?;
            std::io::copy(&mut file, &mut std::io::sink())
                .with_context(|| format!("could not read {}", path.display()))?;
        }
    }
    Ok(())
}

/// Whether a page of the project is another than its measurements make.
pub(crate) fn page_is_stale(workspace: &Workspace, stem: &str) -> Result<bool> {
    let docs = workspace.root().join("docs");
    let Ok(json) = std::fs::read_to_string(docs.join(format!("{stem}.json"))) else {
        return Ok(false);
    };
    let value: Value = serde_json::from_str(&json)?;
    let page = std::fs::read_to_string(docs.join(format!("{stem}.md"))).unwrap_or_default();
    Ok(page::page(&Report::from_json(&value)?, stem) != page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&mut Arguments::from_vec(words.iter().map(Into::into).collect()))
    }

    #[test]
    fn the_command_line_is_read_and_checked() {
        let options = parse(&["--only", "growth", "--only", "targets", "--quick"]).unwrap();
        assert_eq!(options.only, ["growth", "targets"]);
        assert!(options.quick && options.date.is_none());
        assert!(parse(&["--only", "nothing"]).is_err());
        assert!(parse(&["--device", "tpu"]).is_err());
        assert!(parse(&["--date", "yesterday"]).is_err());
        assert!(parse(&["--measure", "measure"]).is_err());
        assert!(parse(&["--measure", "measure", "--model", "m", "--out", "o"]).is_ok());
    }

    #[test]
    fn the_command_is_shown_without_folders() {
        let options = parse(&["--model", "/a/b/4b", "--python", "/c/python", "--quick"]).unwrap();
        assert_eq!(options.shown(), "cargo xtask bench --model 4b --python python --quick");
    }

    #[test]
    fn only_a_whole_run_writes_the_page_of_the_project() {
        let workspace = Workspace::find().unwrap();
        let scratch = Path::new("scratch");
        let folder = |words: &[&str]| parse(words).unwrap().folder(&workspace, scratch);
        assert_eq!(folder(&[]), workspace.root().join("docs"));
        assert_eq!(folder(&["--quick"]), scratch);
        assert_eq!(folder(&["--only", "growth"]), scratch);
        assert_eq!(folder(&["--quick", "--out", "x"]), Path::new("x"));
    }
}
