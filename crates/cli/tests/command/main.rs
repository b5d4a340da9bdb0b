//! The command as a script sees it: arguments in; files, streams and exit codes out.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

mod adapters; // adapters, comparisons of models, models without pictures
mod audit; // a set of cases
mod certificate; // how faithful maps are
mod compared; // methods, heads and layers, the public Python program
mod contract; // what it promises
mod demo; // the checkpoints that come with it
mod diagnose; // whether a checkpoint can be trusted
mod effort; // memory, engines
mod empty; // words that nothing speaks for
mod ended; // signals
mod faults; // what it says when something is wrong
mod figures; // regions, figures, the terminal
mod folders; // what is the user's in a folder for results, and what is ours
mod given; // targets, given answers, pictures among texts
mod hostile; // what others' files hold, streams that take nothing
mod hub; // GGUF files from the hub
mod jobs; // many jobs for a model that is loaded once
mod medical; // DICOM and NIfTI
mod numbers; // bfloat16 and float32, both engines
mod page; // the report
mod phantom; // made-up radiographs
mod pictures; // pictures in, pictures out
mod reliance; // whether an answer relies on the pictures
mod serve; // the local application
mod support; // running it
mod versus; // phrases against phrases, pictures against pictures
