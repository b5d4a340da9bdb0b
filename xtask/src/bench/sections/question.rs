//! What a person waits for.

use super::super::format::{Table, bytes, cell, number, times};
use super::super::report::Report;
use super::{Section, memory, owned, ratio, sentences};

/// Parts of the first question, in order.
const PARTS: [(&str, &str); 8] = [
    ("the picture's file decoded", "decode_picture_s"),
    ("prompt and pixels prepared", "preprocess_s"),
    ("vision tower and projector", "vision_s"),
    ("prefill", "prefill_s"),
    ("the other tokens", "decode_s"),
    ("one token explained", "explain_s"),
    ("record, arrays, overlay and page written", "export_s"),
    ("**the whole question**", "median_s"),
];

/// What is asked after it.
const MORE: [(&str, &str); 3] = [
    ("a second word of the same answer", "second_word_s"),
    ("a second question about the same picture", "second_question_s"),
    ("a second picture", "second_picture_s"),
];

pub(super) fn question(report: &Report) -> Section {
    let get = |row: &str, name: &str| report.number("question", row, name);
    let mut table = Table::new(&["", "ours", "peer, frozen", "peer / ours", "peer, as published"]);
    for (label, name) in PARTS.into_iter().chain(MORE) {
        let of = |row: &str| cell(get(row, name), number);
        let against = ratio(get("peer", name), get("ours", name));
        table.push(vec![
            owned(label),
            of("ours"),
            of("peer"),
            cell(against, times),
            of("unfrozen"),
        ]);
    }
    let of = |row: &str| memory(report, "question", row);
    table.push(vec![owned("memory"), of("ours"), of("peer"), String::new(), of("unfrozen")]);
    let against = |row: &str, what: &str| {
        let whole = ratio(get(row, "median_s"), get("ours", "median_s"))?;
        Some(format!(
            "The Python way takes {} as long for the whole question, {what}.",
            times(whole)
        ))
    };
    let load = get("ours", "load_s").zip(get("peer", "load_s"));
    let shows = sentences(&[
        against("peer", "weights frozen"),
        against("unfrozen", "as published"),
        load.map(|(ours, peer)| {
            format!("Loading comes before: {} s and {} s.", number(ours), number(peer))
        }),
    ]);
    let intro = format!(
        "A picture of 1024 × 1024 in a file, a question, an answer of so many tokens, greedy; its last token explained; results on disk. A process that has just loaded the weights, each thing done once.\n\
         The peer opens the picture with Pillow, prepares it with the model's processor, generates with SDPA and explains with eager attention, vision tower included; of the map it writes a picture. \
         It keeps nothing from one question to the next. Memory is above what was in use when the model was loaded: {} for ours.",
        cell(get("ours", "peak_bytes"), bytes)
    );
    Section { name: "question", title: "The whole question", intro, table, shows }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_whole_is_told_against_the_peer() {
        let report = report(&[
            ("question", "ours", json!({"median_s": 50.0, "vision_s": 25.0, "load_s": 0.2})),
            ("question", "peer", json!({"median_s": 150.0, "vision_s": 30.0, "load_s": 2.0})),
            ("question", "unfrozen", json!({"does_not_fit": true})),
        ]);
        let section = question(&report);
        assert!(section.shows.contains("takes 3.00 times as long"), "{}", section.shows);
        assert!(!section.shows.contains("as published"));
        let table = section.table.to_string();
        assert!(
            table.contains("| vision tower and projector | 25.0 | 30.0 | 1.20 times"),
            "{table}"
        );
    }
}
