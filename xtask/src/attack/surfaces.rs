//! What is attacked: every way in which something from outside reaches the command.
#![expect(clippy::unnecessary_wraps, reason = "all surfaces have the same two functions")]

mod adapters;
mod config;
mod folder;
mod gguf;
mod hub;
mod options;
mod pictures;
mod regions;
mod signals;
mod stored;
mod streams;
mod template;
mod tokenizer;
mod weights;

use anyhow::Result;

use super::case::{Call, Case, What};
use super::material::Material;
use super::picture;
use checkpoint_files::random::SplitMix;

pub(crate) struct Surface {
    pub(crate) name: &'static str,
    /// Cases that are always the same, each with what must come of it.
    pub(crate) fixed: fn(&Material) -> Result<Vec<Case>>,
    /// One more case.
    pub(crate) random: fn(&Material, &mut SplitMix) -> Result<Case>,
}

pub(crate) static ALL: [Surface; 14] = [
    config::SURFACE,
    weights::SURFACE,
    gguf::SURFACE,
    adapters::SURFACE,
    tokenizer::SURFACE,
    template::SURFACE,
    pictures::SURFACE,
    stored::SURFACE,
    regions::SURFACE,
    options::SURFACE,
    folder::SURFACE,
    signals::SURFACE,
    streams::SURFACE,
    hub::SURFACE,
];

/// A checkpoint in `model` with another file in the place of one, asked about a good picture.
fn checkpoint_with(title: &str, file: &str, what: What) -> Case {
    let case = Case::new(title).file("picture.png", picture::good());
    case.with("model", What::Checkpoint).with(format!("model/{file}"), what)
}

fn answer() -> Call {
    Call::answer("model", "picture.png")
}

/// What stands where a file should, and must be refused at once.
fn no_files() -> [(&'static str, What); 3] {
    [
        ("a pipe", What::Pipe),
        ("a device", What::Link("/dev/zero".to_owned())),
        ("a folder", What::Folder),
    ]
}
