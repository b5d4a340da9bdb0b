//! The explanation of one target: a word, a phrase, the whole answer.

use std::fmt;
use std::ops::Range;

use attention_relevancy::ndarray::{Array1, Array2};
use attention_relevancy::{Explanation, Foils, HeadShares, MethodRow, PatchMap, Score};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::text::{label, number_text};

/// How several tokens make one explanation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SpanRule {
    /// The mean of the explanations of the tokens: nothing cancels.
    #[default]
    Mean,
    /// One explanation of the sum of their objectives: gradients add up first, so that tokens can cancel each other.
    Sum,
    /// The mean of the explanations of the tokens, each with the weight of what the pictures add to its log-probability, against a
    /// picture of the mean colour: tokens that the text alone would give count for little, those that the picture makes less likely
    /// for nothing. All count alike where the picture adds to none, and a note says so.
    Reliance,
}

impl fmt::Display for SpanRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Reliance => "reliance",
        })
    }
}

/// How fine the parts of a picture are whose relevancy is told.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Resolution {
    /// The tokens of the picture: 16×16 in Gemma3 4B.
    #[default]
    Tokens,
    /// The patches too: 64×64 in Gemma3 4B. The row goes on through the projector and the layers of the vision tower.
    Patches,
    /// The pixels too, for the targets: gradient × input, signed.
    Pixels,
}

impl std::str::FromStr for Resolution {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "tokens" => Ok(Self::Tokens),
            "patches" => Ok(Self::Patches),
            "pixels" => Ok(Self::Pixels),
            _ => Err(Error::UnknownResolution { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens => "tokens",
            Self::Patches => "patches",
            Self::Pixels => "pixels",
        })
    }
}

/// The explanation of one target.
#[derive(Clone, Debug)]
pub struct TargetExplanation {
    parts: TargetParts,
}

/// What a [`TargetExplanation`] is made of. Symbols: S tokens of prompt and answer, L layers.
#[derive(Clone, Debug)]
pub struct TargetParts {
    /// The explained text.
    pub text: String,
    /// Which occurrence of its text in the answer it is, from 1; `None` where the answer has the text once.
    pub occurrence: Option<usize>,
    /// How its tokens make one explanation.
    pub rule: SpanRule,
    /// Positions of the explained tokens.
    pub positions: Range<usize>,
    /// The ids of the explained tokens.
    pub token_ids: Vec<u32>,
    /// How the model rated each of them.
    pub scores: Vec<Score>,
    /// What each token was set against, where that was found out before; `None`: its runner-up, or nothing.
    pub foils: Option<Vec<Foils>>,
    /// The raw relevancy row `[S]` with its layout.
    pub relevancy: Explanation,
    /// Head mean of the last layer's attention `[S]` at the predicting position.
    pub raw_attention: Array1<f32>,
    /// Attention rollout `[S]` at the predicting position.
    pub rollout: Array1<f32>,
    /// The relevancy row at the input of every layer `[L, S]`, where it was kept.
    pub layers: Option<Array2<f32>>,
    /// The row `[S]` of every method that was asked for, or why there is none.
    pub methods: Vec<MethodRow>,
    /// What every head did, where it was kept.
    pub heads: Option<HeadShares>,
    /// Maps finer than tokens, one for each image; empty unless they were asked for.
    pub finer: Vec<PatchMap>,
    /// How much each token counts; `None`: all alike.
    pub weights: Option<Vec<f32>>,
}

impl TargetExplanation {
    /// An explanation of these parts.
    pub fn new(parts: TargetParts) -> Self {
        Self { parts }
    }

    /// Says which occurrence of its text it is, from 1.
    pub fn number(&mut self, occurrence: Option<usize>) {
        self.parts.occurrence = occurrence;
    }

    /// What each token was set against, where that was found out before the sweep
    /// ([`Foil::Alternatives`](attention_relevancy::Foil)); `None`: its runner-up, or nothing.
    pub fn foils(&self) -> Option<&[Foils]> {
        self.parts.foils.as_deref()
    }

    /// The explained text.
    pub fn text(&self) -> &str {
        &self.parts.text
    }

    /// Which occurrence of its text in the answer it is, from 1; `None` where the answer has the text once, and for what is no word of
    /// it.
    pub fn occurrence(&self) -> Option<usize> {
        self.parts.occurrence
    }

    /// The explained text, and which occurrence of it where there are several: `clear (2)`.
    pub fn label(&self) -> String {
        label(&self.parts.text, self.parts.occurrence)
    }

