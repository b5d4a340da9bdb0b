//! Phrases set against others, on the page: each pair as three more targets.

use attention_relevancy::ndarray::{Array1, Array2, Array4, ArrayView1};
use relevancy_visualization::report::{Attribution, Fact, Method, Target};

use crate::arrays::{Rows, VersusRows};
use crate::record::{PhraseRecord, Record, VersusRecord};
use crate::versus::log_probability_text;

/// The rows of methods that say nothing of phrases: all but relevancy of tokens.
pub(super) struct Nothing {
    row: Array1<f32>,
    /// Of one image; all are alike.
    part: Array2<f32>,
    images: usize,
}

impl Nothing {
    /// In the shape of what the targets have: a record may be anybody's, but its arrays were held against it.
    pub(super) fn new(targets: &Rows) -> Self {
        let (_, images, rows, columns) =
            targets.patches.as_ref().map(Array4::dim).unwrap_or_default();
        let row = Array1::zeros(targets.relevancy.ncols());
        Self { row, part: Array2::zeros((rows, columns)), images }
    }
}

/// What speaks for the one phrase rather than the other, what for the one, what for the other. They stand beside the text.
pub(super) fn targets<'a>(
    record: &'a Record,
    rows: &'a VersusRows,
    nothing: &'a Nothing,
    methods: &[Method],
) -> Vec<Target<'a>> {
    let of_pair = |(index, versus): (usize, &'a VersusRecord)| {
        let VersusRecord { phrase, against, .. } = versus;
        let [one, other] = [&phrase.text, &against.text];
        let target = |text: String, objective: &str, row: ArrayView1<'a, f32>| Target {
            self_positions: versus.positions[0].checked_sub(1).into_iter().collect(),
            attributions: attributions(row, nothing, methods),
            facts: vec![Fact::new("objective", objective)],
            ..Target::new(text, versus.positions[0]..versus.positions[1])
        };
        let text = format!("{one} rather than {other}");
        let mut rather =
            target(text, "the one log-probability minus the other", rows.contrast.row(index));
        rather.facts.extend([log_probability(phrase), log_probability(against)]);
        rather.facts.push(Fact::new("difference", format!("{:+.3}", versus.log_ratio)));
        let alone = |phrase: &PhraseRecord, place: &str, row| {
            let mut target = target(format!("{}{place}", phrase.text), "log-probability", row);
            target.probability = Some(phrase.log_probability.exp().clamp(0.0, 1.0));
            target.facts.push(log_probability(phrase));
            target
        };
        let mut all = [
            rather,
            alone(phrase, " (as a phrase)", rows.phrase.row(index)),
            alone(against, " (in its place)", rows.against.row(index)),
        ];
        for target in &mut all {
            let rest = "not available: only relevancy of tokens is computed for phrases";
            target.facts.push(Fact::new("other methods, layers", rest));
        }
        all
    };
    record.versus.iter().enumerate().flat_map(of_pair).collect()
}

fn log_probability(phrase: &PhraseRecord) -> Fact {
    let tokens = match phrase.token_ids.len() {
        1 => String::new(),
        tokens => format!(", summed over {tokens} tokens"),
    };
    let value = log_probability_text(phrase.log_probability) + &tokens;
    Fact::new(format!("log-probability of {}", phrase.text), value)
}

/// The row for relevancy, which comes first, and nothing for the others.
fn attributions<'a>(
    row: ArrayView1<'a, f32>,
    nothing: &'a Nothing,
    methods: &[Method],
) -> Vec<Attribution<'a>> {
    let of = |(index, method): (usize, &Method)| Attribution {
        layers: vec![nothing.row.view(); method.layers.len()],
        parts: if method.parts == 1 {
            Vec::new()
        } else {
            vec![nothing.part.view(); nothing.images]
        },
        ..Attribution::new(if index == 0 { row } else { nothing.row.view() })
    };
    methods.iter().enumerate().map(of).collect()
}
