//! The command `medgemma-explainer`. Exit codes: 0 done, 1 failure, 2 wrong use, 130 interrupted.

mod answer;
mod args;
mod asked;
mod demo;
mod diagnose;
mod explain;
mod explain_args;
mod inspect;
mod interrupt;
mod methods;
mod output;
mod phantom;
mod presentation;
mod progress;
mod reliance;
mod report;
mod shades;
mod size;
mod targets;
mod versus;
mod waiting;

use args::{Args, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    waiting::choose_policy();
    let args = Args::parse_checked();
    let outcome = match &args.command {
        Command::Explain(args) => explain::run(args),
        Command::Answer(args) => answer::run(args),
        Command::Report(args) => report::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Diagnose(args) => diagnose::run(args),
        Command::Phantom(args) => phantom::run(args),
        Command::Demo(args) => demo::run(args),
    };
    if interrupt::happened() {
        eprintln!("interrupted");
        return ExitCode::from(interrupt::EXIT_CODE);
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