    /// How its tokens make one explanation.
    pub fn rule(&self) -> SpanRule {
        self.parts.rule
    }

    /// How much each token counts in the mean, by [`SpanRule::Reliance`]; they sum to one. `None` where all count alike.
    pub fn token_weights(&self) -> Option<&[f32]> {
        self.parts.weights.as_deref()
    }

    /// Positions of the explained tokens.
    pub fn positions(&self) -> Range<usize> {
        self.parts.positions.clone()
    }

    /// The explained tokens.
    pub fn token_ids(&self) -> &[u32] {
        &self.parts.token_ids
    }

    /// How the model rated each of them.
    pub fn scores(&self) -> &[Score] {
        &self.parts.scores
    }

    /// Sum of the tokens' logits: the objective that the published rule differentiates.
    pub fn logit(&self) -> f32 {
        self.parts.scores.iter().map(|score| score.logit).sum()
    }

    /// Logarithm of the probability of all the tokens, one after the other.
    pub fn log_probability(&self) -> f32 {
        self.parts.scores.iter().map(|score| score.log_probability).sum()
    }

    /// Probability of all the tokens, one after the other.
    pub fn probability(&self) -> f32 {
        self.log_probability().exp()
    }

    /// The probability for people: `0.983`, or `3×10⁻¹⁸` where decimals would hide it.
    pub fn probability_text(&self) -> String {
        number_text(self.probability())
    }

    /// Whether nothing speaks for it: the row holds nothing but the self terms ([`Explanation::is_empty`]). Such a row is told in
    /// words ([`NOTHING_SPEAKS`](crate::NOTHING_SPEAKS)), never drawn as a map.
    pub fn is_empty(&self) -> bool {
        self.parts.relevancy.is_empty()
    }

    /// The raw relevancy row with its layout: shares, text, normalised forms, self positions.
    pub fn relevancy(&self) -> &Explanation {
        &self.parts.relevancy
    }

    /// Raw relevancy of image `image` (counted over pictures and their crops) `[rows, columns]`; `None` past the last.
    pub fn image_relevancy(&self, image: usize) -> Option<Array2<f32>> {
        self.parts.relevancy.image_grid(image)
    }

    /// The relevancy row at the input of every layer `[L, S]`: row l is what layers l to L−1 brought together, row 0 the whole.
    /// `None` unless it was asked for.
    pub fn layers(&self) -> Option<&Array2<f32>> {
        self.parts.layers.as_ref()
    }

    /// What every head of every layer did, the mean over its tokens. `None` for a word, and unless it was asked for.
    pub fn heads(&self) -> Option<&HeadShares> {
        self.parts.heads.as_ref()
    }

    /// The relevancy of image `image` (counted over pictures and their crops) by patch, and by pixel where that was asked for;
    /// `None` unless the [`Resolution`] is finer than tokens. The mean of its tokens' maps, as the rest is.
    pub fn finer(&self, image: usize) -> Option<&PatchMap> {
        self.parts.finer.get(image)
    }

    /// For each method that was asked for its row `[S]`, raw and perhaps signed, or why it has nothing to say here.
    pub fn methods(&self) -> &[MethodRow] {
        &self.parts.methods
    }

    /// The part of the absolute values of a method's row that lies in the pictures, the predicting rows left out; `None` where the row
    /// is zero or not there.
    pub fn method_image_share(&self, index: usize) -> Option<f32> {
        self.image_share_of(self.parts.methods.get(index)?.as_ref().ok()?)
    }

    /// The part of the absolute values of a row `[S]` that lies in the pictures, the predicting rows left out; `None` where the row is
    /// zero.
    pub(crate) fn image_share_of(&self, row: &Array1<f32>) -> Option<f32> {
        let relevancy = &self.parts.relevancy;
        let (targets, layout) = (relevancy.targets().to_vec(), relevancy.layout().clone());
        let row = Explanation::new(targets, row.mapv(f32::abs), layout);
        row.ok()?.shares().map(|shares| shares.image())
    }

    /// Baseline: head mean of the last layer's attention `[S]` at the predicting position.
    pub fn raw_attention(&self) -> &Array1<f32> {
        &self.parts.raw_attention
    }

    /// Baseline: attention rollout `[S]` at the predicting position.
    pub fn rollout(&self) -> &Array1<f32> {
        &self.parts.rollout
    }
}
