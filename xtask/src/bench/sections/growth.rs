//! Growth with the number of pictures.

use super::super::format::{Table, bytes, cell, count, number, times};
use super::super::report::Report;
use super::{Section, is_too_large, memory, owned, ratio, sentences};

/// One length of the growing conversation.
struct Length {
    tokens: f64,
    pairs: Option<f64>,
    seconds: Option<f64>,
    memory: Option<f64>,
}

pub(super) fn growth(report: &Report) -> Section {
    let mut table = Table::new(&[
        "tokens",
        "visible pairs",
        "ours s",
        "s per 10⁹ pairs",
        "memory",
        "of it states",
        "runs",
        "peer s",
        "peer's memory",
        "peer's maps alone",
    ]);
    let mut lengths = Vec::new();
    let rows = report.measurements.iter().filter(|found| found.section == "growth");
    for name in rows.filter_map(|found| found.row.strip_prefix("ours ")) {
        let (ours, peer) = (format!("ours {name}"), format!("peer {name}"));
        let get = |row: &str, what: &str| report.number("growth", row, what);
        let length = Length {
            tokens: name.parse().unwrap_or(f64::NAN),
            pairs: get(&ours, "visible_pairs"),
            seconds: get(&ours, "median_s"),
            memory: get(&ours, "peak_bytes"),
        };
        let peer_seconds = if is_too_large(report, "growth", &peer) {
            owned("does not fit")
        } else {
            cell(get(&peer, "median_s"), number)
        };
        table.push(vec![
            count(length.tokens),
            cell(length.pairs.map(|pairs| pairs / 1e6), |pairs| {
                format!("{} million", number(pairs))
            }),
            cell(length.seconds, number),
            cell(ratio(length.seconds, length.pairs.map(|pairs| pairs / 1e9)), number),
            cell(length.memory, bytes),
            cell(get(&ours, "states_bytes"), bytes),
            cell(get(&ours, "runs"), count),
            peer_seconds,
            memory(report, "growth", &peer),
            cell(get(&peer, "needed_bytes"), bytes),
        ]);
        lengths.push(length);
    }
    let intro = owned(PAIRS);
    Section {
        name: "growth",
        title: "Growth with the number of pictures",
        intro,
        table,
        shows: grown(&lengths),
    }
}

const PAIRS: &str = "\
One explanation, layers rebuilt, of a conversation that grows by pictures of 256 tokens.
A pair is a query and a key that it may see, summed over the layers, heads not counted: \
full layers see all that is before them, sliding ones their window, images themselves both ways.
The peer keeps, for every layer, head, query and key, the softmax in float32, the attention and its gradient \
in bfloat16: 8 bytes. The last column is their sum; where it is more than the memory that is free the peer was not run.";

/// From the shortest to the longest.
fn grown(lengths: &[Length]) -> String {
    let (Some(first), Some(last)) = (lengths.first(), lengths.last()) else { return String::new() };
    let tokens = last.tokens / first.tokens;
    let between = |from, to| ratio(to, from).map(times);
    sentences(&[
        between(first.memory, last.memory)
            .map(|x| format!("With {} as many tokens memory grows to {x} as much.", times(tokens))),
        between(first.pairs, last.pairs).zip(between(first.seconds, last.seconds)).map(
            |(pairs, seconds)| {
                format!("There are {pairs} as many visible pairs, and it takes {seconds} as long.")
            },
        ),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::tests::report;
    use super::*;

    #[test]
    fn growth_is_told_by_pairs() {
        let ours = |s: f64, pairs: f64, peak: f64| json!({"median_s": s, "visible_pairs": pairs, "peak_bytes": peak});
        let report = report(&[
            ("growth", "ours 1000", ours(1.0, 1e9, 1e8)),
            (
                "growth",
                "peer 1000",
                json!({"median_s": 9.0, "peak_bytes": 4e9, "needed_bytes": 3e9}),
            ),
            ("growth", "ours 2000", ours(3.0, 3e9, 2e8)),
            ("growth", "peer 2000", json!({"does_not_fit": true, "needed_bytes": 1.2e10})),
        ]);
        let section = growth(&report);
        let table = section.table.to_string();
        assert!(table.contains("| 2 000 | 3000 million | 3.00 | 1.00 | 200 MB |"), "{table}");
        assert!(table.contains("| does not fit | – | 12.0 GB |"), "{table}");
        assert!(
            section.shows.contains("3.00 times as many visible pairs, and it takes 3.00 times")
        );
    }
}
