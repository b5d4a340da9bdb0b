//! Rows of phrases set against others.

use attention_relevancy::Explanation;
use attention_relevancy::ndarray::{Array2, s};

use super::Writer;
use crate::results::Results;
use crate::{Error, VersusExplanation};

/// Writes where the phrases stand `[V, 2]` and, over the tokens before them, what speaks for the phrase, for the other, and for the one
/// rather than the other, `[V, S]`; nothing where there are none. From the phrase on a row is zero: there the sequence forks.
pub(super) fn write(npz: &mut Writer<'_>, results: &Results<'_>) -> Result<(), Error> {
    let all = &results.explanations.versus;
    if all.is_empty() {
        return Ok(());
    }
    let bounds = Array2::from_shape_fn((all.len(), 2), |(row, column)| {
        let positions = all[row].positions();
        if column == 0 { positions.start as i64 } else { positions.end as i64 }
    });
    npz.add("versus", &bounds)?;
    let mut add = |name: &str, explanation: fn(&VersusExplanation) -> &Explanation| {
        let mut rows = Array2::zeros((all.len(), results.answer.tokens.len()));
        for (versus, mut row) in all.iter().zip(rows.outer_iter_mut()) {
            let before = s![..versus.positions().start];
            row.slice_mut(before).assign(&explanation(versus).relevancy().slice(before));
        }
        npz.add(name, &rows)
    };
    add("versus_a", |versus| versus.phrase.relevancy())?;
    add("versus_b", |versus| versus.against.relevancy())?;
    add("versus_contrast", VersusExplanation::contrast)
}
