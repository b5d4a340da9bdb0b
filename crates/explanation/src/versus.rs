//! A phrase of the answer against another in its place, as a document holds it.

use std::ops::Range;

use attention_relevancy::Target;
use attention_relevancy::ndarray::Array1;

use crate::text::log_probability_text;

/// A phrase of the answer against another in its place. Rows are over the tokens of prompt and answer; from the phrase on they are
/// zero, because there the sequence forks.
#[derive(Clone, Debug)]
pub struct Versus {
    /// Where the phrase stands in the answer.
    pub positions: Range<usize>,
    /// The phrase of the answer.
    pub phrase: Phrase,
    /// The phrase in its place.
    pub against: Phrase,
    /// What speaks for the phrase rather than the other `[S]`.
    pub contrast: Array1<f32>,
    /// Share of all pictures in what speaks for the one rather than the other; `None` where nothing does.
    pub image_share: Option<f32>,
}

/// One of two phrases, explained for itself.
#[derive(Clone, Debug)]
pub struct Phrase {
    /// The phrase.
    pub text: String,
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// The logarithm of the probability of each of them, behind those before it.
    pub token_log_probabilities: Vec<f32>,
    /// What speaks for it `[S]`.
    pub relevancy: Array1<f32>,
    /// Whether nothing speaks for it, its own tokens included.
    pub is_empty: bool,
    /// Share of all pictures in its relevancy without the self terms; `None` where there is no relevancy.
    pub image_share: Option<f32>,
}

impl Versus {
    /// How far the model favours the phrase: the logarithm of its probability less that of the other, in nats.
    pub fn log_ratio(&self) -> f32 {
        self.phrase.log_probability() - self.against.log_probability()
    }

    /// The row that chose the first token of either phrase; it holds the self term.
    pub fn self_position(&self) -> Option<usize> {
        let first = Target::new(self.positions.start, *self.phrase.token_ids.first()?);
        first.ok().map(Target::logit_row)
    }

    /// Relevancy of the phrase less that of the other, signed, `[S]`.
    pub fn difference(&self) -> Array1<f32> {
        &self.phrase.relevancy - &self.against.relevancy
    }
}

impl Phrase {
    /// Logarithm of the probability of all its tokens, one after the other.
    pub fn log_probability(&self) -> f32 {
        self.token_log_probabilities.iter().sum()
    }

    /// The same for people.
    pub fn log_probability_text(&self) -> String {
        log_probability_text(self.log_probability())
    }
}
