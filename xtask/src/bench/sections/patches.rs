//! One picture, explained to its patches and pixels.

use super::super::format::{Table, bytes, cell, count, number, times};
use super::super::report::Report;
use super::{Section, owned, ratio, sentences};

pub(super) fn patches(report: &Report) -> Section {
    let get = |row: &str, name: &str| report.number("patches", row, name);
    let sweep = |row: &str| report.number("explanation", row, "median_s");
    let mut table = Table::new(&["", "s", "memory", "runs"]);
    for (label, row) in [
        ("the picture through vision tower and projector", "picture"),
        (
            "one goal, from its tokens to patches and pixels; the picture's way through is in it",
            "patches",
        ),
    ] {
        table.push(vec![
            owned(label),
            cell(get(row, "median_s"), number),
            cell(get(row, "peak_bytes"), bytes),
            cell(get(row, "runs"), count),
        ]);
    }
    // What we aim at: two sweeps of the language model and a run of the vision tower.
    let aim = |row: &str| Some(2.0 * sweep(row)? + get("picture", "median_s")?);
    let found = get("patches", "median_s");
    let shows = sentences(&[
        ratio(found, aim("rebuild")).map(|ratio| {
            let ratio = times(ratio);
            format!("It takes {ratio} as long as two sweeps of the language model with layers rebuilt and one run of the vision tower: 1 or less is what we aim at.")
        }),
        ratio(found, aim("pull-back")).map(|ratio| {
            format!("With everything kept in the language model that is {}.", times(ratio))
        }),
    ]);
    let patches = cell(get("patches", "patches"), count);
    let intro = format!(
        "A random picture of {patches} patches; what the goal left at its tokens is random too."
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
            ("patches", "patches", json!({"median_s": 10.0})),
        ]);
        let section = patches(&report);
        assert!(section.shows.contains("2.00 times as long"), "{}", section.shows);
        assert!(!section.shows.contains("everything kept"));
    }
}
