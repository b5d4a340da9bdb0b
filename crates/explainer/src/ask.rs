//! What can be asked of an answer, and what is found.

use attention_relevancy::{Backward, Foil, Folding, Objective, SinkRule, Sinks, Update};
use explanation_record::{Resolution, SpanRule, TargetExplanation};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use crate::error::Cause;
use crate::setters::setters;
use crate::{
    BlankControl, Certificate, Compared, Counterparts, Error, Reliance, VersusExplanation, Words,
};

/// What is to be explained. With serde it is its name in kebab case and what belongs to it: `{"keyword": {"word": "left",
/// "occurrence": 0}}`, `"answer"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
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

/// Which engine makes the explanations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// The best that there is.
    #[default]
    Auto,
    /// Every attention kept: the reference.
    Retained,
    /// A reverse sweep that never stores attention.
    Streaming,
}

/// The layer whose heads are shown one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadLayer {
    /// The last layer that sees the whole sequence, where a picture far back can be looked at.
    #[default]
    LastFull,
    /// This one, counted from 0.
    Number(usize),
}

/// Whether this build explains by rules of layer-wise relevance propagation ([`Backward::CpLrp`], [`Backward::AttnLrp`]): whether the feature
/// `lrp` is on. It is off by default, because the technique is patented (Fraunhofer HHI), so that commercial use may need a licence;
/// without it such a rule is [`ErrorKind::Argument`](crate::ErrorKind::Argument), before the model runs.
pub const HAS_LRP: bool = cfg!(feature = "lrp");

/// What is done about attention sinks, tokens with massive activations ([`SinkFinder`](attention_relevancy::SinkFinder)).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SinkOptions {
    /// Whether they stay in the relevancy.
    pub rule: SinkRule,
    /// Above which φ a token is one; `None`: that of the model's width
    /// ([`SinkFinder::threshold`](attention_relevancy::SinkFinder::threshold)). The one that was used is
    /// [`Sinks::threshold`].
    pub threshold: Option<f32>,
}

setters!(SinkOptions {
    with_threshold = threshold: Option<f32>,
});

impl SinkOptions {
    /// With the threshold of the model's width.
    pub fn new(rule: SinkRule) -> Self {
        Self { rule, threshold: None }
    }
}

/// How an answer is explained.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExplainOptions {
    /// The engine.
    pub engine: Engine,
    /// How a layer acts on the row.
    pub update: Update,
    /// How the sweep goes back through what is not linear in the model: relevancy, and those of the methods that take gradients, are made
    /// of what comes of it. Any rule but the gradient needs the feature `lrp` ([`HAS_LRP`]), and only the streaming engine has it.
    pub backward: Backward,
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
    /// [`Compared::Relevancy`] and [`Compared::Occlusion`].
    pub methods: Vec<Compared>,
    /// How fine the maps of pictures are; beyond tokens only with the streaming engine.
    pub resolution: Resolution,
    /// At how many points of the straight way from the mean cell of each picture to the picture the relevancy is made, of which it is the
    /// mean: with n of them where the cells have 1, (n − 1)/n, …, 1/n of their distance to the mean (as integrated gradients take the
    /// gradient, Sundararajan, Taly and Yan 2017). 1: at the picture alone. Where what a word goes by is there in plenty its gradient at
    /// the picture is small, and another cell that says the same may have more; a fainter picture tells them apart. Each further point
    /// costs a run and a sweep. It is the relevancy alone: other methods, layers, heads and finer maps have one point.
    pub path_points: usize,
    /// Whether attention sinks are looked for ([`Explanations::sinks`]), and what becomes of them in the relevancy; `None`: they are not.
    pub sinks: Option<SinkOptions>,
    /// Whether the relevancy is kept after every layer; only the streaming engine can.
    pub by_layer: bool,
    /// Whether what every head did is kept for the targets, with the maps of the heads of one layer; only the streaming engine can.
    pub by_head: Option<HeadLayer>,
}

setters!(ExplainOptions {
    with_engine = engine: Engine,
    with_update = update: Update,
    with_backward = backward: Backward,
    with_folding = folding: Folding,
    with_objective = objective: Objective,
    with_span = span: SpanRule,
    with_trace = trace: bool,
    with_words = words: Words,
    with_methods = methods: Vec<Compared>,
    with_resolution = resolution: Resolution,
    with_path_points = path_points: usize,
    with_sinks = sinks: Option<SinkOptions>,
    with_by_layer = by_layer: bool,
    with_by_head = by_head: Option<HeadLayer>,
});

impl Default for ExplainOptions {
    /// The additive update, and the contrast with the alternatives: of the objectives that need no word of the user's it points right
    /// most often (`docs/localization.md`). The published rule has [`Objective::Logit`].
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            update: Update::default(),
            backward: Backward::default(),
            folding: Folding::default(),
            objective: Objective::Contrast(Foil::Alternatives),
            span: SpanRule::default(),
            trace: false,
            words: Words::default(),
            methods: Vec::new(),
            resolution: Resolution::default(),
            path_points: 1,
            sinks: None,
            by_layer: false,
            by_head: None,
        }
    }
}

impl ExplainOptions {
    /// What the public Python program does, for [`crate::Profile::PythonProgram`]: the logit, the additive update, and spans by the gradient of
    /// the sum of their logits.
    pub fn python_program() -> Self {
        Self { objective: Objective::Logit, span: SpanRule::Sum, ..Self::default() }
    }
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
#[non_exhaustive]
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
    /// The attention sinks of the run, where somebody asked ([`ExplainOptions::sinks`]).
    pub sinks: Option<Sinks>,
    /// What went otherwise than planned, for people.
    pub notes: Vec<String>,
    /// How long it took.
    pub duration: Duration,
    /// What the pictures add to the words, where somebody asked: [`crate::Explainer::reliance`] finds it, and who puts it here has
    /// it written and shown.
    pub reliance: Option<Reliance>,
    /// How faithful the maps are, where somebody asked: [`crate::Explainer::certify`].
    pub certificate: Option<Certificate>,
    /// The same targets without anything to see, where somebody asked: [`crate::Explainer::blank_control`].
    pub control: Option<BlankControl>,
    /// The same targets with another model, where somebody asked: [`crate::Explainer::counterparts`].
    pub counterparts: Option<Counterparts>,
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
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "retained" => Ok(Self::Retained),
            "streaming" => Ok(Self::Streaming),
            _ => Err(Cause::UnknownEngine { found: text.to_owned() }.into()),
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
