//! The end from outside at any time, and what the next run finds.

use std::time::Duration;

use anyhow::Result;

use super::Surface;
use super::folder::again;
use crate::attack::case::{Call, Case, Interruption, Signal, What};
use crate::attack::material::Material;
use crate::attack::picture;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "signals", fixed, random };

const SIGNALS: [Signal; 4] = [Signal::Interrupt, Signal::Terminate, Signal::HangUp, Signal::Kill];

/// A run that is ended, the same run to its end, and the page made of its results.
fn interrupted(over_results: bool, interruption: Interruption) -> Case {
    let twice = if interruption.twice { " twice" } else { "" };
    let over = if over_results { ", over earlier results" } else { "" };
    let (name, after) = (interruption.signal.name(), interruption.after.as_millis());
    let mut case = Case::new(format!("SIG{name}{twice} after {after} ms{over}"));
    case = case.file("picture.png", picture::good());
    if over_results {
        case = case.with("out", What::Stored);
    }
    let ended = Call { interruption: Some(interruption), ..again("picture.png") };
    let page = Call::new(["report", "out", "--out", "out.html"]);
    let mut calls = vec![ended];
    if over_results {
        // Whatever was reached, the results are those before or those after, and whole.
        calls.push(page.clone().done());
    }
    calls.push(again("picture.png").done());
    calls.push(Call { replaces: vec!["out.html".to_owned()], ..page.done() });
    case.calls = calls;
    case
}

fn fixed(_: &Material) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (index, signal) in SIGNALS.into_iter().enumerate() {
        for (turn, after) in [300, 900, 1500].into_iter().enumerate() {
            let interruption =
                Interruption { signal, after: Duration::from_millis(after), twice: turn == 1 };
            cases.push(interrupted((index + turn) % 2 == 0, interruption));
        }
    }
    Ok(cases)
}

fn random(_: &Material, random: &mut SplitMix) -> Result<Case> {
    let interruption = Interruption {
        signal: *random.pick(&SIGNALS),
        after: Duration::from_millis(random.below(2500) as u64),
        twice: random.once_in(4),
    };
    Ok(interrupted(random.once_in(2), interruption))
}
