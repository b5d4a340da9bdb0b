//! Phrases set against others, as a record has them.

use serde::{Deserialize, Serialize};

use crate::{Phrase, Versus};

/// A phrase of the answer against another in its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct VersusRecord {
    /// Of the phrase: first position and the one behind the last.
    pub positions: [usize; 2],
    /// The phrase of the answer.
    pub phrase: PhraseRecord,
    /// The phrase in its place.
    pub against: PhraseRecord,
    /// Logarithm of the probability of the phrase less that of the other.
    pub log_ratio: f32,
    /// Share of all pictures in what speaks for the phrase rather than the other; null where there is no relevancy.
    pub image_share: Option<f32>,
    /// Its figures, image by image.
    pub figures: Vec<String>,
}

/// One of two phrases, explained for itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PhraseRecord {
    /// The phrase.
    pub text: String,
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// Sum over the tokens.
    pub log_probability: f32,
    /// Of each token, in nats.
    pub token_log_probabilities: Vec<f32>,
    /// Whether nothing speaks for it: its row of relevancy holds nothing but the self terms.
    #[serde(default)]
    pub is_empty: bool,
    /// Share of all pictures in its relevancy without the self terms; null where there is no relevancy.
    pub image_share: Option<f32>,
}

impl VersusRecord {
    /// The record of one that is shown in these figures.
    pub(super) fn new(versus: &Versus, figures: Vec<String>) -> Self {
        Self {
            positions: [versus.positions.start, versus.positions.end],
            phrase: PhraseRecord::new(&versus.phrase),
            against: PhraseRecord::new(&versus.against),
            log_ratio: versus.log_ratio(),
            image_share: versus.image_share,
            figures,
        }
    }
}

impl PhraseRecord {
    fn new(phrase: &Phrase) -> Self {
        Self {
            text: phrase.text.clone(),
            token_ids: phrase.token_ids.clone(),
            log_probability: phrase.log_probability(),
            token_log_probabilities: phrase.token_log_probabilities.clone(),
            is_empty: phrase.is_empty,
            image_share: phrase.image_share,
        }
    }
}
