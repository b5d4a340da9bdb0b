//! Telling the model's thinking from its answer.

use std::ops::Range;

use crate::tokenizer::TextTokenizer;

/// Begins a thinking trace in `MedGemma`.
const BEGIN: &str = "<unused94>";
/// Ends it.
const END: &str = "<unused95>";

/// Positions in a generated sequence. The two ranges are adjacent and cover it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSplit {
    /// The thinking trace with its markers; empty where the model did not think.
    pub trace: Range<usize>,
    /// The answer.
    pub answer: Range<usize>,
}

impl TextTokenizer {
    /// Splits generated ids at the end of the thinking trace.
    ///
    /// The trace reaches up to and with the first `<unused95>`. Without one it is everything if `<unused94>` occurs
    /// (the model was cut off while thinking), and nothing otherwise.
    pub fn split_trace(&self, ids: &[u32]) -> TraceSplit {
        split(ids, self.id(BEGIN), self.id(END))
    }
}

fn split(ids: &[u32], begin: Option<u32>, end: Option<u32>) -> TraceSplit {
    let find = |token: Option<u32>| ids.iter().position(|&id| Some(id) == token);
    let length = match (find(begin), find(end)) {
        (_, Some(last)) => last + 1,
        (Some(_), None) => ids.len(),
        (None, None) => 0,
    };
    TraceSplit { trace: 0..length, answer: length..ids.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ids: &[u32]) -> Range<usize> {
        let whole = split(ids, Some(94), Some(95));
        assert_eq!((whole.trace.start, whole.trace.end), (0, whole.answer.start));
        whole.answer
    }

    #[test]
    fn the_answer_follows_the_first_end_marker() {
        assert_eq!(answer(&[94, 1, 95, 2, 3]), 3..5);
        assert_eq!(answer(&[1, 95, 2, 95]), 2..4);
        assert_eq!(answer(&[94, 1, 2]), 3..3);
        assert_eq!(answer(&[1, 2]), 0..2);
        assert_eq!(answer(&[]), 0..0);
    }

    #[test]
    fn a_tokenizer_without_markers_has_answers_only() {
        assert_eq!(split(&[94, 1], None, None).answer, 0..2);
    }
}
