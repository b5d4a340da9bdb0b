//! What can be asked of an answer, and what is found.

use attention_capture::{Foil, Folding, HeadShares, MethodRow, Objective, PatchMap, Score};
use attention_relevancy::ndarray::{Array1, Array2};
use attention_relevancy::{Explanation, Update};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use crate::versus::number_text;
use crate::{BlankControl, Compared, Reliance, VersusExplanation, Words};

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The last token of the answer that writes a letter or a digit, be it part of a word; the last token where none does.
    Last,
    /// The token at this position, counted from 0 over prompt and answer.
    Position(usize),
    /// The tokens at these positions.
    Tokens(Range<usize>),
    /// A word or phrase of the answer, over as many tokens as it takes; case does not matter, and it must stand alone.
    Keyword {
        /// The word or phrase.
        word: String,
        /// Which occurrence, from 0.
        occurrence: usize,
    },
    /// Every occurrence of a word or phrase, each a target of its own.
    Every {
        /// The word or phrase.
        word: String,
    },
    /// A part of a word or more: `effusion` in `effusions`.
    Substring {
        /// The text.
        text: String,
        /// Which occurrence, from 0.
        occurrence: usize,
    },
    /// A sentence of the answer (UAX #29), from 0.
    Sentence(usize),
    /// Characters of the answer.
    Characters(Range<usize>),
    /// The value of a field of this name in JSON that the answer holds, such as `label` or `box_2d`; each occurrence is a target of
    /// its own.
    Field(String),
    /// The whole answer, without its thinking trace.
    Answer,
}

/// How several tokens make one explanation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanRule {
    /// The mean of the explanations of the tokens: nothing cancels.
    #[default]
    Mean,
    /// One explanation of the sum of their objectives: gradients add up first, so that tokens can cancel each other.
    Sum,
    /// The mean of the explanations of the tokens, each with the weight of what the pictures add to its log-probability, against
    /// [`crate::Blank::Mean`]: tokens that the text alone would give count for little, those that the picture makes less likely for
    /// nothing. All count alike where the picture adds to none, and a note says so.
    Reliance,
}

/// Which engine makes the explanations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The best that there is.
    #[default]
    Auto,
    /// Every attention kept: the reference.
    Retained,
    /// A reverse sweep that never stores attention.
    Streaming,
}

/// How fine the parts of a picture are whose relevancy is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// The tokens of the picture: 16×16 in Gemma3 4B.
    #[default]
    Tokens,
    /// The patches too: 64×64 in Gemma3 4B. The row goes on through the projector and the layers of the vision tower.
    Patches,
    /// The pixels too, for the targets: gradient × input, signed.
    Pixels,
}

/// The layer whose heads are shown one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadLayer {
    /// The last layer that sees the whole sequence, where a picture far back can be looked at.
    #[default]
    LastFull,
    /// This one, counted from 0.
    Number(usize),
}

/// How an answer is explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainOptions {
    /// The engine.
    pub engine: Engine,
    /// How a layer acts on the row.
    pub update: Update,
    /// Which heads and layers the relevancy is made of.
    pub folding: Folding,
    /// The scalar that is differentiated.
    pub objective: Objective,
    /// How the tokens of a target make one explanation.
    pub span: SpanRule,
    /// Whether words, sentences and the answer are sought in the thinking trace too. A position may always be one of the trace.
    pub trace: bool,
    /// The words of the answer that are explained too, for the report; they share the work of what was asked.
    pub words: Words,
    /// Methods to compare the relevancy with, beside raw attention of the last layer and rollout; all from one sweep, but for
    /// [`Compared::Relevancy`].
    pub methods: Vec<Compared>,
    /// How fine the maps of pictures are; beyond tokens only with the streaming engine.
    pub resolution: Resolution,
    /// Whether the relevancy is kept after every layer; only the streaming engine can.
    pub by_layer: bool,
    /// Whether what every head did is kept for the targets, with the maps of the heads of one layer; only the streaming engine can.
    pub by_head: Option<HeadLayer>,
}

impl Default for ExplainOptions {
    /// The additive update, and the contrast with the runner-up: of the objectives that need no word of the user's it points right
    /// most often (`docs/localization.md`). The published rule has [`Objective::Logit`].
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            update: Update::default(),
            folding: Folding::default(),
            objective: Objective::Contrast(Foil::RunnerUp),
            span: SpanRule::default(),
            trace: false,
            words: Words::default(),
            methods: Vec::new(),
            resolution: Resolution::default(),
            by_layer: false,
            by_head: None,
        }
    }
}

