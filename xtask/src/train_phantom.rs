//! `cargo xtask train-phantom`: trains the small checkpoints of the project, or evaluates one; with `--decoder` the hybrid, whose language
//! model is a real one.
//!
//! The work is done by the program `train-phantom` of the package `experiments`, which links libtorch; this sets it up and starts it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use pico_args::Arguments;

use crate::workspace::Workspace;
use crate::{process, setup};

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    variant: String,
    decoder: Option<Decoder>,
    job: Job,
}

/// The language model of a hybrid.
#[derive(Debug, PartialEq)]
enum Decoder {
    /// The real weights that the set-up fetches.
    Real,
    /// A GGUF file.
    File(PathBuf),
}

/// What [`Decoder::Real`] is called.
const REAL: &str = "gemma-3-270m";

#[derive(Debug, PartialEq)]
enum Job {
    Train {
        steps: Option<usize>,
        learnt: Option<PathBuf>,
        /// Whose vision tower that one gets.
        tower: Option<PathBuf>,
        out: Option<PathBuf>,
        resume: bool,
    },
    Evaluate {
        folder: PathBuf,
        pictures: Option<u64>,
        size: Option<u32>,
        rehearsal: bool,
    },
}

impl Options {
    pub(crate) fn parse(args: &mut Arguments) -> Result<Self> {
        let path = |text: &std::ffi::OsStr| Ok::<_, anyhow::Error>(PathBuf::from(text));
        let variant = args.opt_value_from_str("--variant")?.unwrap_or_else(|| "sound".to_owned());
        if !["sound", "shortcut", "prior"].contains(&variant.as_str()) {
            bail!("no variant {variant}; there are sound, shortcut and prior");
        }
        let decoder = args.opt_value_from_os_str("--decoder", path)?.map(|named| {
            if named.as_os_str() == REAL { Decoder::Real } else { Decoder::File(named) }
        });
        let job = match args.opt_value_from_os_str("--evaluate", path)? {
            Some(folder) => Job::Evaluate {
                folder,
                pictures: args.opt_value_from_str("--pictures")?,
                size: args.opt_value_from_str("--size")?,
                rehearsal: args.contains("--rehearsal"),
            },
            None => Job::Train {
                steps: args.opt_value_from_str("--steps")?,
                learnt: args.opt_value_from_os_str("--learnt", path)?,
                tower: args.opt_value_from_os_str("--new-tower", path)?,
                out: args.opt_value_from_os_str("--out", path)?,
                resume: args.contains("--resume"),
            },
        };
        if let Job::Train { steps: Some(steps), tower: None, .. } = &job {
            ensure!(*steps > 0, "--steps is at least 1");
        }
        if let Job::Train { learnt: Some(_), .. } = &job {
            ensure!(decoder.is_some(), "--learnt is for a hybrid: name its --decoder");
        }
        if let Job::Train { learnt: None, tower: Some(_), .. } = &job {
            bail!("--new-tower is for a hybrid that learnt something: name it with --learnt");
        }
        if let Job::Evaluate { size: Some(_), .. } = &job {
            ensure!(
                decoder.is_none(),
                "--size is not for a hybrid, which sees pictures of 224 pixels"
            );
        }
        Ok(Self { variant, decoder, job })
    }

    /// The arguments of the program; without `--out` a run goes to its own folder below `target`.
    fn arguments(&self, target: &Path, real: &Path) -> Command {
        let mut command = Command::new(target.join("release/train-phantom"));
        command.args(["--variant", &self.variant]);
        if let Some(decoder) = &self.decoder {
            command.arg("--decoder").arg(match decoder {
                Decoder::Real => real,
                Decoder::File(file) => file,
            });
        }
        match &self.job {
            Job::Train { steps, learnt, tower, out, resume } => {
                let name = if self.decoder.is_some() { "hybrid-" } else { "" };
                let usual = || target.join("train-phantom").join(format!("{name}{}", self.variant));
                command.arg("--out").arg(out.clone().unwrap_or_else(usual));
                if let Some(steps) = steps {
                    command.args(["--steps", &steps.to_string()]);
                }
                if let Some(learnt) = learnt {
                    command.arg("--learnt").arg(learnt);
                }
                if let Some(tower) = tower {
                    command.arg("--new-tower").arg("--tower").arg(tower);
                }
                if *resume {
                    command.arg("--resume");
                }
            }
            Job::Evaluate { folder, pictures, size, rehearsal } => {
                command.arg("--evaluate").arg(folder);
                if let Some(pictures) = pictures {
                    command.args(["--pictures", &pictures.to_string()]);
                }
                if let Some(size) = size {
                    command.args(["--size", &size.to_string()]);
                }
                if *rehearsal {
                    command.arg("--rehearsal");
                }
            }
        }
        command
    }
}

/// Sets up, builds, and runs the program.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::run(workspace, None)?;
    let real = match &options.decoder {
        Some(Decoder::Real) => setup::real::find_weights().context(setup::real::advice())?,
        _ => PathBuf::new(),
    };
    let build = ["build", "--release", "--package", "experiments", "--bin", "train-phantom"];
    process::run(&mut workspace.cargo(&build))?;
    process::run(&mut options.arguments(&workspace.target_folder()?, &real))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&mut Arguments::from_vec(words.iter().map(Into::into).collect()))
    }

    fn shown(words: &[&str]) -> String {
        process::shown(
            &parse(words).unwrap().arguments(Path::new("target"), Path::new("real.gguf")),
        )
    }

    #[test]
    fn a_run_has_a_folder_of_its_own() {
        let expected = "train-phantom --variant sound --out target/train-phantom/sound";
        assert_eq!(shown(&[]), expected);
        let words = ["--variant", "shortcut", "--out", "x", "--steps", "5", "--resume"];
        let expected = "train-phantom --variant shortcut --out x --steps 5 --resume";
        assert_eq!(shown(&words), expected);
    }

    #[test]
    fn a_checkpoint_can_be_evaluated() {
        let expected = "train-phantom --variant sound --evaluate x --pictures 20 --size 224";
        assert_eq!(shown(&["--evaluate", "x", "--pictures", "20", "--size", "224"]), expected);
    }

    #[test]
    fn a_hybrid_has_a_decoder() {
        let expected = "train-phantom --variant sound --decoder real.gguf --out target/train-phantom/hybrid-sound";
        assert_eq!(shown(&["--decoder", REAL]), expected);
        let words = ["--decoder", "x.gguf", "--variant", "shortcut", "--learnt", "y", "--out", "z"];
        let expected = "train-phantom --variant shortcut --decoder x.gguf --out z --learnt y";
        assert_eq!(shown(&words), expected);
        let words = ["--decoder", "x.gguf", "--evaluate", "y", "--rehearsal"];
        let expected = "train-phantom --variant sound --decoder x.gguf --evaluate y --rehearsal";
        assert_eq!(shown(&words), expected);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse(&["--decoder", REAL, "--evaluate", "x", "--size", "224"]).is_err());
        assert!(parse(&["--learnt", "x"]).is_err());
        assert!(parse(&["--variant", "other"]).is_err());
        assert!(parse(&["--steps", "0"]).is_err());
        assert!(parse(&["--steps", "many"]).is_err());
    }
}
