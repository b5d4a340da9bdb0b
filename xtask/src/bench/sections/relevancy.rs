//! The pure crate: row form against matrix form.

use super::super::format::{Table, bytes, cell, count, number};
use super::super::report::Report;
use super::{Section, owned, ratio};

pub(super) fn relevancy(report: &Report) -> Section {
    let mut table = Table::new(&[
        "tokens",
        "row s",
        "matrix s",
        "matrix / row",
        "row's memory",
        "matrix's memory",
        "layers measured",
    ]);
    let mut ratios = Vec::new();
    let rows = report.measurements.iter().filter(|found| found.section == "relevancy");
    for name in rows.filter_map(|found| found.row.strip_prefix("row ")) {
        let matrix_row = format!("matrix {name}");
        let row = |what: &str| report.number("relevancy", &format!("row {name}"), what);
        let matrix = |what: &str| report.number("relevancy", &matrix_row, what);
        let scale = ratio(row("layers"), matrix("layers"));
        let scaled = matrix("median_s").zip(scale).map(|(seconds, scale)| seconds * scale);
        let slower = ratio(scaled, row("median_s"));
        table.push(vec![
            count(name.parse().unwrap_or(f64::NAN)),
            cell(row("median_s"), number),
            cell(scaled, number) + if scale == Some(1.0) { "" } else { " (scaled)" },
            cell(slower, number),
            cell(row("peak_bytes"), bytes),
            cell(matrix("peak_bytes"), bytes),
            format!("{} and {}", cell(row("layers"), count), cell(matrix("layers"), count)),
        ]);
        ratios.extend(slower.map(|slower| format!("{} at {name} tokens", number(slower))));
    }
    let shows = if ratios.is_empty() {
        String::new()
    } else {
        format!("The time of the whole matrix over that of its one row: {}.", ratios.join(", "))
    };
    let intro = owned(FORMS);
    Section { name: "relevancy", title: "Row form against matrix form", intro, table, shows }
}

const FORMS: &str = "\
The pure crate, from attention and gradient in memory (8 heads, float32, 34 layers): \
the row of one token pulled back through the layers, against the whole matrix R.
Memory is what comes on top of attention and gradient.
A matrix over fewer layers is scaled to 34: every layer takes as long.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::tests::report;
    use super::*;

    #[test]
    fn a_matrix_of_fewer_layers_is_scaled_and_says_so() {
        let report = report(&[
            ("relevancy", "row 300", json!({"median_s": 0.5, "layers": 34})),
            ("relevancy", "matrix 300", json!({"median_s": 2.0, "layers": 17})),
        ]);
        let table = relevancy(&report).table.to_string();
        assert!(table.contains("| 300 | 0.500 | 4.00 (scaled) | 8.00 |"), "{table}");
    }
}
