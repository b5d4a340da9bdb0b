//! The table of a run, and `docs/robustness.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::case::Call;
use super::judge::{Kind, is_done};
use super::run::{Ended, Limits};
use super::surfaces;
use crate::bench::machine;
use crate::workspace::Workspace;

/// How the calls at one surface ended.
#[derive(Debug, Default, Clone)]
pub(crate) struct Count {
    pub(crate) cases: u64,
    pub(crate) calls: u64,
    /// Exit code 0, or 3 with `--strict`.
    pub(crate) done: u64,
    /// Exit codes 1 and 2.
    pub(crate) refused: u64,
    /// Ended by a signal of ours.
    pub(crate) interrupted: u64,
    pub(crate) findings: BTreeMap<Kind, u64>,
    pub(crate) peak_mib: u64,
    pub(crate) longest: Duration,
}

pub(crate) type Counts = BTreeMap<&'static str, Count>;

/// How a run of the attack was made.
pub(crate) struct Made {
    pub(crate) seed: u64,
    pub(crate) profile: String,
    pub(crate) took: Duration,
    pub(crate) limits: Limits,
    pub(crate) workers: usize,
}

/// One line for each surface, and their sum.
pub(crate) fn table(counts: &Counts) -> String {
    let kinds = Kind::ALL.map(Kind::name).join(" | ");
    let mut text = format!(
        "| surface | cases | calls | done | refused | interrupted | {kinds} | most memory | longest |\n"
    );
    text += "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    let mut all = Count::default();
    for surface in &surfaces::ALL {
        let Some(count) = counts.get(surface.name) else { continue };
        text += &line(surface.name, count);
        all.add(count);
    }
    text + &line("all", &all)
}

fn line(name: &str, count: &Count) -> String {
    let kinds = Kind::ALL.map(|kind| count.findings.get(&kind).copied().unwrap_or(0).to_string());
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} MiB | {:.1} s |\n",
        count.cases,
        count.calls,
        count.done,
        count.refused,
        count.interrupted,
        kinds.join(" | "),
        count.peak_mib,
        count.longest.as_secs_f64(),
    )
}

impl Count {
    pub(crate) fn add_call(&mut self, ended: &Ended, call: &Call) {
        self.calls += 1;
        match (ended.code, ended.signal) {
            _ if is_done(call, ended) => self.done += 1,
            (Some(1 | 2), _) => self.refused += 1,
            _ if call.interruption.is_some() => self.interrupted += 1,
            _ => {} // a finding
        }
        self.peak_mib = self.peak_mib.max(ended.peak_mib);
        self.longest = self.longest.max(ended.took);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.calls += other.calls;
        self.done += other.done;
        self.refused += other.refused;
        self.interrupted += other.interrupted;
        for (kind, count) in &other.findings {
            *self.findings.entry(*kind).or_default() += count;
        }
        self.peak_mib = self.peak_mib.max(other.peak_mib);
        self.longest = self.longest.max(other.longest);
    }
}

/// Writes `docs/robustness.md`.
pub(crate) fn write(workspace: &Workspace, made: &Made, counts: &Counts) -> Result<()> {
    let head = Value::Object(machine::head(workspace, "cpu", None));
    let text = |pointer: &str| head.pointer(pointer).and_then(Value::as_str).unwrap_or("unknown");
    let memory = head.pointer("/machine/memory_bytes").and_then(Value::as_u64).unwrap_or(0);
    let minutes = made.took.as_secs_f64() / 60.0;
    let Limits { address_mib, resident_mib, processor_s, wall } = made.limits;
    let mut page = String::from(INTRODUCTION);
    let _ = write!(
        page,
        "\n## The run of this page\n\n\
        `cargo xtask attack` for {minutes:.0} minutes, seed {}, {} at a time, commit {}, {} binary; {}, {} threads, {:.0} GB of memory, {}.\n\
        Limits of each call: {processor_s} s of processor time, {} s on the clock, {address_mib} MiB of address space, {resident_mib} MiB in use.\n\n",
        made.seed,
        made.workers,
        text("/versions/commit"),
        made.profile,
        text("/machine/processor"),
        head.pointer("/machine/threads").and_then(Value::as_u64).unwrap_or(0),
        memory as f64 / 1e9,
        text("/machine/system"),
        wall.as_secs(),
    );
    if made.took < Duration::from_hours(1) {
        page += "This run was shorter than the hour that is meant to stand here.\n\n";
    }
    page += &table(counts);
    page += LEGEND;
    std::fs::write(workspace.root().join("docs/robustness.md"), page)?;
    println!("docs/robustness.md");
    Ok(())
}

const INTRODUCTION: &str = "\
# What hostile input does

Checkpoints come from strangers, pictures from anywhere, and a folder of results may have been edited.
`cargo xtask attack` gives the command such input: fixed cases, each with what must come of it, and random ones made from a seed.
Every call runs in a folder of its own, under limits that are set from outside; every file there is hashed before and after.

```
cargo xtask attack --seconds 3600 --seed 1 --page   # writes this page, of an hour's run
cargo xtask attack --corpus                         # the fixed cases alone, as in the tests
cargo xtask attack --only pictures --case 17 --seed 1   # one of them again
```

A finding is kept below `target/attack/findings`: the folder as it was left, the command, and what was printed.

## What must hold

- The exit code is 0, 1, 2, 3 (with `--strict`), or that of a signal that the attack sent. No panic, no abort, no end by a limit.
- stdout and stderr hold no control character and no character that reorders text, are UTF-8 and shorter than a megabyte.
- No file that was there before is changed or removed, unless it is a result that the run replaces. Nothing appears outside `--out` and the cache. A run that fails leaves nothing new, and no `.unfinished-*`.
- Results hold neither the token of the hub nor the path of the folder, and no markup out of texts.
- Fixed cases end as they must: done, or refused with a message that names the file or the option.

The cases are listed in `xtask/src/attack/surfaces`, one file for each surface.
";

const LEGEND: &str = "
*done*: exit code 0, or 3 with `--strict`. *refused*: 1 or 2, with a message. *interrupted*: ended by a signal of the attack.
The five columns after these count findings. *Crash*: a panic, an abort, or an exit code that is not documented; *wrong answer*: a fixed case that ended well-behaved, but not as it must.
Times are those of a machine that ran several calls at once.
";
