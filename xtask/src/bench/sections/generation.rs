//! Loading and answering.

use super::super::format::{Table, bytes, cell, count, number, percent, times};
use super::super::report::Report;
use super::{Section, owned, prompt_sentence, ratio, sentences};

pub(super) fn generation(report: &Report) -> Section {
    let get = |row: &str, name: &str| report.number("generation", row, name);
    let mut table = Table::new(&[
        "",
        "load s",
        "first answer s",
        "prefill s",
        "tokens per second",
        "memory",
        "runs",
    ]);
    let rows = [
        ("ours, nothing kept", "ours"),
        ("ours, layer inputs kept", "inputs"),
        ("ours, everything kept", "everything"),
        ("peer, `generate` with SDPA", "peer"),
    ];
    for (label, row) in rows {
        let cells = ["load_s", "first_s", "prefill_s", "tokens_per_s"];
        let mut line = vec![owned(label)];
        line.extend(cells.map(|name| cell(get(row, name), number)));
        line.push(cell(get(row, "peak_bytes"), bytes));
        line.push(cell(get(row, "runs"), count));
        table.push(line);
    }
    let intro = prompt_sentence(report, "generation", "ours") + LOADING;
    let shows = sentences(&[against_peer(report), floor(report), keeping(report)]);
    Section { name: "generation", title: "Loading and answering", intro, table, shows }
}

const LOADING: &str = "
The files are in the system's cache. A program that maps its file reads a weight when it is first used: \
the first answer after loading tells what that costs.";

fn against_peer(report: &Report) -> Option<String> {
    let get = |row: &str, name: &str| report.number("generation", row, name);
    let rate = ratio(get("ours", "tokens_per_s"), get("peer", "tokens_per_s"))?;
    let prefill = ratio(get("peer", "prefill_s"), get("ours", "prefill_s"))?;
    Some(format!(
        "Ours makes {} as many tokens per second as the peer; \
         the peer's prefill takes {} as long as ours.",
        times(rate),
        times(prefill),
    ))
}

/// Every token needs all weights once.
fn floor(report: &Report) -> Option<String> {
    let speed = report.number("generation", "read", "bytes_per_s")?;
    let size = report.number("generation", "ours", "bytes_per_token")?;
    let rate = report.number("generation", "ours", "tokens_per_s")?;
    let most = speed / size;
    Some(format!(
        "A token needs {} of weights, and memory was read at {} a second: \
         the most is {} tokens per second, of which ours reaches {}.",
        bytes(size),
        bytes(speed),
        number(most),
        percent(rate / most),
    ))
}

fn keeping(report: &Report) -> Option<String> {
    let seconds = |row: &str| report.number("generation", row, "median_s");
    let share = ratio(seconds("inputs"), seconds("ours"))?;
    Some(format!(
        "An answer whose layer inputs are kept takes {} as long as one with nothing kept.",
        times(share)
    ))
}
