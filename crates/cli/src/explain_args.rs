//! What `explain` understands.

use clap::error::ErrorKind;
use clap::{CommandFactory, ValueEnum};
use medgemma_explainer::{
    Ask, Compared, Context, Engine, ExplainOptions, Explainer, FigureKind, Foil, HeadLayer,
    LoadOptions, Objective, Presentation, Profile, Resolution, Update, Words,
};
use std::path::PathBuf;

use crate::args::{Args, QuestionArgs, not_blank};
use crate::methods::MethodArgs;
use crate::output;
use crate::presentation::PresentationArgs;
use crate::reliance::RelianceArgs;
use crate::size::size;
use crate::targets::TargetArgs;
use crate::versus::VersusArgs;

/// What `--contrast` names beside words.
const RUNNER_UP: &str = "runner-up";

pub(crate) const TARGETS: &str = concat!(
    "Without a target every content word of the answer is explained, in report.html and the arrays, and no overlay is drawn. ",
    "Something that is not in the answer, such as a --keyword that does not occur, is reported and the rest is explained (with ",
    "--strict: exit code 3). All targets explain the same answer; they are numbered from 0 in the order of the command line. The ",
    "command `answer` with --tokens lists positions. ",
    "In the table, \"in pictures\" is the share of all relevancy (pictures and text, without the self term) that lies in the pictures.\n\n",
    "Files in --out: report.html (point at a word to see its map), overlay-TARGET-IMAGE.png (TARGET is the number in the table; .svg ",
    "with --figure-format svg), explanation.json (the record), ",
    "explanation.npz (the raw numbers), picture-N.png (the pictures as they were given to the model's processor); with --resolution ",
    "patches-TARGET-IMAGE.png and pixels-TARGET-IMAGE.png; with --regions regions-TARGET-IMAGE, with --phrase versus-N-IMAGE, ",
    "with --figures FIGURE-…, as .png or .svg; with --blank-control control-TARGET-IMAGE.png, red where the picture has more ",
    "relevancy and blue where the mean picture has more."
);

