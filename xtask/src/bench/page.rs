//! The page, made from a report alone.

use std::fmt::Write;

use serde_json::Value;

use super::format::{Table, bytes, cell, count};
use super::report::Report;
use super::sections;

/// Markdown.
pub(crate) fn page(report: &Report, stem: &str) -> String {
    let text = |name: &str| report.head.get(name).and_then(Value::as_str);
    let mut page = format!("# Benchmarks\n\n{}\n", HOW.replace("STEM", stem));
    let command = text("command").unwrap_or("cargo xtask bench");
    let date = text("date").map_or_else(String::new, |date| format!(" on {date}"));
    let minutes = report.head.get("minutes").and_then(Value::as_f64);
    let minutes = minutes.map_or_else(String::new, |m| format!("; it took {m:.0} minutes"));
    let _ = writeln!(page, "\nWritten by `{command}`{date}{minutes}.\n\n{}", machine(report));
    if let Some(note) = text("note") {
        let _ = writeln!(page, "\n{note}");
    }
    for section in sections::all(report) {
        let _ = writeln!(page, "\n## {}\n\n{}", section.title, section.intro);
        let _ = writeln!(page, "\n{}\n{}", section.table, section.shows);
        let faults = faults(report, section.name);
        if !faults.is_empty() {
            let _ = writeln!(page, "\nNot measured:\n{faults}");
        }
    }
    let _ =
        write!(page, "\n## Commands\n\nOne process each, in this order.\n\n{}", commands(report));
    page
}

const HOW: &str = "\
The same numbers, with more digits and more of them, are in `STEM.json`, and `cargo xtask bench --page` makes this page from that file.
\"Peer\" is the Python way, `benches/peer.py`: Hugging Face transformers on PyTorch, attention kept with its gradient, relevancy by matrix products.
Weights are random and of the shape of the named model; image features are random numbers, so the vision tower takes part only where it is named; token shapes are the same for both.
Every measurement is a process of its own, one after the other; the machine shall have nothing else to do.
Ours waits for its threads asleep (`OMP_WAIT_POLICY=PASSIVE`), as the command chooses for itself; the peer waits as PyTorch does by default.
One warm-up, then the number of runs in the column; times are medians.
A job whose first run takes longer than the limit (60 s where the command names none) has that run alone.
Memory is the most that was in use above what was in use right after the model was loaded, states kept for explanations included: anonymous memory on a CPU, all memory taken on a GPU.";

fn machine(report: &Report) -> String {
    let mut table = Table::new(&["machine", ""]);
    let mut push = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.push(vec![name.to_owned(), value]);
        }
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (machine, versions) = (&report.to_json()["machine"], &report.to_json()["versions"]);
    push("processor", text(&machine["processor"]));
    push("threads", machine["threads"].as_f64().map(count));
    push("memory", machine["memory_bytes"].as_f64().map(bytes));
    push("GPU", text(&machine["gpu"]));
    push("system", text(&machine["system"]));
    let load = report.head.get("load_before").and_then(Value::as_f64);
    push("load before the start", load.map(|load| load.to_string()));
    for (name, value) in versions.as_object().into_iter().flatten() {
        push(name, text(value));
    }
    let models = &report.to_json()["models"];
    push("model", text(&models["main"]));
    push("model for growth", text(&models["growth"]));
    table.to_string().trim_end().to_owned()
}

/// What failed, as a list.
fn faults(report: &Report, section: &str) -> String {
    let measurements = report.measurements.iter().filter(|found| found.section == section);
    let mut list = String::new();
    for found in measurements {
        if let Err(why) = &found.outcome {
            let _ = write!(list, "\n- {}: {why}", found.row);
        }
    }
    list
}

fn commands(report: &Report) -> String {
    let mut table = Table::new(&["section", "row", "command", "s in all"]);
    for found in &report.measurements {
        let command = if found.command.is_empty() {
            cell(None, count)
        } else {
            format!("`{}`", found.command)
        };
        let wall = count(found.wall_s);
        table.push(vec![found.section.clone(), found.row.clone(), command, wall]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_page_names_machine_command_and_faults() {
        let mut report = report(&[
            ("generation", "ours", json!({"median_s": 2.0, "tokens_per_s": 4.0, "prefill_s": 1.0})),
            ("generation", "peer", json!("exit status: 1: no torch")),
        ]);
        report.head.insert("command".to_owned(), json!("cargo xtask bench --quick"));
        report.head.insert("date".to_owned(), json!("2026-01-02"));
        report.head.insert("machine".to_owned(), json!({"processor": "A CPU", "threads": 2}));
        let page = page(&report, "benchmarks");
        assert!(page.starts_with("# Benchmarks\n"));
        assert!(page.contains("Written by `cargo xtask bench --quick` on 2026-01-02.\n"));
        assert!(page.contains("| processor | A CPU |\n| threads | 2 |"));
        assert!(page.contains("Not measured:\n\n- peer: exit status: 1: no torch\n"));
        assert!(page.contains("`measure ours`"));
        assert!(!page.contains("## Growth"), "a section without measurements is left out");
        assert!(page.lines().all(|line| line == line.trim_end()));
    }
}
