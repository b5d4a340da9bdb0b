//! One picture, explained to its patches and pixels.

use super::super::format::{Table, bytes, cell, count, number, times};
use super::super::report::Report;
use super::{Section, owned, ratio, sentences};

pub(super) fn patches(report: &Report) -> Section {
    let get = |row: &str, name: &str| report.number("patches", row, name);
    let sweep = |row: &str| report.number("explanation", row, "median_s");
    let mut table = Table::new(&["", "s", "memory", "of it kept", "runs"]);
    for (label, row) in [
        ("the picture through vision tower and projector", "picture"),
        ("the same, and what the way back needs is kept", "keeping"),
        ("one goal, from its tokens to patches and pixels, over what was kept", "kept"),
        ("one goal with nothing kept: the picture's way through is in it", "patches"),
    ] {
        if get(row, "median_s").is_none() {
            continue; // measured before there was this row
        }
        table.push(vec![
            owned(label),
            cell(get(row, "median_s"), number),
            cell(get(row, "peak_bytes"), bytes),
            cell(get(row, "states_bytes"), bytes),
            cell(get(row, "runs"), count),
        ]);
    }
    // What we aim at: two sweeps of the language model and a run of the vision tower.
    let aim = |row: &str| Some(2.0 * sweep(row)? + get("picture", "median_s")?);
    let against = |row: &str| {
        let of = |sweep: &str| ratio(get(row, "median_s"), aim(sweep)).map(times);
        let rebuilt = of("rebuild")?;
        let kept = of("pull-back")
            .map_or_else(String::new, |kept| format!(", {kept} where all of it is kept"));
        Some(format!("{rebuilt} that where the language model is rebuilt layer by layer{kept}"))
    };
    let shows = sentences(&[
        against("kept").map(|ratios| format!("Over what was kept a goal takes {ratios}.")),
        against("patches").map(|ratios| format!("With nothing kept it takes {ratios}.")),
    ]);
    let patches = cell(get("patches", "patches"), count);
    let intro = format!(
        "A random picture of {patches} patches; what the goal left at its tokens is random too.\nWe aim at a goal in the time of two sweeps of the language model and one run of the vision tower: 1 or less of it."
    );
    Section { name: "patches", title: "Finer than tokens", intro, table, shows }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::tests::report;
    use super::*;

    #[test]
    fn patches_are_told_against_two_sweeps_and_a_run() {
        let report = report(&[
            ("explanation", "rebuild", json!({"median_s": 2.0})),
            ("patches", "picture", json!({"median_s": 1.0})),
            ("patches", "kept", json!({"median_s": 10.0})),
            ("patches", "patches", json!({"median_s": 11.0})),
        ]);
        let section = patches(&report);
        for told in ["a goal takes 2.00 times that", "kept it takes 2.20 times that"] {
            assert!(section.shows.contains(told), "{}", section.shows);
        }
        assert!(!section.shows.contains("all of it"));
    }
}