impl ExplainOptions {
    /// What the public Python program does, for [`crate::Profile::Seed`]: the logit, the additive update, and spans by the gradient of
    /// the sum of their logits.
    pub fn seed() -> Self {
        Self { objective: Objective::Logit, span: SpanRule::Sum, ..Self::default() }
    }
}

/// What is said of an explanation that [is empty](TargetExplanation::is_empty), wherever a map or shares would stand.
pub const NOTHING_SPEAKS: &str = "nothing speaks for it";

/// The explanation of one [`Ask`].
#[derive(Clone, Debug)]
pub struct TargetExplanation {
    pub(crate) text: String,
    pub(crate) occurrence: Option<usize>,
    pub(crate) rule: SpanRule,
    pub(crate) positions: Range<usize>,
    pub(crate) token_ids: Vec<u32>,
    pub(crate) scores: Vec<Score>,
    pub(crate) relevancy: Explanation,
    pub(crate) raw_attention: Array1<f32>,
    pub(crate) rollout: Array1<f32>,
    pub(crate) layers: Option<Array2<f32>>,
    pub(crate) methods: Vec<MethodRow>,
    pub(crate) heads: Option<HeadShares>,
    /// One for each image; none unless they were asked for.
    pub(crate) finer: Vec<PatchMap>,
    /// How much each token counts; `None`: all alike.
    pub(crate) weights: Option<Vec<f32>>,
}

/// Something that was asked and that the answer does not have, such as a word that does not occur in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// As asked.
    pub ask: Ask,
    /// What is missing, for people; it quotes the answer.
    pub reason: String,
}

/// The explanations of an answer, in the order asked.
#[derive(Clone, Debug)]
pub struct Explanations {
    /// In the order asked: one for each [`Ask`] that the answer has, more for one that means several.
    pub targets: Vec<TargetExplanation>,
    /// What was asked and is not in the answer, in the order asked.
    pub missing: Vec<Missing>,
    /// One for each of [`ExplainOptions::words`] that no target is, in reading order.
    pub words: Vec<TargetExplanation>,
    /// Phrases against others in their place, to be written beside the targets: what [`crate::Explainer::explain_versus`] gave.
    pub versus: Vec<VersusExplanation>,
    /// With what they were made; the engine is never [`Engine::Auto`].
    pub options: ExplainOptions,
    /// What went otherwise than planned, for people.
    pub notes: Vec<String>,
    /// How long it took.
    pub duration: Duration,
    /// What the pictures add to the words, where somebody asked: [`crate::Explainer::reliance`] finds it, and who puts it here has
    /// it written and shown.
    pub reliance: Option<Reliance>,
    /// The same targets without anything to see, where somebody asked: [`crate::Explainer::blank_control`].
    pub control: Option<BlankControl>,
}

impl TargetExplanation {
    /// The explained text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Which occurrence of its text in the answer it is, from 1; `None` where the answer has the text once, and for what is no word of
    /// it.
    pub fn occurrence(&self) -> Option<usize> {
        self.occurrence
    }

    /// The explained text, and which occurrence of it where there are several: `clear (2)`.
    pub fn label(&self) -> String {
        label(&self.text, self.occurrence)
    }

    /// How its tokens make one explanation.
    pub fn rule(&self) -> SpanRule {
        self.rule
    }

    /// How much each token counts in the mean, by [`SpanRule::Reliance`]; they sum to one. `None` where all count alike.
    pub fn token_weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Positions of the explained tokens.
    pub fn positions(&self) -> Range<usize> {
        self.positions.clone()
    }

    /// The explained tokens.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// How the model rated each of them.
    pub fn scores(&self) -> &[Score] {
        &self.scores
    }

    /// Sum of the tokens' logits: the objective that the published rule differentiates.
    pub fn logit(&self) -> f32 {
        self.scores.iter().map(|score| score.logit).sum()
    }

    /// Logarithm of the probability of all the tokens, one after the other.
    pub fn log_probability(&self) -> f32 {
        self.scores.iter().map(|score| score.log_probability).sum()
    }

    /// Probability of all the tokens, one after the other.
    pub fn probability(&self) -> f32 {
        self.log_probability().exp()
    }

    /// The probability for people: `0.983`, or `3×10⁻¹⁸` where decimals would hide it.
    pub fn probability_text(&self) -> String {
        number_text(self.probability())
    }

    /// Whether nothing speaks for it: the row holds nothing but the self terms
    /// ([`attention_relevancy::Explanation::is_empty`]). Such a row is told in words ([`NOTHING_SPEAKS`]), never drawn as a map.
    pub fn is_empty(&self) -> bool {
        self.relevancy.is_empty()
    }

