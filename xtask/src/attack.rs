//! `cargo xtask attack`: hostile input of every kind, under limits set from outside; every exit is classified.

mod case;
mod hub;
mod judge;
mod material;
mod mutate;
mod page;
mod picture;
mod results;
mod run;
mod sandbox;
mod surfaces;
mod work;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use pico_args::Arguments;

use crate::workspace::Workspace;
use crate::{process, setup};
use material::Material;
use page::Made;
use run::Limits;
use work::Attack;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    /// How long random cases are made after the fixed ones; `None`: the fixed ones alone.
    seconds: Option<u64>,
    seed: u64,
    /// The command under attack; `None`: built in release mode.
    binary: Option<PathBuf>,
    /// Random cases of each surface, whatever time they take.
    cases: usize,
    /// The surfaces to attack; empty: all.
    only: Vec<String>,
    /// One case of the only surface.
    case: Option<usize>,
    jobs: Option<usize>,
    page: bool,
}

impl Options {
    pub(crate) fn parse(args: &mut Arguments) -> Result<Self> {
        let corpus = args.contains("--corpus");
        let seconds: Option<u64> = args.opt_value_from_str("--seconds")?;
        let case: Option<usize> = args.opt_value_from_str("--case")?;
        let options = Self {
            seconds: if corpus || case.is_some() { seconds } else { Some(seconds.unwrap_or(60)) },
            seed: args.opt_value_from_str("--seed")?.unwrap_or(0),
            binary: args.opt_value_from_str("--binary")?,
            cases: args.opt_value_from_str("--cases")?.unwrap_or(0),
            only: args.values_from_str("--only")?,
            case,
            jobs: args.opt_value_from_str("--jobs")?,
            page: args.contains("--page"),
        };
        if corpus && options.seconds.is_some() {
            bail!("--corpus takes no --seconds: it is the fixed cases alone");
        }
        if options.case.is_some() && options.only.len() != 1 {
            bail!("--case is the number of a case of one surface: name it with --only");
        }
        if let Some(unknown) =
            options.only.iter().find(|name| !surfaces::ALL.iter().any(|it| it.name == **name))
        {
            let names: Vec<_> = surfaces::ALL.iter().map(|surface| surface.name).collect();
            let names = names.join(", ");
            bail!("there is no surface {unknown:?}; there are: {names}");
        }
        Ok(options)
    }
}

/// Random cases of each surface in the tests.
const RANDOM_IN_TESTS: usize = 2;

/// The fixed cases and a few random ones, always the same, against the command as the tests built it.
pub(crate) fn in_tests(workspace: &Workspace) -> Result<()> {
    let binary = workspace.target_folder()?.join("debug/medgemma-explainer");
    let options = Options {
        seconds: None,
        seed: 0,
        binary: Some(binary),
        cases: RANDOM_IN_TESTS,
        only: Vec::new(),
        case: None,
        jobs: None,
        page: false,
    };
    run(workspace, &options)
}

/// Attacks; an error when anything was found.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if !cfg!(unix) {
        bail!("the attack sets its limits with `ulimit` of a POSIX shell");
    }
    let binary = match &options.binary {
        Some(path) => {
            fs::canonicalize(path).with_context(|| format!("no program at {}", path.display()))?
        }
        None => built(workspace)?,
    };
    let is_debug = binary.components().any(|part| part.as_os_str() == "debug");
    let limits = if is_debug { Limits::PATIENT } else { Limits::USUAL };
    let folder = workspace.target_folder()?.join("attack");
    let _ = fs::remove_dir_all(folder.join("findings"));
    fs::create_dir_all(&folder)?;
    let checkpoint = workspace.root().join("crates/explainer/models/phantom");
    let material = Material::new(checkpoint, binary, folder.join("material"));
    let attack = Attack { material: &material, folder: &folder, limits, seed: options.seed };
    let begun = Instant::now();
    let outcome = attack.all(options)?;
    print!("{}", page::table(&outcome));
    let made = Made {
        seed: options.seed,
        profile: if is_debug { "debug" } else { "release" }.to_owned(),
        took: begun.elapsed(),
        limits,
        workers: workers(options),
    };
    if options.page {
        page::write(workspace, &made, &outcome)?;
    }
    let found: u64 = outcome.values().flat_map(|count| count.findings.values()).sum();
    if 0 < found {
        bail!("{found} findings, kept in {}", folder.join("findings").display());
    }
    Ok(())
}

/// The command, built in release mode.
fn built(workspace: &Workspace) -> Result<PathBuf> {
    setup::run(workspace, None)?;
    let build = ["build", "--release", "--package", "medgemma-explainer-cli"];
    process::run(&mut workspace.cargo(&build))?;
    Ok(workspace.target_folder()?.join("release/medgemma-explainer"))
}

fn workers(options: &Options) -> usize {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    options.jobs.unwrap_or(threads).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&mut Arguments::from_vec(words.iter().map(Into::into).collect()))
    }

    #[test]
    fn a_minute_is_the_default_and_one_case_needs_no_time() {
        assert_eq!(parse(&[]).unwrap().seconds, Some(60));
        assert_eq!(parse(&["--seconds", "5", "--seed", "9"]).unwrap().seconds, Some(5));
        assert_eq!(parse(&["--corpus"]).unwrap().seconds, None);
        assert_eq!(parse(&["--corpus", "--cases", "4"]).unwrap().cases, 4);
        let one = parse(&["--only", "hub", "--case", "3"]).unwrap();
        assert_eq!((one.seconds, one.case), (None, Some(3)));
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let error = |words: &[&str]| parse(words).unwrap_err().to_string();
        assert!(error(&["--case", "3"]).contains("--only"));
        assert!(error(&["--corpus", "--seconds", "3"]).contains("--seconds"));
        assert!(error(&["--only", "doors"]).contains("chat_template.jinja"));
    }
}
