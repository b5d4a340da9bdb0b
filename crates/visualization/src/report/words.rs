//! The answer as text, cut where explained words begin and end.

use super::Report;

/// The answer in order, and the targets that do not stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
    /// Targets without a span, or with one that overlaps a shorter one.
    pub(super) beside: Vec<usize>,
}

/// A run of the answer that is one target, or none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) target: Option<usize>,
}

/// `report` was checked: spans are within the answer and cut no character.
pub(super) fn words<'a>(report: &'a Report<'_>) -> Words<'a> {
    let chosen = chosen(report);
    let mut pieces = Vec::new();
    let mut end = 0;
    for &(start, stop, target) in &chosen {
        pieces.push(Piece { text: &report.answer[end..start], target: None });
        pieces.push(Piece { text: &report.answer[start..stop], target: Some(target) });
        end = stop;
    }
    pieces.push(Piece { text: &report.answer[end..], target: None });
    pieces.retain(|piece| !piece.text.is_empty());
    let stands = |target| chosen.iter().any(|&(_, _, other)| other == target);
    let beside = (0..report.targets.len()).filter(|&target| !stands(target)).collect();
    Words { pieces, beside }
}

/// Start, end and index of the targets that stand in the text, in its order. Shorter spans go first, so that words win over the
/// phrase that they are part of.
fn chosen(report: &Report<'_>) -> Vec<(usize, usize, usize)> {
    let spans = report.targets.iter().enumerate();
    let mut spans: Vec<_> = spans
        .filter_map(|(index, target)| target.span.as_ref().map(|span| (span.clone(), index)))
        .collect();
    spans.sort_by_key(|(span, index)| (span.len(), span.start, *index));
    // By start; as none overlap, only the neighbours of a new one can be in its way.
    let mut chosen = std::collections::BTreeMap::new();
    for (span, index) in spans {
        let before = chosen.range(..span.end).next_back();
        if before.is_none_or(|(_, &(end, _))| end <= span.start) {
            chosen.insert(span.start, (span.end, index));
        }
    }
    chosen.into_iter().map(|(start, (end, index))| (start, end, index)).collect()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::report::Target;

    fn cut(
        answer: &str,
        spans: &[Option<Range<usize>>],
    ) -> (Vec<(String, Option<usize>)>, Vec<usize>) {
        let target =
            |span: &Option<Range<usize>>| Target { span: span.clone(), ..Target::default() };
        let report = Report {
            answer: answer.to_owned(),
            targets: spans.iter().map(target).collect(),
            ..Report::default()
        };
        let words = words(&report);
        (words.pieces.iter().map(|p| (p.text.to_owned(), p.target)).collect(), words.beside)
    }

    #[test]
    fn text_is_cut_at_words() {
        let (pieces, beside) = cut("A small effusion.", &[Some(8..16), None, Some(2..7)]);
        let expected =
            [("A ", None), ("small", Some(2)), (" ", None), ("effusion", Some(0)), (".", None)];
        assert_eq!(pieces, expected.map(|(text, target)| (text.to_owned(), target)));
        assert_eq!(beside, [1]);
    }

    #[test]
    fn words_win_over_phrases_and_nothing_is_lost() {
        let (pieces, beside) =
            cut("left lower lobe", &[Some(0..15), Some(5..10), Some(0..10), Some(5..10)]);
        assert_eq!(
            pieces.iter().map(|(text, _)| text.as_str()).collect::<String>(),
            "left lower lobe"
        );
        assert_eq!(pieces[1], ("lower".to_owned(), Some(1)));
        assert_eq!(beside, [0, 2, 3]);
    }
}
