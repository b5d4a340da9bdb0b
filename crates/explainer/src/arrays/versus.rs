//! Rows of phrases set against others.

use attention_relevancy::Explanation;
use attention_relevancy::ndarray::{Array2, s};

use super::Writer;
use crate::results::Results;
use crate::{Error, VersusExplanation};

/// Over the tokens before the phrases, `[V, S]` each. From the phrase on a row is zero: there the sequence forks.
pub(crate) struct VersusRows {
    /// What speaks for the phrase.
    pub(crate) phrase: Array2<f32>,
    /// What speaks for the other.
    pub(crate) against: Array2<f32>,
    /// What speaks for the phrase rather than the other.
    pub(crate) contrast: Array2<f32>,
}

impl VersusRows {
    /// Their names in the file.
    pub(super) const NAMES: [&str; 3] = ["versus_a", "versus_b", "versus_contrast"];

    pub(super) fn new(results: &Results<'_>) -> Self {
        let all = &results.explanations.versus;
        let rows = |explanation: fn(&VersusExplanation) -> &Explanation| {
            let mut rows = Array2::zeros((all.len(), results.answer.tokens.len()));
            for (versus, mut row) in all.iter().zip(rows.outer_iter_mut()) {
                let before = s![..versus.positions().start];
                row.slice_mut(before).assign(&explanation(versus).relevancy().slice(before));
            }
            rows
        };
        Self {
            phrase: rows(|versus| versus.phrase.relevancy()),
            against: rows(|versus| versus.against.relevancy()),
            contrast: rows(VersusExplanation::contrast),
        }
    }

    /// Writes them, and where the phrases stand `[V, 2]`; nothing where there are none.
    pub(super) fn write(&self, npz: &mut Writer<'_>, results: &Results<'_>) -> Result<(), Error> {
        let all = &results.explanations.versus;
        if all.is_empty() {
            return Ok(());
        }
        let bounds = Array2::from_shape_fn((all.len(), 2), |(row, column)| {
            let positions = all[row].positions();
            if column == 0 { positions.start as i64 } else { positions.end as i64 }
        });
        npz.add("versus", &bounds)?;
        let rows = [&self.phrase, &self.against, &self.contrast];
        Self::NAMES.into_iter().zip(rows).try_for_each(|(name, rows)| npz.add(name, rows))
    }
}
