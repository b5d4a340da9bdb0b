//! Many targets, and further questions.

use super::super::format::{Table, bytes, cell, count, number, percent};
use super::super::report::Report;
use super::{Section, owned, ratio, sentences};

pub(super) fn targets(report: &Report) -> Section {
    let single = |name: &str| report.number("explanation", "rebuild", name);
    let get = |row: &str, name: &str| report.number("targets", row, name);
    let n = get("many", "targets");
    let many = get("many", "median_s");
    let singles = single("median_s").zip(n).map(|(single, n)| single * n);
    let share = ratio(many, singles);
    let next = ratio(get("next", "median_s"), single("median_s"));
    let mut table =
        Table::new(&["", "s", "s per token", "share of one at a time", "memory", "runs"]);
    table.push(vec![
        owned("one token, layers rebuilt"),
        cell(single("median_s"), number),
        cell(single("median_s"), number),
        percent(1.0),
        cell(single("peak_bytes"), bytes),
        cell(single("runs"), count),
    ]);
    table.push(vec![
        format!("{} tokens in one sweep, layers rebuilt", cell(n, count)),
        cell(many, number),
        cell(ratio(many, n), number),
        cell(share, percent),
        cell(get("many", "peak_bytes"), bytes),
        cell(get("many", "runs"), count),
    ]);
    table.push(vec![
        owned("the next question about the same answer, everything kept"),
        cell(get("next", "median_s"), number),
        cell(get("next", "median_s"), number),
        cell(next, percent),
        cell(get("next", "peak_bytes"), bytes),
        cell(get("next", "runs"), count),
    ]);
    let shows = sentences(&[
        share.zip(n).map(|(share, n)| {
            let (n, share) = (count(n), percent(share));
            format!(
                "{n} tokens in one sweep take {share} of the time of as many single explanations."
            )
        }),
        next.map(|next| format!("{NEXT} {} of the first.", percent(next))),
    ]);
    let intro = owned("The same conversation; each token is a target of its own.");
    Section { name: "targets", title: "Many targets, and further questions", intro, table, shows }
}

const NEXT: &str = "\
A further question about the same answer generates nothing and rebuilds nothing: it takes";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::tests::report;
    use super::*;

    #[test]
    fn targets_are_compared_with_single_ones() {
        let report = report(&[
            ("explanation", "rebuild", json!({"median_s": 10.0})),
            ("targets", "many", json!({"median_s": 240.0, "targets": 40})),
            ("targets", "next", json!({"median_s": 5.0})),
        ]);
        let section = targets(&report);
        assert!(section.shows.contains("take 60 % of the time"), "{}", section.shows);
        assert!(section.shows.contains("it takes 50 % of the first"), "{}", section.shows);
    }
}
