//! A row of the data set.

use crate::{AnswerText, Outcome, Problem, ProblemKind, Row, RowKind, Run};

/// What a row of a data set is about: the kinds of [`RowKind`], and those of jobs without rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// What was asked for.
    Target,
    /// A phrase against another in its place.
    Phrase,
    /// A word of the answer, explained beside the targets.
    Word,
    /// What was asked for and is not in the answer.
    Missing,
    /// An answer of which nothing was explained.
    Answer,
    /// A job that failed.
    Error,
}

impl DataKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Target, Self::Phrase, Self::Word, Self::Missing, Self::Answer, Self::Error];

    /// Its name, as in the column `kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Phrase => "phrase",
            Self::Word => "word",
            Self::Missing => "missing",
            Self::Answer => "answer",
            Self::Error => "error",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A row of a data set: an [`Outcome`] has one for each of its rows and one for its problem, and at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct DataRow {
    /// The id of the job.
    pub id: String,
    /// Its number within the job, from 0.
    pub index: usize,
    /// What it is about.
    pub kind: DataKind,
    /// The explanation; `None` for an answer or an error.
    pub row: Option<Row>,
    /// The answer, without its tokens, which the data set does not hold.
    pub answer: Option<AnswerText>,
    /// With what the job was done.
    pub run: Option<Run>,
    /// What kept the job from being explained.
    pub problem: Option<Problem>,
    /// A small PNG.
    pub thumbnail: Option<Vec<u8>>,
}

/// The rows of an outcome; `thumbnails` go to them in their order.
pub(crate) fn rows_of(outcome: Outcome, thumbnails: Vec<Option<Vec<u8>>>) -> Vec<DataRow> {
    let Outcome { id, answer, rows, run, problem } = outcome;
    let answer = answer.map(|answer| AnswerText { tokens: Vec::new(), ..answer });
    let base = DataRow {
        id,
        index: rows.len(),
        kind: DataKind::Error,
        row: None,
        answer,
        run,
        problem: None,
        thumbnail: None,
    };
    let mut thumbnails = thumbnails.into_iter();
    let mut found: Vec<DataRow> = rows
        .into_iter()
        .map(|row| DataRow {
            index: row.index,
            kind: match row.kind {
                RowKind::Target => DataKind::Target,
                RowKind::Phrase => DataKind::Phrase,
                RowKind::Word => DataKind::Word,
                RowKind::Missing => DataKind::Missing,
            },
            row: Some(row),
            thumbnail: thumbnails.next().flatten(),
            ..base.clone()
        })
        .collect();
    let base = DataRow { thumbnail: thumbnails.next().flatten(), ..base };
    match (problem, &base.answer) {
        (Some(problem), _) => found.push(DataRow { problem: Some(problem), ..base }),
        (None, _) if !found.is_empty() => {}
        (None, Some(_)) => found.push(DataRow { kind: DataKind::Answer, ..base }),
        (None, None) => {
            let message = "the job came back without an answer, a row or a problem";
            let problem = Some(Problem::new(ProblemKind::Internal, message));
            found.push(DataRow { problem, ..base });
        }
    }
    found
}