    /// The raw relevancy row with its layout: shares, text, normalised forms.
    pub fn relevancy(&self) -> &Explanation {
        &self.relevancy
    }

    /// Raw relevancy of image `image` (counted over pictures and their crops) `[rows, columns]`; `None` past the last.
    pub fn image_relevancy(&self, image: usize) -> Option<Array2<f32>> {
        self.relevancy.image_grid(image)
    }

    /// The relevancy row at the input of every layer `[L, S]`: row l is what layers l to L−1 brought together, row 0 the whole.
    /// `None` unless [`ExplainOptions::by_layer`] asked for it.
    pub fn layers(&self) -> Option<&Array2<f32>> {
        self.layers.as_ref()
    }

    /// What every head of every layer did, the mean over its tokens. `None` for a word, and unless [`ExplainOptions::by_head`] asked
    /// for it.
    pub fn heads(&self) -> Option<&HeadShares> {
        self.heads.as_ref()
    }

    /// The relevancy of image `image` (counted over pictures and their crops) by patch, and by pixel where that was asked for;
    /// `None` unless [`ExplainOptions::resolution`] is finer than tokens. The mean of its tokens' maps, as the rest is.
    pub fn finer(&self, image: usize) -> Option<&PatchMap> {
        self.finer.get(image)
    }

    /// For each of [`ExplainOptions::methods`] its row `[S]`, raw and perhaps signed, or why it has nothing to say here.
    pub fn methods(&self) -> &[MethodRow] {
        &self.methods
    }

    /// The part of the absolute values of a method's row that lies in the pictures, the predicting rows left out; `None` where the row
    /// is zero or not there.
    pub fn method_image_share(&self, index: usize) -> Option<f32> {
        self.image_share_of(self.methods.get(index)?.as_ref().ok()?)
    }

    /// The part of the absolute values of a row `[S]` that lies in the pictures, the predicting rows left out; `None` where the row is
    /// zero.
    pub(crate) fn image_share_of(&self, row: &Array1<f32>) -> Option<f32> {
        let row = Explanation::new(
            self.relevancy.targets().to_vec(),
            row.mapv(f32::abs),
            self.relevancy.layout().clone(),
        );
        row.ok()?.shares().map(|shares| shares.image())
    }

    /// Baseline: head mean of the last layer's attention `[S]` at the predicting position.
    pub fn raw_attention(&self) -> &Array1<f32> {
        &self.raw_attention
    }

    /// Baseline: attention rollout `[S]` at the predicting position.
    pub fn rollout(&self) -> &Array1<f32> {
        &self.rollout
    }
}

pub(crate) fn label(text: &str, occurrence: Option<usize>) -> String {
    occurrence.map_or_else(|| text.to_owned(), |number| format!("{text} ({number})"))
}

impl fmt::Display for Ask {
    /// For people: what was asked, not where it was found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nth = |occurrence: &usize| match occurrence {
            0 => String::new(),
            later => format!(", occurrence {}", later + 1),
        };
        match self {
            Self::Last => f.write_str("the last word"),
            Self::Position(position) => write!(f, "position {position}"),
            Self::Tokens(range) => {
                write!(f, "positions {} to {}", range.start, range.end.saturating_sub(1))
            }
            Self::Keyword { word, occurrence } => write!(f, "{word:?}{}", nth(occurrence)),
            Self::Every { word } => write!(f, "every {word:?}"),
            Self::Substring { text, occurrence } => {
                write!(f, "{text:?} within words{}", nth(occurrence))
            }
            Self::Sentence(index) => write!(f, "sentence {}", index + 1),
            Self::Characters(range) => {
                write!(f, "characters {} to {}", range.start, range.end.saturating_sub(1))
            }
            Self::Field(name) => write!(f, "the JSON field {name:?}"),
            Self::Answer => f.write_str("the whole answer"),
        }
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "retained" => Ok(Self::Retained),
            "streaming" => Ok(Self::Streaming),
            _ => Err(format!("unknown engine {text:?}; use auto, streaming or retained")),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Retained => "retained",
            Self::Streaming => "streaming",
        })
    }
}

impl FromStr for Resolution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tokens" => Ok(Self::Tokens),
            "patches" => Ok(Self::Patches),
            "pixels" => Ok(Self::Pixels),
            _ => Err(format!("unknown resolution {text:?}; use tokens, patches or pixels")),
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

impl fmt::Display for SpanRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Reliance => "reliance",
        })
    }
}
