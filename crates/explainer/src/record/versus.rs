//! Phrases set against others, as a record has them.

use attention_relevancy::Explanation;
use serde::{Deserialize, Serialize};

use crate::{PhraseExplanation, VersusExplanation};

/// A phrase of the answer against another in its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VersusRecord {
    /// Of the phrase: first position and the one behind the last.
    pub(crate) positions: [usize; 2],
    pub(crate) phrase: PhraseRecord,
    pub(crate) against: PhraseRecord,
    /// Logarithm of the probability of the phrase less that of the other.
    pub(crate) log_ratio: f32,
    /// Share of all pictures in what speaks for the phrase rather than the other; null where there is no relevancy.
    pub(crate) image_share: Option<f32>,
    pub(crate) figures: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PhraseRecord {
    pub(crate) text: String,
    pub(crate) token_ids: Vec<u32>,
    /// Sum over the tokens.
    pub(crate) log_probability: f32,
    pub(crate) token_log_probabilities: Vec<f32>,
    /// Whether nothing speaks for it: its row of relevancy holds nothing but the self terms.
    #[serde(default)]
    pub(crate) is_empty: bool,
    /// Share of all pictures in its relevancy without the self terms; null where there is no relevancy.
    pub(crate) image_share: Option<f32>,
}

impl VersusRecord {
    /// The record of one that is shown in these figures.
    pub(super) fn new(versus: &VersusExplanation, figures: Vec<String>) -> Self {
        let positions = versus.positions();
        Self {
            positions: [positions.start, positions.end],
            phrase: PhraseRecord::new(&versus.phrase),
            against: PhraseRecord::new(&versus.against),
            log_ratio: versus.log_ratio(),
            image_share: image_share(versus.contrast()),
            figures,
        }
    }
}

impl PhraseRecord {
    fn new(phrase: &PhraseExplanation) -> Self {
        let scores = phrase.scores().iter();
        Self {
            text: phrase.text().to_owned(),
            token_ids: phrase.token_ids().to_vec(),
            log_probability: phrase.log_probability(),
            token_log_probabilities: scores.map(|score| score.log_probability).collect(),
            is_empty: phrase.relevancy().is_empty(),
            image_share: image_share(phrase.relevancy()),
        }
    }
}

fn image_share(explanation: &Explanation) -> Option<f32> {
    explanation.shares().map(|shares| shares.image())
}
