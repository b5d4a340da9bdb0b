//! `cargo xtask localize`, `reliance`, `certificate`, `audit`, `quantised`, `deciding-words` and `which-map`: maps against what is known of pictures and texts,
//! into the pages of the same names in `docs`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use pico_args::Arguments;

use crate::workspace::Workspace;
use crate::{process, setup};

/// A program of the package `experiments` that writes a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Study {
    /// Maps against masks.
    Localize,
    /// False verdicts on the reliance on the picture.
    Reliance,
    /// Maps against controls that know nothing.
    Certificate,
    /// Verdicts on models of which the right one is known.
    Audit,
    /// Maps of quantised weights against those of whole ones.
    Quantised,
    /// Maps of texts against the words that decide.
    DecidingWords,
    /// One table of those about masks and texts.
    WhichMap,
}

impl Study {
    /// By the name of its command, which is that of its program.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        use Study::{Audit, Certificate, DecidingWords, Localize, Quantised, Reliance, WhichMap};
        [Localize, Reliance, Certificate, Audit, Quantised, DecidingWords, WhichMap]
            .into_iter()
            .find(|study| study.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Localize => "localize",
            Self::Reliance => "reliance",
            Self::Certificate => "certificate",
            Self::Audit => "audit",
            Self::Quantised => "quantised",
            Self::DecidingWords => "deciding-words",
            Self::WhichMap => "which-map",
        }
    }

    fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Localize => &["--model", "--shortcut", "--hybrid", "--decoder", "--out"],
            Self::Reliance => &["--model", "--shortcut", "--out", "--progress"],
            Self::Certificate => &["--model", "--shortcut", "--out"],
            Self::Audit => &["--model", "--shortcut", "--prior", "--hybrid", "--decoder", "--out"],
            Self::Quantised => &["--model", "--out", "--real"],
            Self::DecidingWords => &["--model", "--out"],
            Self::WhichMap => &["--out"],
        }
    }

    fn switches(self) -> &'static [&'static str] {
        match self {
            Self::Localize => &["--objectives", "--occlusions", "--tag"],
            Self::Audit => &["--page"],
            Self::Reliance
            | Self::Certificate
            | Self::Quantised
            | Self::DecidingWords
            | Self::WhichMap => &[],
        }
    }

    fn counts(self) -> &'static [&'static str] {
        match self {
            Self::Localize => &["--pictures", "--study", "--first"],
            Self::Reliance => &["--pictures", "--shortcut-pictures", "--first"],
            Self::Certificate | Self::Quantised => &["--pictures"],
            Self::Audit => &["--sets", "--hybrid-sets"],
            Self::DecidingWords | Self::WhichMap => &[],
        }
    }
}

/// What the command line asks for; what is not given is as the program has it.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    study: Study,
    paths: Vec<(&'static str, PathBuf)>,
    counts: Vec<(&'static str, u64)>,
    switches: Vec<&'static str>,
}

impl Options {
    pub(crate) fn parse(study: Study, args: &mut Arguments) -> Result<Self> {
        let mut options =
            Self { study, paths: Vec::new(), counts: Vec::new(), switches: Vec::new() };
        for &name in study.paths() {
            let path = |text: &std::ffi::OsStr| Ok::<_, anyhow::Error>(PathBuf::from(text));
            options.paths.extend(args.opt_value_from_os_str(name, path)?.map(|path| (name, path)));
        }
        options.name_the_hybrid();
        for &name in study.counts() {
            options.counts.extend(args.opt_value_from_str(name)?.map(|count| (name, count)));
        }
        let given = |name: &&'static str| args.contains(*name);
        options.switches = study.switches().iter().copied().filter(given).collect();
        Ok(options)
    }

    /// `--model hybrid` is the one that is kept in the repository.
    fn name_the_hybrid(&mut self) {
        let is_hybrid =
            |(name, path): &(&str, PathBuf)| *name == "--model" && path.as_os_str() == "hybrid";
        if let Some(at) = self.paths.iter().position(is_hybrid) {
            self.paths[at] = ("--hybrid", PathBuf::from(HYBRID));
        }
    }

    /// The option that takes the real language model, where it is needed and nobody named another.
    fn real(&self) -> Option<&'static str> {
        let (option, needed) = match self.study {
            Study::Localize | Study::Audit => ("--decoder", self.has("--hybrid")),
            Study::DecidingWords => ("--model", true),
            Study::Reliance | Study::Certificate | Study::Quantised | Study::WhichMap => {
                return None;
            }
        };
        (needed && !self.has(option)).then_some(option)
    }

    fn has(&self, name: &str) -> bool {
        self.paths.iter().any(|(given, _)| *given == name)
    }
}

/// Where the hybrid is kept.
const HYBRID: &str = "experiments/models/hybrid";

/// Sets up, builds, and runs the program of the package `experiments`, which links libtorch.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::run(workspace, None)?;
    let name = options.study.name();
    let real = match options.real() {
        Some(option) => Some((option, setup::real::find_weights().context(setup::real::advice())?)),
        None => None,
    };
    let build = ["build", "--release", "--package", "experiments", "--bin", name];
    process::run(&mut workspace.cargo(&build))?;
    let program = workspace.target_folder()?.join("release").join(name);
    let mut command = std::process::Command::new(program);
    command.current_dir(workspace.root());
    for (name, path) in &options.paths {
        command.arg(name).arg(path);
    }
    if let Some((option, real)) = real {
        command.arg(option).arg(real);
    }
    command.args(&options.switches);
    for (name, count) in &options.counts {
        command.args([name, count.to_string().as_str()]);
    }
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(study: Study, words: &[&str]) -> Result<(Options, Vec<std::ffi::OsString>)> {
        let mut args = Arguments::from_vec(words.iter().map(Into::into).collect());
        Ok((Options::parse(study, &mut args)?, args.finish()))
    }

    #[test]
    fn options_are_passed_on() {
        let (found, rest) = parse(Study::Localize, &["--pictures", "20", "--model", "x"]).unwrap();
        assert_eq!(found.paths, [("--model", PathBuf::from("x"))]);
        assert_eq!(found.counts, [("--pictures", 20)]);
        assert!(rest.is_empty());
        let (found, _) = parse(Study::Localize, &["--model", "hybrid"]).unwrap();
        assert_eq!(found.paths, [("--hybrid", PathBuf::from(HYBRID))]);
        assert_eq!(found.real(), Some("--decoder"));
        let (found, _) = parse(Study::Localize, &["--hybrid", "x", "--decoder", "y.gguf"]).unwrap();
        assert_eq!(found.real(), None);
        assert_eq!(parse(Study::DecidingWords, &[]).unwrap().0.real(), Some("--model"));
        let (found, _) = parse(Study::Reliance, &["--first", "900", "--progress", "x"]).unwrap();
        assert_eq!(found.paths, [("--progress", PathBuf::from("x"))]);
        assert_eq!(found.counts, [("--first", 900)]);
        let (found, rest) = parse(Study::Localize, &["--objectives", "--first", "900"]).unwrap();
        assert_eq!(found.switches, ["--objectives"]);
        assert!(found.counts == [("--first", 900)] && rest.is_empty());
        let (found, rest) = parse(Study::Quantised, &["--first", "900"]).unwrap();
        assert!(found.counts.is_empty() && rest.len() == 2, "an option of another study stays");
        assert!(parse(Study::Localize, &["--pictures", "many"]).is_err());
    }

    #[test]
    fn studies_are_found_by_name() {
        assert_eq!(Study::parse("reliance"), Some(Study::Reliance));
        assert_eq!(Study::parse("gallery"), None);
    }
}
