//! Which words of a report are rated, and what is known of each.

use std::ops::Range;

use medgemma_explainer::{Answer, Words};
use serde::{Deserialize, Serialize};

use crate::questions::{self, Piece, Topic, Word};

/// What is known of a word before anything is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It names a finding or a device that is there.
    Finding,
    /// It names the side or the level of one.
    Place,
    /// The picture decides it otherwise: `clear`, `none`, the `and` before a second finding.
    Decision,
    /// Every right answer to the question has it there.
    Fixed,
}

/// Some tokens of an answer that are rated together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What is known of it.
    pub class: Class,
    /// Its text.
    pub text: String,
    /// Where its tokens stand.
    pub positions: Range<usize>,
    /// The finding of the scene that it tells of.
    pub finding: Option<usize>,
}

/// Every word of an answer with the text of the right one; a phrase for a finding is one span.
pub fn spans(answer: &Answer, right: &questions::Answer) -> Vec<Span> {
    let mut end = 0;
    let mut pieces = Vec::new();
    for piece in right.pieces() {
        let start = end + (piece.text.len() - piece.text.trim_start().len());
        end += piece.text.len();
        pieces.extend(positions(answer, start..end).map(|positions| (piece, positions)));
    }
    let phrase = |(piece, positions): &(&Piece, Range<usize>)| {
        let finding = match piece.shows?.0 {
            Topic::Finding(finding) => Some(finding),
            Topic::Absent(_) | Topic::Findings => None,
        };
        Some(span(answer, piece, positions.clone(), finding))
    };
    let mut spans: Vec<Span> = pieces.iter().filter_map(phrase).collect();
    for word in answer.words(Words::All) {
        let around = pieces.iter().find(|(_, positions)| positions.contains(&word.start));
        if let Some((piece, _)) = around.filter(|(piece, _)| piece.shows.is_none()) {
            spans.push(span(answer, piece, word, None));
        }
    }
    spans.sort_by_key(|span| span.positions.start);
    spans
}

fn span(answer: &Answer, piece: &Piece, positions: Range<usize>, finding: Option<usize>) -> Span {
    let text = answer.text_of(&positions).trim().to_owned();
    Span { class: class(piece), text, positions, finding }
}

/// The tokens that write these bytes of the answer.
fn positions(answer: &Answer, bytes: Range<usize>) -> Option<Range<usize>> {
    let writes = |position: &usize| {
        let span = answer.tokens()[*position].span.clone().unwrap_or_default();
        span.start < bytes.end && bytes.start < span.end
    };
    let first = answer.positions().find(writes)?;
    Some(first..answer.positions().rfind(writes)? + 1)
}

fn class(piece: &Piece) -> Class {
    match piece.shows {
        Some((_, Word::Finding | Word::Device)) => Class::Finding,
        Some((_, Word::Side | Word::Level | Word::LevelOfKind | Word::Size)) => Class::Place,
        Some((_, Word::Presence | Word::Absence | Word::Count)) => Class::Decision,
        None if piece.decided => Class::Decision,
        None => Class::Fixed,
    }
}
