//! stdout and stderr that are full or closed, and disks that are full.

use anyhow::Result;

use super::Surface;
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::picture;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "streams and full disks", fixed, random };

const REDIRECTIONS: [&str; 6] =
    [">&-", "2>&-", ">/dev/full", "2>/dev/full", ">&- 2>&-", ">/dev/full 2>/dev/full"];

fn calls() -> Vec<Call> {
    let explain = || Call::explain("phantom", "picture.png");
    vec![
        Call::answer("phantom", "picture.png"),
        explain(),
        explain().and(["--json"]),
        Call::new(["inspect", "--model", "phantom"]),
        Call::new(["report", "stored", "--out", "out.html"]),
        Call::new(["--help"]),
        Call::new(["no-such-command"]),
    ]
}

fn case(title: String) -> Case {
    Case::new(title).file("picture.png", picture::good()).with("stored", What::Stored)
}

fn named(call: &Call) -> String {
    let words: Vec<_> = call.args.iter().map(|arg| arg.to_string_lossy()).collect();
    words.join(" ")
}

fn fixed(_: &Material) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for redirect in REDIRECTIONS {
        for call in calls() {
            let title = format!("{redirect} {}", named(&call));
            // Nothing is lost when stdout takes no more: results are files here.
            let keeps_results = redirect.starts_with('2') && call.args[0] != "no-such-command";
            let call = Call { redirect, ..call };
            cases.push(case(title).call(if keeps_results { call.done() } else { call }));
        }
    }
    for blocks in [0, 8, 64] {
        let call = Call { file_blocks: blocks, ..Call::explain("phantom", "picture.png") };
        let title = format!("files end after {blocks} blocks");
        // The checkpoint that comes with the program is there already, as after an earlier run.
        let case = case(title).with("model", What::Checkpoint);
        let mut call = call.refused(&[]);
        call.args[2] = "model".into();
        cases.push(case.call(call));
    }
    Ok(cases)
}

fn random(_: &Material, random: &mut SplitMix) -> Result<Case> {
    let calls = calls();
    let call = random.pick(&calls).clone();
    let redirect = *random.pick(&REDIRECTIONS);
    let file_blocks = if random.once_in(2) { 1 << 21 } else { random.below(4000) as u64 };
    let title = format!("{redirect} {} with files of {file_blocks} blocks", named(&call));
    Ok(case(title).call(Call { redirect, file_blocks, ..call }))
}
