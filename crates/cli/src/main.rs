//! The command `medgemma-explainer`. Exit codes: 0 done, 1 failure, 2 wrong use, 3 not all that was asked for was there, 70 a mistake
//! of the program, 128 + N ended by signal N.

mod answer;
mod archive;
mod args;
mod asked;
mod audit;
mod batch;
mod certificate;
mod compare;
mod crash;
mod demo;
mod diagnose;
mod explain;
mod explain_args;
mod hint;
mod inspect;
mod interrupt;
mod job;
mod jobs;
mod messages;
mod method_args;
mod methods;
mod output;
mod phantom;
mod presentation;
mod progress;
mod reading;
mod reliance;
mod report;
mod serve;
mod shades;
mod sinks;
mod size;
mod spelled;
#[cfg(feature = "cloud")]
mod stores;
mod targets;
mod task;
mod versus;
mod waiting;
mod whole;
mod worker;

use args::{Args, Command};
use std::process::ExitCode;

/// Not all that was asked for was there.
const PARTIAL: u8 = 3;

fn main() -> ExitCode {
    // First: this process may be the one that renders a checkpoint's chat template, with nothing to lose.
    medgemma_explainer::worker::serve_if_asked();
    waiting::choose_policy();
    crash::watch();
    let Some(outcome) = crash::caught(run) else {
        return ExitCode::from(crash::EXIT_CODE);
    };
    if let Err(error) = outcome {
        let partial = error.is::<explain::Incomplete>() || error.is::<batch::Failed>();
        // Where all was done or written, a signal that came stopped nothing.
        if let (false, Some(code)) = (partial, interrupt::exit_code()) {
            output::interrupted();
            return ExitCode::from(code);
        }
        output::failed(&error);
        return if partial { ExitCode::from(PARTIAL) } else { ExitCode::FAILURE };
    }
    if let Some(reason) = output::failure() {
        output::error(format_args!("cannot write to stdout: {reason}"));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run() -> anyhow::Result<()> {
    let args = Args::parse_checked();
    interrupt::watch()?;
    match &args.command {
        Command::Explain(args) => explain::run(args),
        Command::Answer(args) => answer::run(args),
        Command::Report(args) => report::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Diagnose(args) => diagnose::run(args),
        Command::Phantom(args) => phantom::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Batch(args) => batch::run(args),
        Command::Worker(args) => worker::run(args),
        Command::Demo(args) => demo::run(args),
    }
}
