//! Words that an answer has several times, told apart as `--keyword WORD#2` counts them.

use std::collections::HashMap;
use std::ops::Range;

use gemma3_processor::{Spelled, find_every};

use crate::{Answer, TargetExplanation};

/// Numbers those explanations whose text stands several times in the answer, as a whole word and whatever its case.
pub(crate) fn number(answer: &Answer, explanations: &mut [TargetExplanation]) {
    let proper = answer.positions();
    let spelled = spelled(answer);
    let mut places: HashMap<String, Vec<Range<usize>>> = HashMap::new();
    for explanation in explanations {
        let key = explanation.text().to_lowercase();
        // A text without a letter may be found nowhere as a word: then it is not numbered.
        let found = places
            .entry(key)
            .or_insert_with(|| find_every(&spelled, explanation.text(), true).unwrap_or_default());
        let positions = explanation.positions();
        let is_here = |place: &Range<usize>| {
            proper.start + place.start == positions.start
                && proper.start + place.end == positions.end
        };
        let index = found.iter().position(is_here).filter(|_| 1 < found.len());
        explanation.number(index.map(|index| index + 1));
    }
}

/// The answer with the bytes of each of its tokens.
fn spelled(answer: &Answer) -> Spelled {
    let tokens = &answer.tokens[answer.positions()];
    let text = answer.text().to_owned();
    let base = answer.text.len() - text.len(); // the answer is the end of the generated text
    let span = |span: &Range<usize>| span.start.max(base) - base..span.end.max(base) - base;
    let spans = tokens.iter().map(|token| token.span.as_ref().map_or(0..0, span)).collect();
    Spelled { text, spans }
}
