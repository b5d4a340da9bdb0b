//! The sections of the page: a table each, and what it shows.

mod explanation;
mod generation;
mod growth;
mod methods;
mod patches;
mod question;
mod relevancy;
mod targets;

use super::format::{NOTHING, Table, bytes, cell, count};
use super::report::Report;

/// As `--only` knows them.
pub(crate) const NAMES: [&str; 8] = [
    "question",
    "generation",
    "explanation",
    "methods",
    "targets",
    "patches",
    "growth",
    "relevancy",
];

/// A part of the page.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) intro: String,
    pub(crate) table: Table,
    /// What the table shows, from its numbers.
    pub(crate) shows: String,
}

/// Those that something was measured for.
pub(crate) fn all(report: &Report) -> Vec<Section> {
    let sections = [
        question::question,
        generation::generation,
        explanation::explanation,
        methods::methods,
        targets::targets,
        patches::patches,
        growth::growth,
        relevancy::relevancy,
    ];
    let is_there = |name: &str| report.measurements.iter().any(|found| found.section == name);
    NAMES
        .iter()
        .zip(sections)
        .filter(|(name, _)| is_there(name))
        .map(|(_, section)| section(report))
        .collect()
}

fn ratio(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    Some(above? / below?).filter(|ratio| ratio.is_finite())
}

fn owned(text: &str) -> String {
    text.to_owned()
}

/// Sentences whose numbers are all there.
fn sentences(list: &[Option<String>]) -> String {
    let found: Vec<&str> = list.iter().flatten().map(String::as_str).collect();
    found.join("\n")
}

fn prompt_sentence(report: &Report, section: &str, row: &str) -> String {
    let tokens = cell(report.number(section, row, "tokens"), count);
    format!("A conversation of {tokens} tokens: one picture, a question, an answer; greedy.")
}

fn is_too_large(report: &Report, section: &str, row: &str) -> bool {
    let result = report.find(section, row).and_then(|found| found.outcome.as_ref().ok());
    result.is_some_and(|result| result.get("does_not_fit") == Some(&true.into()))
}

/// Measured or, of what does not fit, how far it came.
fn memory(report: &Report, section: &str, row: &str) -> String {
    let get = |name: &str| report.number(section, row, name);
    match get("peak_bytes") {
        Some(peak) => bytes(peak),
        None if get("reached_bytes").is_some() => {
            format!("over {}, weights included", cell(get("reached_bytes"), bytes))
        }
        None => owned(NOTHING),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn what_is_missing_is_a_dash_and_no_sentence() {
        let report = report(&[("generation", "ours", json!("broke"))]);
        let section = &all(&report)[0];
        assert_eq!(section.shows, "");
        assert!(section.table.to_string().contains(NOTHING));
    }
}
