//! One explanation.

use super::super::format::{NOTHING, Table, bytes, cell, count, number, percent, times};
use super::super::report::Report;
use super::{Section, is_too_large, memory, owned, prompt_sentence, ratio, sentences};

const FLOOR: &str = "
The floor is the arithmetic of the linear layers of all decoder layers at the rate that bfloat16 products reached in \
the same run: forward and pulled back where layers are rebuilt, pulled back alone where everything is kept.";

/// Seconds that the linear layers take at the rate of products that was measured: forward, pulled back.
fn floors(report: &Report, row: &str) -> Option<(f64, f64)> {
    let rate = |name: &str| report.number("explanation", "matmul", name);
    let flops = report.number("explanation", row, "linear_flops")?;
    Some((flops / rate("forward_flops_per_s")?, flops / rate("back_flops_per_s")?))
}

pub(super) fn explanation(report: &Report) -> Section {
    let get = |row: &str, name: &str| report.number("explanation", row, name);
    let mut table = Table::new(&[
        "",
        "s",
        "least to most",
        "peer's / this",
        "floor s",
        "share of the floor",
        "memory",
        "of it states",
        "runs",
    ]);
    let rows = [
        ("ours, layers rebuilt from their inputs", "rebuild"),
        ("ours, everything kept: pulled back alone", "pull-back"),
        ("ours, retained engine (every attention kept)", "retained"),
        ("peer, frozen weights", "peer"),
        ("peer, as published: weights ask for gradients", "unfrozen"),
    ];
    for (label, row) in rows {
        let median = get(row, "median_s");
        let floor = match row {
            "rebuild" => floors(report, row).map(|(forward, back)| forward + back),
            "pull-back" => floors(report, row).map(|(_, back)| back),
            _ => None,
        };
        let spread = get(row, "min_s").zip(get(row, "max_s"));
        table.push(vec![
            owned(label),
            if is_too_large(report, "explanation", row) {
                owned("does not fit")
            } else {
                cell(median, number)
            },
            spread.map_or_else(
                || owned(NOTHING),
                |(least, most)| format!("{} to {}", number(least), number(most)),
            ),
            cell(ratio(get("peer", "median_s"), median), number),
            cell(floor, number),
            cell(ratio(floor, median), percent),
            memory(report, "explanation", row),
            cell(get(row, "states_bytes"), bytes),
            cell(get(row, "runs"), count),
        ]);
    }
    let intro = prompt_sentence(report, "explanation", "rebuild")
        .replace("; greedy.", ". One explanation of its last token, after the answer was made.")
        + FLOOR;
    let shows = sentences(&[explanation_ratio(report), product_rates(report), too_large(report)]);
    Section { name: "explanation", title: "One explanation", intro, table, shows }
}

fn explanation_ratio(report: &Report) -> Option<String> {
    let get = |row: &str| report.number("explanation", row, "median_s");
    let [rebuild, pull_back] =
        ["rebuild", "pull-back"].map(|row| ratio(get("peer"), get(row)).map(times));
    Some(format!(
        "The peer takes {} as long as ours with layers rebuilt, \
         {} as long as ours with everything kept.",
        rebuild?, pull_back?
    ))
}

fn product_rates(report: &Report) -> Option<String> {
    let rate = |name: &str| Some(number(report.number("explanation", "matmul", name)? / 1e9));
    Some(format!(
        "Products of 324 rows with a matrix of 10240 × 2560 reached {} GFLOP/s forward \
         and {} GFLOP/s pulled back.",
        rate("forward_flops_per_s")?,
        rate("back_flops_per_s")?,
    ))
}

fn too_large(report: &Report) -> Option<String> {
    let reached = report.number("explanation", "unfrozen", "reached_bytes")?;
    Some(format!(
        "As published, the peer had taken {} (what it loaded included) when the machine's memory \
         was used up, and was ended.",
        bytes(reached),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::tests::report;
    use super::*;

    #[test]
    fn an_explanation_stands_beside_its_floor_and_the_peer() {
        let rebuild = json!({
            "median_s": 8.0, "min_s": 7.0, "max_s": 9.0,
            "linear_flops": 8e11, "tokens": 324, "peak_bytes": 5e8,
        });
        let products = json!({"forward_flops_per_s": 4e11, "back_flops_per_s": 2e11});
        let report = report(&[
            ("explanation", "matmul", products),
            ("explanation", "rebuild", rebuild),
            ("explanation", "peer", json!({"median_s": 80.0})),
            ("explanation", "unfrozen", json!({"does_not_fit": true, "reached_bytes": 2.3e10})),
        ]);
        let section = explanation(&report);
        let table = section.table.to_string();
        // 2 s forward and 4 s back: 6 of 8.
        assert!(table.contains("| 8.00 | 7.00 to 9.00 | 10.0 | 6.00 | 75 % | 500 MB |"), "{table}");
        assert!(table.contains("| does not fit |") && table.contains("over 23.0 GB"), "{table}");
        assert!(section.shows.contains("400 GFLOP/s forward and 200 GFLOP/s"), "{}", section.shows);
        assert!(section.intro.contains("324 tokens"));
    }
}
