//! What other methods cost beside the plain sweep.

use super::super::format::{Table, cell, count, number, times};
use super::super::report::Report;
use super::{Section, owned, ratio, sentences};

/// Each with the name of its seconds.
const METHODS: [(&str, &str); 18] = [
    ("relevancy with raw attention of the last layer and rollout: the plain sweep", "plain_s"),
    ("with rollout of chosen layers or heads", "rollout_s"),
    ("with raw attention, all layers", "raw_attention_s"),
    ("with the attention of the word itself, all layers", "token_attention_s"),
    ("with that of all its tokens", "object_attention_s"),
    ("with gradient × attention, all layers", "gradient_attention_s"),
    ("with Grad-CAM on attention of the last layer", "grad_cam_attention_s"),
    ("with Grad-CAM on hidden states before the middle layer", "grad_cam_hidden_s"),
    ("with attention by the norm of its values, all layers", "value_norm_s"),
    ("with LeGrad, all layers", "legrad_s"),
    ("with DEX-AR, all layers", "dex_ar_s"),
    ("with gradient × input", "input_gradient_s"),
    ("with the drop towards the mean cell", "mean_cell_s"),
    ("with the token activation map", "tam_s"),
    ("with all of these methods", "all_s"),
    ("with what every head did", "by_head_s"),
    ("the alternatives of the token alone, without a sweep", "alternatives_s"),
    ("a second point of the path alone: a run and a sweep", "second_point_s"),
];

pub(super) fn methods(report: &Report) -> Section {
    let get = |name: &str| report.number("methods", "methods", name);
    let mut table = Table::new(&["", "s", "of the plain sweep"]);
    // A run of before a method was there says nothing of it.
    for (label, name) in METHODS.into_iter().filter(|(_, name)| get(name).is_some()) {
        table.push(vec![
            owned(label),
            cell(get(name), number),
            cell(ratio(get(name), get("plain_s")), times),
        ]);
    }
    let all = ratio(get("all_s"), get("plain_s"));
    let shows = sentences(&[all.map(|all| {
        format!("All methods together take {} as long as relevancy alone.", times(all))
    })]);
    let runs = match get("runs") {
        Some(1.0) => owned("once"),
        runs => format!("{} times", cell(runs, count)),
    };
    let intro = format!(
        "The same conversation, one token explained, everything kept. One process does all of them in turn, {runs} after one time that is not counted; medians."
    );
    Section { name: "methods", title: "Methods of comparison", intro, table, shows }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::tests::report;
    use super::*;

    #[test]
    fn methods_are_told_against_the_plain_sweep() {
        let figures = json!({"plain_s": 2.0, "tam_s": 3.0, "all_s": 5.0, "runs": 3});
        let section = methods(&report(&[("methods", "methods", figures)]));
        assert!(section.shows.contains("take 2.50 times as long"), "{}", section.shows);
        assert!(section.table.to_string().contains("1.50 times"));
        assert!(!section.table.to_string().contains("LeGrad"));
    }
}