#[derive(clap::Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the command line"
)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) question: QuestionArgs,

    /// Explain this text as the answer; nothing is generated
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["sample", "ignore_stop"], help_heading = "Question")]
    pub(crate) answer: Option<String>,

    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    pub(crate) versus: VersusArgs,

    /// What computes the explanation: streaming (the choice of auto; never stores attention) or retained (keeps every attention
    /// matrix)
    #[arg(long, default_value_t, help_heading = "Method")]
    engine: Engine,
    /// Memory that explaining may use in addition to the weights, such as 800MB or 2GiB; a quarter of the free memory by default
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Method")]
    memory_budget: Option<u64>,
    /// How a layer updates the relevancy R; Ā is the mean over heads of (attention × its gradient)⁺
    #[arg(long, value_enum, default_value_t, help_heading = "Method")]
    update: UpdateArg,
    /// The quantity whose gradient is taken
    #[arg(long, value_enum, default_value_t, help_heading = "Method")]
    objective: ObjectiveArg,
    /// Explain the token against WORD in its place ("left" against "right"), or against runner-up, the most likely other token:
    /// the gradient is taken of the difference of their logits
    #[arg(long, value_name = "WORD", value_parser = not_blank(), conflicts_with = "objective", help_heading = "Method")]
    contrast: Option<String>,

    #[command(flatten)]
    compared: MethodArgs,
    /// Reproduce another program exactly, so that its figures can be compared. seed: the public Python program medgemma-
    /// explainer, with its second <bos>, causal attention between image tokens, keywords within a single token, and spans
    /// explained by the sum of their logits; the figures of its notebook also need --layers global
    #[arg(long, value_enum, value_name = "PROGRAM", conflicts_with_all = ["objective", "contrast", "update", "span", "phrase", "resolution", "reliance", "reliance_picture", "blank_control"], help_heading = "Method")]
    reproduce: Option<ReproduceArg>,

    /// Words of the answer that report.html explains in addition to the targets; content by default, none where each would take
    /// seconds (on a CPU with more than a billion parameters)
    #[arg(long, value_enum, help_heading = "Method")]
    words: Option<WordsArg>,
    /// Resolution of the maps: tokens, patches (relevancy continues through the vision tower; 4 × 4 patches per token in
    /// MedGemma) or pixels (patches, and gradient × input at the pixels). Token maps are always made
    #[arg(long, default_value_t, help_heading = "Method")]
    resolution: Resolution,
    /// Also record, in explanation.json and explanation.npz, layers: the relevancy by layer, also used by the slider of
    /// report.html and by --figures layers; heads: for every head what it carried, its entropy and its share in the pictures, and
    /// maps of the heads of one layer, also used by --figures heads
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', help_heading = "Method")]
    record: Vec<RecordArg>,
    /// The layer whose heads get maps, counted from 0; by default the last layer with global attention
    #[arg(long, value_name = "LAYER", help_heading = "Method")]
    head_layer: Option<usize>,

    #[command(flatten)]
    pub(crate) reliance: RelianceArgs,

    #[command(flatten)]
    pub(crate) shown: PresentationArgs,

    /// Folder for the results; created if needed. An earlier explanation in it is replaced and nothing else: it is an error if a
    /// result has the name of a file that this program did not write, or that has changed since
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// Do not write report.html
    #[arg(long, help_heading = "Output")]
    no_report: bool,
    /// Date to put into record and report; the clock is never read
    #[arg(long, value_name = "TEXT", value_parser = not_blank(), help_heading = "Output")]
    date: Option<String>,
    /// Keep full paths of pictures, regions and model in explanation.json and report.html; otherwise only file names, because a
    /// path can name people
    #[arg(long, help_heading = "Output")]
    keep_paths: bool,
    /// Also show each target in the terminal: its map, and the text in colours
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) show: bool,
    /// Exit with code 3 if something requested is not in the answer; the results are still written
    #[arg(long, help_heading = "Output")]
    pub(crate) strict: bool,
    /// Print only the record (explanation.json) on stdout
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum WordsArg {
    /// Every word
    All,
    /// All but English function words
    Content,
    /// Only the targets
    None,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum ReproduceArg {
    /// The public Python program medgemma-explainer
    Seed,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum RecordArg {
    /// The relevancy by layer
    Layers,
    /// Results by head
    Heads,
}

#[derive(ValueEnum, Clone, Copy, Debug, Default)]
enum UpdateArg {
    /// R ← R + Ā·R
    #[default]
    Additive,
    /// Rows of Ā, and of the sum with the identity, are divided by their sums
    Stochastic,
}

#[derive(ValueEnum, Clone, Copy, Debug, Default)]
enum ObjectiveArg {
    /// The logit of the token minus that of the most likely other one
    #[default]
    Contrast,
    /// The logit of the token: the published rule
    Logit,
    /// The logarithm of its probability
    LogProbability,
}

impl ExplainArgs {
    /// Ends the process with exit code 2 where a figure is asked for that cannot be.
    pub(crate) fn check(&self) {
        let end = |kind, message: &str| -> ! {
            // With the usage of `explain`, not of the whole command.
            let mut command = Args::command();
            command.build();
            let explain = command.find_subcommand_mut("explain").expect("it is this command");
            output::end(&explain.error(kind, message))
        };
        let missing = |message| -> () { end(ErrorKind::MissingRequiredArgument, message) };
        if self.shown.wants(FigureKind::Layers) && !self.records_layers() {
            missing("--figures layers needs the relevancy by layer: add --record layers");
        }
        if self.shown.wants(FigureKind::Heads) && !self.records_heads() {
            missing("--figures heads needs results by head: add --record heads");
        }
        if self.head_layer.is_some() && !self.records_heads() {
            missing("--head-layer is for the maps of --record heads");
        }
        if self.shown.wants(FigureKind::Resolutions) && self.resolution == Resolution::Tokens {
            missing("--figures resolutions needs --resolution patches or pixels");
        }
        if let Some(message) = self.targets.too_many().or_else(|| self.shown.too_many()) {
            end(ErrorKind::TooManyValues, &message);
        }
        let is_nothing_named = self.asks().is_empty() && self.versus.is_empty();
        if is_nothing_named && matches!(self.words, Some(WordsArg::None)) {
            let message = "--words none without a target leaves nothing to explain: add --keyword, or another target";
            end(ErrorKind::MissingRequiredArgument, message);
        }
        if let (Some(word), true) = (self.foil(), self.asks().is_empty()) {
            let message = format!(
                "--contrast {word:?} needs a word of the answer to compare with: add --keyword, or another target"
            );
            end(ErrorKind::MissingRequiredArgument, &message);
        }
        if let Some(message) = self.versus.problem() {
            end(ErrorKind::WrongNumberOfValues, &message);
        }
        let asked = [
            (!self.record.is_empty(), "--record"),
            (self.resolution != Resolution::Tokens, "--resolution beyond tokens"),
        ];
        let asked = asked.into_iter().find(|(is_asked, _)| *is_asked);
        if let (Some((_, option)), Engine::Retained) = (asked, self.engine) {
            let message = format!("{option} needs the streaming engine; leave out --engine");
            end(ErrorKind::ArgumentConflict, &message);
        }
    }

    fn records_layers(&self) -> bool {
        self.record.contains(&RecordArg::Layers)
    }

    fn by_head(&self) -> Option<HeadLayer> {
        self.records_heads().then(|| self.head_layer.map_or(HeadLayer::LastFull, HeadLayer::Number))
    }

    fn records_heads(&self) -> bool {
        self.record.contains(&RecordArg::Heads)
    }

    pub(crate) fn asks(&self) -> Vec<Ask> {
        self.targets.asks()
    }

    /// Whether words are explained because nobody said otherwise.
    pub(crate) fn words_by_default(&self) -> bool {
        self.words.is_none()
    }

    /// The word that the targets are set against, unless it is the most likely other token.
    pub(crate) fn foil(&self) -> Option<&str> {
        self.contrast.as_deref().filter(|word| *word != RUNNER_UP)
    }

    /// How the checkpoint is loaded.
    pub(crate) fn load_options(&self) -> LoadOptions {
        let profile = match self.reproduce {
            None => Profile::Sound,
            Some(ReproduceArg::Seed) => Profile::PythonProgram,
        };
        self.question
            .load_options()
            .with_profile(profile)
            .with_context(Context::default().with_memory_budget(self.memory_budget))
            .with_keep_patches(self.resolution != Resolution::Tokens)
    }

    /// Whether the engine starts from what is kept while the answer is generated.
    pub(crate) fn records(&self) -> bool {
        self.engine != Engine::Retained
    }

    /// What the relevancy is compared with.
    pub(crate) fn methods(&self, explainer: &Explainer) -> Vec<Compared> {
        self.compared.methods(explainer)
    }

    /// All of it but what depends on model and answer: methods to compare with, and a word as foil.
    pub(crate) fn options(&self) -> ExplainOptions {
        let update = match self.update {
            UpdateArg::Additive => Update::Additive,
            UpdateArg::Stochastic => Update::Stochastic,
        };
        let objective = match (&self.contrast, self.objective) {
            (Some(_), _) | (None, ObjectiveArg::Contrast) => Objective::Contrast(Foil::RunnerUp),
            (None, ObjectiveArg::Logit) => Objective::Logit,
            (None, ObjectiveArg::LogProbability) => Objective::LogProbability,
        };
        let words = match self.words {
            Some(WordsArg::All) => Words::All,
            Some(WordsArg::None) => Words::None,
            // What stands for one word in the place of another says nothing of a third.
            None if self.no_report || self.foil().is_some() || self.reproduce.is_some() => {
                Words::None
            }
            Some(WordsArg::Content) | None => Words::Content,
        };
        if self.reproduce.is_some() {
            let by_head = self.by_head();
            let by_layer = self.records_layers();
            return ExplainOptions::python_program()
                .with_folding(self.compared.folding())
                .with_engine(self.engine)
                .with_words(words)
                .with_by_layer(by_layer)
                .with_by_head(by_head);
        }
        let TargetArgs { trace, .. } = self.targets;
        let span = self.targets.span();
        ExplainOptions::default()
            .with_engine(self.engine)
            .with_update(update)
            .with_folding(self.compared.folding())
            .with_methods(Vec::new())
            .with_objective(objective)
            .with_span(span)
            .with_trace(trace)
            .with_words(words)
            .with_resolution(self.resolution)
            .with_by_layer(self.records_layers())
            .with_by_head(self.by_head())
    }

    /// What must be said beside numbers of regions.
    pub(crate) fn region_note(&self) -> Option<String> {
        let presentation = self.presentation();
        presentation.regions?.note(presentation.overlay.orientation)
    }

    /// What is drawn and written.
    pub(crate) fn presentation(&self) -> Presentation {
        let report = !self.no_report;
        let (date, keep_paths) = (self.date.clone(), self.keep_paths);
        Presentation { report, date, keep_paths, ..self.shown.presentation() }
    }
}
