//! Phrases set against others, on the page: each pair as three more targets.

use attention_relevancy::ndarray::Array1;
use relevancy_visualization::report::{Attribution, Fact, Target};

use super::methods::Methods;
use crate::text::minus;
use crate::{Explained, Phrase, Versus};

/// What speaks for the one phrase rather than the other, what for the one, what for the other. They stand beside the text.
pub(super) fn targets<'a>(explained: &'a Explained<'_>, methods: &Methods<'_>) -> Vec<Target<'a>> {
    let of_pair = |versus: &'a Versus| {
        let Versus { phrase, against, .. } = versus;
        let [one, other] = [&phrase.text, &against.text];
        let target = |text: String, objective: &str, row: &'a Array1<f32>| Target {
            self_positions: versus.self_position().into_iter().collect(),
            attributions: methods.relevancy_alone(
                Attribution::new(row.view()),
                "phrases have the relevancy of tokens only",
            ),
            facts: vec![Fact::new("Objective", objective)],
            ..Target::new(text, versus.positions.clone())
        };
        let text = format!("{one} rather than {other}");
        let objective = "log-probability of the first minus that of the second";
        let mut rather = target(text, objective, &versus.contrast);
        rather.facts.extend([log_probability(phrase), log_probability(against)]);
        let difference = minus(format!("{:+.3} nats", versus.log_ratio()));
        rather.facts.push(Fact::new("Difference", difference));
        let alone = |phrase: &'a Phrase, place: &str| {
            let text = format!("{}{place}", phrase.text);
            let mut target = target(text, "log-probability", &phrase.relevancy);
            target.probability = Some(phrase.log_probability().exp().clamp(0.0, 1.0));
            target.facts.push(log_probability(phrase));
            target
        };
        [rather, alone(phrase, " (as a phrase)"), alone(against, " (in its place)")]
    };
    explained.versus.iter().flat_map(of_pair).collect()
}

fn log_probability(phrase: &Phrase) -> Fact {
    let tokens = match phrase.token_ids.len() {
        1 => String::new(),
        tokens => format!(", summed over {tokens} tokens"),
    };
    let value = phrase.log_probability_text() + &tokens;
    Fact::new(format!("Log-probability of {}", phrase.text), value)
}
