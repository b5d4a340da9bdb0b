//! The options of `explain` that say how it is explained.

use clap::ValueEnum;
use medgemma_explainer::{
    Backward, Compared, Engine, ExplainOptions, Explainer, Foil, HeadLayer, Objective, Profile,
    Resolution, SinkOptions, SinkRule, Update, Words,
};
use serde::{Deserialize, Serialize};

use crate::args::not_blank;
use crate::job::{Kind, Named, Problem};
use crate::methods::MethodArgs;
use crate::size::size;

/// What `--contrast` names beside words.
const RUNNER_UP: &str = "runner-up";
const ALTERNATIVES: &str = "alternatives";

/// How it is explained.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HowArgs {
    /// What computes the explanation: streaming (the choice of auto; never stores attention) or retained (keeps every attention
    /// matrix)
    #[arg(long, default_value_t, help_heading = "Method")]
    #[serde(with = "crate::spelled")]
    engine: Engine,
    /// Memory that explaining may use in addition to the weights, such as 800MB or 2GiB; a quarter of the free memory by default
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Method")]
    memory_budget: Option<u64>,
    /// How a layer updates the relevancy R; Ā is the mean over heads of (attention × its gradient)⁺
    #[arg(long, value_enum, default_value_t, help_heading = "Method")]
    update: UpdateArg,
    /// How the sweep goes back through what is not linear: by the gradient, or by a rule of layer-wise relevance propagation, with
    /// which input-gradient is the LRP score of a token. The rules other than gradient need a build with the feature lrp
    #[arg(long, value_enum, default_value_t, help_heading = "Method")]
    backward: BackwardArg,
    /// Make the relevancy the mean of those at N points of the way from the mean cell of each picture to the picture: with 2 at the
    /// picture and at half of its contrast. Sharpens words that several places speak for; each further point costs a run and a sweep
    #[arg(long, value_name = "N", help_heading = "Method")]
    path_points: Option<usize>,
    /// The quantity whose gradient is taken; contrast by default, with the alternatives
    #[arg(long, value_enum, help_heading = "Method")]
    objective: Option<ObjectiveArg>,
    /// Explain the token against WORD in its place ("left" against "right"), against runner-up, the most likely other token, or against
    /// alternatives (the default), the tokens that could stand there, each by its probability with the pictures times that with the
    /// pictures hidden: the gradient is taken of the difference of their logits
    #[arg(long, value_name = "WORD", value_parser = not_blank(), conflicts_with = "objective", help_heading = "Method")]
    contrast: Option<String>,

    #[command(flatten)]
    compared: MethodArgs,
    /// Reproduce another program exactly, so that its figures can be compared. seed: the public Python program medgemma-
    /// explainer, with its second <bos>, causal attention between image tokens, keywords within a single token, and spans
    /// explained by the sum of their logits; the figures of its notebook also need --layers global
    #[arg(long, value_enum, value_name = "PROGRAM", conflicts_with_all = ["objective", "contrast", "update", "backward", "path_points", "span", "phrase", "resolution", "sinks", "reliance", "reliance_picture", "blank_control", "certificate"], help_heading = "Method")]
    reproduce: Option<ReproduceArg>,

    /// Words of the answer that report.html explains in addition to the targets; content by default, none where each would take
    /// seconds (on a CPU with more than a billion parameters)
    #[arg(long, value_enum, help_heading = "Method")]
    words: Option<WordsArg>,
    /// Resolution of the maps: tokens, patches (relevancy continues through the vision tower; 4 × 4 patches per token in
    /// MedGemma) or pixels (patches, and gradient × input at the pixels). Token maps are always made
    #[arg(long, default_value_t, help_heading = "Method")]
    #[serde(with = "crate::spelled")]
    resolution: Resolution,
    /// Look for attention sinks, tokens with massive activations, and tell them in the terminal, explanation.json and report.html.
    /// keep: the relevancy stays what it is; drop: they receive nothing and pass nothing on
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Method")]
    sinks: Option<SinksArg>,
    /// Above which φ a token is a sink: its largest activation in a massive dimension over the root mean square of its state; by
    /// default 20·√(D/4096) in a model of width D, the same part of a state as the published 20 of 4096
    #[arg(long, value_name = "PHI", help_heading = "Method")]
    sink_threshold: Option<f32>,
    /// Also record, in explanation.json and explanation.npz, layers: the relevancy by layer, also used by the slider of
    /// report.html and by --figures layers; heads: for every head what it carried, its entropy and its share in the pictures, and
    /// maps of the heads of one layer, also used by --figures heads
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', help_heading = "Method")]
    record: Vec<RecordArg>,
    /// The layer whose heads get maps, counted from 0; by default the last layer with global attention
    #[arg(long, value_name = "LAYER", help_heading = "Method")]
    head_layer: Option<usize>,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum WordsArg {
    /// Every word
    All,
    /// All but English function words
    Content,
    /// Only the targets
    None,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum SinksArg {
    /// They stay in the relevancy
    Keep,
    /// They are taken out of the relevancy
    Drop,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum ReproduceArg {
    /// The public Python program medgemma-explainer
    Seed,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum RecordArg {
    /// The relevancy by layer
    Layers,
    /// Results by head
    Heads,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum UpdateArg {
    /// R ← R + Ā·R
    #[default]
    Additive,
    /// Rows of Ā, and of the sum with the identity, are divided by their sums
    Stochastic,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum BackwardArg {
    /// The gradient: the published rule
    #[default]
    Gradient,
    /// Conservative propagation: attention, gates and the scale of norms are constant; scores sum to the logit
    CpLrp,
    /// Attention-aware LRP: the scale of norms is constant, products of two give half to each
    AttnLrp,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum ObjectiveArg {
    /// The logit of the token minus those of the tokens that could stand there in its place
    #[default]
    Contrast,
    /// The logit of the token: the published rule
    Logit,
    /// The logarithm of its probability
    LogProbability,
    /// The logarithm of its odds: a contrast with all other tokens, by their probability
    LogOdds,
}

impl HowArgs {
    /// What does not go together, when options bear such names.
    pub(crate) fn problem(&self, named: Named) -> Option<Problem> {
        let record = named("record");
        if self.head_layer.is_some() && !self.records_heads() {
            let head_layer = named("head_layer");
            let message = format!("{head_layer} is for the maps of {record} heads");
            return Some(Problem { kind: Kind::Missing, message });
        }
        if self.sink_threshold.is_some() && self.sinks.is_none() {
            let [threshold, sinks] = ["sink_threshold", "sinks"].map(named);
            let message = format!("{threshold} is for {sinks} keep or drop");
            return Some(Problem { kind: Kind::Missing, message });
        }
        let beyond = format!("{} beyond tokens", named("resolution"));
        let asked =
            [(!self.record.is_empty(), record), (self.resolution != Resolution::Tokens, beyond)];
        let asked = asked.into_iter().find(|(is_asked, _)| *is_asked).map(|(_, option)| option);
        if let (Some(option), Engine::Retained) = (&asked, self.engine) {
            let engine = named("engine");
            let message = format!("{option} needs the streaming engine; leave out {engine}");
            return Some(Problem { kind: Kind::Conflict, message });
        }
        if self.backward != BackwardArg::Gradient && self.engine == Engine::Retained {
            let [backward, engine] = ["backward", "engine"].map(named);
            let message = format!("{backward} needs the streaming engine; leave out {engine}");
            return Some(Problem { kind: Kind::Conflict, message });
        }
        if let (Some(option), true) = (&asked, self.path_points.is_some_and(|points| points != 1)) {
            let message = format!("{option} has one point; leave out {}", named("path_points"));
            return Some(Problem { kind: Kind::Conflict, message });
        }
        let [contrast, objective, reproduce] = ["contrast", "objective", "reproduce"].map(named);
        let conflict = |one: &str, other: &str| {
            let message = format!("{one} cannot be used with {other}");
            Some(Problem { kind: Kind::Conflict, message })
        };
        if self.contrast.is_some() && self.objective.is_some() {
            return conflict(&contrast, &objective);
        }
        self.reproduce?;
        let others = [
            (self.objective.is_some(), objective),
            (self.contrast.is_some(), contrast),
            (self.update != UpdateArg::Additive, named("update")),
            (self.backward != BackwardArg::Gradient, named("backward")),
            (self.path_points.is_some(), named("path_points")),
            (self.resolution != Resolution::Tokens, named("resolution")),
            (self.sinks.is_some(), named("sinks")),
        ];
        let other = others.into_iter().find(|(is_asked, _)| *is_asked);
        other.and_then(|(_, other)| conflict(&reproduce, &other))
    }

    pub(crate) fn is_reproduction(&self) -> bool {
        self.reproduce.is_some()
    }

    pub(crate) fn resolution(&self) -> Resolution {
        self.resolution
    }

    pub(crate) fn memory_budget(&self) -> Option<u64> {
        self.memory_budget
    }

    pub(crate) fn profile(&self) -> Profile {
        match self.reproduce {
            None => Profile::Sound,
            Some(ReproduceArg::Seed) => Profile::PythonProgram,
        }
    }

    pub(crate) fn records_layers(&self) -> bool {
        self.record.contains(&RecordArg::Layers)
    }

    pub(crate) fn records_heads(&self) -> bool {
        self.record.contains(&RecordArg::Heads)
    }

    fn by_head(&self) -> Option<HeadLayer> {
        self.records_heads().then(|| self.head_layer.map_or(HeadLayer::LastFull, HeadLayer::Number))
    }

    /// Whether words are explained because nobody said otherwise.
    pub(crate) fn words_by_default(&self) -> bool {
        self.words.is_none()
    }

    pub(crate) fn is_without_words(&self) -> bool {
        self.words == Some(WordsArg::None)
    }

    /// The word that the targets are set against, where it is named.
    pub(crate) fn foil(&self) -> Option<&str> {
        self.contrast.as_deref().filter(|word| ![RUNNER_UP, ALTERNATIVES].contains(word))
    }

    /// Whether the engine starts from what is kept while the answer is generated.
    pub(crate) fn records(&self) -> bool {
        self.engine != Engine::Retained
    }

    /// What the relevancy is compared with.
    pub(crate) fn methods(&self, explainer: &Explainer) -> Vec<Compared> {
        self.compared.methods(explainer)
    }

    /// All of it but what depends on model, answer and targets.
    pub(crate) fn options(&self, has_report: bool) -> ExplainOptions {
        let words = match self.words {
            Some(WordsArg::All) => Words::All,
            Some(WordsArg::None) => Words::None,
            // What stands for one word in the place of another says nothing of a third.
            None if !has_report || self.foil().is_some() || self.reproduce.is_some() => Words::None,
            Some(WordsArg::Content) | None => Words::Content,
        };
        let of_program = if self.reproduce.is_some() {
            ExplainOptions::python_program()
        } else {
            ExplainOptions::default()
                .with_update(self.update())
                .with_backward(self.backward())
                .with_path_points(self.path_points.unwrap_or(1))
                .with_objective(self.objective())
                .with_resolution(self.resolution)
        };
        of_program
            .with_engine(self.engine)
            .with_folding(self.compared.folding())
            .with_words(words)
            .with_sinks(self.sinks())
            .with_by_layer(self.records_layers())
            .with_by_head(self.by_head())
    }

    fn sinks(&self) -> Option<SinkOptions> {
        let rule = match self.sinks? {
            SinksArg::Keep => SinkRule::Keep,
            SinksArg::Drop => SinkRule::Drop,
        };
        Some(SinkOptions::new(rule).with_threshold(self.sink_threshold))
    }

    fn update(&self) -> Update {
        match self.update {
            UpdateArg::Additive => Update::Additive,
            UpdateArg::Stochastic => Update::Stochastic,
        }
    }

    fn backward(&self) -> Backward {
        match self.backward {
            BackwardArg::Gradient => Backward::Gradient,
            BackwardArg::CpLrp => Backward::CpLrp,
            BackwardArg::AttnLrp => Backward::AttnLrp,
        }
    }

    fn objective(&self) -> Objective {
        match (self.contrast.as_deref(), self.objective) {
            // A word takes the place of the runner-up where the explainer finds its token.
            (Some(word), _) if word != ALTERNATIVES => Objective::Contrast(Foil::RunnerUp),
            (Some(_), _) | (None, None | Some(ObjectiveArg::Contrast)) => {
                Objective::Contrast(Foil::Alternatives)
            }
            (None, Some(ObjectiveArg::Logit)) => Objective::Logit,
            (None, Some(ObjectiveArg::LogProbability)) => Objective::LogProbability,
            (None, Some(ObjectiveArg::LogOdds)) => Objective::LogOdds,
        }
    }
}
