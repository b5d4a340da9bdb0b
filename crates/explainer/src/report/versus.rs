//! Phrases set against others, on the page: each pair as three more targets.

use attention_relevancy::ndarray::ArrayView1;
use relevancy_visualization::report::{Attribution, Fact, Target};

use super::methods::Methods;
use super::minus;
use crate::arrays::VersusRows;
use crate::record::{PhraseRecord, Record, VersusRecord};
use crate::versus::log_probability_text;

/// What speaks for the one phrase rather than the other, what for the one, what for the other. They stand beside the text.
pub(super) fn targets<'a>(
    record: &'a Record,
    rows: &'a VersusRows,
    methods: &Methods<'_>,
) -> Vec<Target<'a>> {
    let of_pair = |(index, versus): (usize, &'a VersusRecord)| {
        let VersusRecord { phrase, against, .. } = versus;
        let [one, other] = [&phrase.text, &against.text];
        let target = |text: String, objective: &str, row: ArrayView1<'a, f32>| Target {
            self_positions: versus.positions[0].checked_sub(1).into_iter().collect(),
            attributions: methods.relevancy_alone(
                Attribution::new(row),
                "phrases have the relevancy of tokens only",
            ),
            facts: vec![Fact::new("Objective", objective)],
            ..Target::new(text, versus.positions[0]..versus.positions[1])
        };
        let text = format!("{one} rather than {other}");
        let objective = "log-probability of the first minus that of the second";
        let mut rather = target(text, objective, rows.contrast.row(index));
        rather.facts.extend([log_probability(phrase), log_probability(against)]);
        let difference = minus(format!("{:+.3} nats", versus.log_ratio));
        rather.facts.push(Fact::new("Difference", difference));
        let alone = |phrase: &PhraseRecord, place: &str, row| {
            let mut target = target(format!("{}{place}", phrase.text), "log-probability", row);
            target.probability = Some(phrase.log_probability.exp().clamp(0.0, 1.0));
            target.facts.push(log_probability(phrase));
            target
        };
        [
            rather,
            alone(phrase, " (as a phrase)", rows.phrase.row(index)),
            alone(against, " (in its place)", rows.against.row(index)),
        ]
    };
    record.versus.iter().enumerate().flat_map(of_pair).collect()
}

fn log_probability(phrase: &PhraseRecord) -> Fact {
    let tokens = match phrase.token_ids.len() {
        1 => String::new(),
        tokens => format!(", summed over {tokens} tokens"),
    };
    let value = log_probability_text(phrase.log_probability) + &tokens;
    Fact::new(format!("Log-probability of {}", phrase.text), value)
}
