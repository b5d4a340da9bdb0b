//! `cargo xtask localize`: maps of the project's checkpoints against the masks of the phantoms, into `docs/localization.md`.

use std::path::PathBuf;

use anyhow::Result;
use pico_args::Arguments;

use crate::workspace::Workspace;
use crate::{process, setup};

/// What the command line asks for; what is not given is as the program has it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    paths: Vec<(&'static str, PathBuf)>,
    counts: Vec<(&'static str, u64)>,
}

impl Options {
    pub(crate) fn parse(args: &mut Arguments) -> Result<Self> {
        let mut options = Self::default();
        for name in ["--model", "--shortcut", "--out"] {
            let path = |text: &std::ffi::OsStr| Ok::<_, anyhow::Error>(PathBuf::from(text));
            options.paths.extend(args.opt_value_from_os_str(name, path)?.map(|path| (name, path)));
        }
        for name in ["--pictures", "--study"] {
            options.counts.extend(args.opt_value_from_str(name)?.map(|count| (name, count)));
        }
        Ok(options)
    }
}

/// Sets up, builds, and runs the program `localize` of the package `experiments`, which links libtorch.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::run(workspace, None)?;
    let build = ["build", "--release", "--package", "experiments", "--bin", "localize"];
    process::run(&mut workspace.cargo(&build))?;
    let mut command =
        std::process::Command::new(workspace.target_folder()?.join("release/localize"));
    command.current_dir(workspace.root());
    for (name, path) in &options.paths {
        command.arg(name).arg(path);
    }
    for (name, count) in &options.counts {
        command.args([name, count.to_string().as_str()]);
    }
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&mut Arguments::from_vec(words.iter().map(Into::into).collect()))
    }

    #[test]
    fn options_are_passed_on() {
        let found = parse(&["--pictures", "20", "--model", "x"]).unwrap();
        assert_eq!(found.paths, [("--model", PathBuf::from("x"))]);
        assert_eq!(found.counts, [("--pictures", 20)]);
        assert_eq!(parse(&[]).unwrap(), Options::default());
        assert!(parse(&["--pictures", "many"]).is_err());
    }
}
