//! What the command understands.

use clap::builder::{NonEmptyStringValueParser, RangedU64ValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use medgemma_explainer::{
    AnswerOptions, Ask, Compared, DeviceSpec, DtypeSpec, Engine, ExplainOptions, Explainer,
    FigureKind, Foil, HeadLayer, LoadOptions, ModelSource, Objective, PictureOptions, Presentation,
    ProcessorOptions, Profile, Resize, Resolution, Sampling, Update, Window, Words,
};
use std::path::PathBuf;

use crate::asked::Asked;
use crate::demo::{self, DemoArgs};
use crate::diagnose::{self, DiagnoseArgs};
use crate::methods::MethodArgs;
use crate::phantom::{self, PhantomArgs};
use crate::presentation::PresentationArgs;
use crate::reliance::RelianceArgs;
use crate::size::size;
use crate::targets::TargetArgs;
use crate::versus::VersusArgs;

/// Shows what a medical vision-language model looked at: for any word of its answer, how much every part of the pictures and
/// every word of the text contributed
#[derive(Parser, Debug)]
#[command(name = "medgemma-explainer", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `--contrast` names beside words.
const RUNNER_UP: &str = "runner-up";

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failure, 2 wrong use. Data goes to stdout, all else to stderr.";

const TARGETS: &str = concat!(
    "Without a target the last token of the answer is explained. One answer serves all targets; they are numbered from 0 in ",
    "the order of the list above. The command `answer` with --tokens lists positions.\n\n",
    "Files in --out: report.html (point at a word, see its map), overlay-TARGET-IMAGE.png, explanation.json (the record), ",
    "explanation.npz (the raw numbers), picture-N.png (the pictures as the model's processor got them); with --resolution ",
    "patches-TARGET-IMAGE.png and pixels-TARGET-IMAGE.png; with --regions regions-TARGET-IMAGE, with --phrase versus-N-IMAGE, ",
    "with --figures FIGURE-…, as .png or .svg; with --blank-control control-TARGET-IMAGE.png, red where the picture brought ",
    "relevancy and blue where a blank one has more."
);

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Answer a question about pictures and explain words of the answer
    #[command(after_help = TARGETS)]
    Explain(Box<ExplainArgs>),
    /// Answer a question about pictures
    Answer(AnswerArgs),
    /// Make report.html of an explained answer again, from the folder that explain wrote
    Report(ReportArgs),
    /// Say what a checkpoint is and what memory it will take
    Inspect(InspectArgs),
    /// Check, on an answer, what every explanation of a checkpoint rests on: weights, tokens, masks, attention, engines
    #[command(after_help = diagnose::CHECKS)]
    Diagnose(Box<DiagnoseArgs>),
    /// Draw made-up chest radiographs with findings that are known to the pixel
    #[command(after_help = phantom::FILES)]
    Phantom(PhantomArgs),
    /// Show all of it on a made-up radiograph, with models that come with the program
    #[command(after_help = demo::FILES)]
    Demo(DemoArgs),
}

#[derive(clap::Args, Debug)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) question: QuestionArgs,

    /// Explain this answer, whatever the model would say: nothing is generated
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["sample", "ignore_stop"], help_heading = "Question")]
    pub(crate) answer: Option<String>,

    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    pub(crate) versus: VersusArgs,

    /// What computes the explanation: streaming (auto; attention is never stored) or retained (every attention is kept)
    #[arg(long, default_value_t, help_heading = "Method")]
    engine: Engine,
    /// Memory that explaining may take beside the weights, such as 800MB or 2GiB; the default is a quarter of what is free
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Method")]
    memory_budget: Option<u64>,
    /// How a layer acts on the relevancy R, with Ā the mean over heads of (attention × its gradient)⁺
    #[arg(long, value_enum, default_value_t, help_heading = "Method")]
    update: UpdateArg,
    /// The number whose gradient is taken
    #[arg(long, value_enum, default_value_t, help_heading = "Method")]
    objective: ObjectiveArg,
    /// Set the token against WORD in its place ("left" against "right") or against runner-up, the most likely other token: the
    /// gradient is that of the difference of their logits
    #[arg(long, value_name = "WORD", value_parser = not_blank(), conflicts_with = "objective", help_heading = "Method")]
    contrast: Option<String>,

    #[command(flatten)]
    compared: MethodArgs,
    /// Do exactly what another program does, so that its figures can be compared. seed: the public Python program medgemma-explainer,
    /// with a second <bos>, image tokens that see only what is before them, keywords within one token, spans by the sum of logits;
    /// its notebook's figures have --layers global too
    #[arg(long, value_enum, value_name = "PROGRAM", conflicts_with_all = ["objective", "contrast", "update", "span", "phrase", "resolution", "reliance", "reliance_picture", "blank_control"], help_heading = "Method")]
    reproduce: Option<ReproduceArg>,

    /// Words of the answer that report.html explains beside the targets; the default is content, but none where each would take
    /// seconds: on a CPU with more than a billion parameters
    #[arg(long, value_enum, help_heading = "Method")]
    words: Option<WordsArg>,
    /// How fine the maps of pictures are: tokens, patches (the relevancy goes on through the vision tower; 4 × 4 for each token in
    /// MedGemma) or pixels (patches, and gradient × input of the targets' pixels). The maps of tokens are always made too
    #[arg(long, default_value_t, help_heading = "Method")]
    resolution: Resolution,
    /// Keep more than the result, in explanation.json and explanation.npz. layers: the relevancy after every layer, for the slider of
    /// report.html and --figures layers too. heads: what every head carried, its entropy and its share of the pictures, and the maps
    /// of the heads of one layer, for --figures heads too
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', help_heading = "Method")]
    record: Vec<RecordArg>,
    /// The layer whose heads have maps, counted from 0; the default is the last one that sees the whole sequence
    #[arg(long, value_name = "LAYER", help_heading = "Method")]
    head_layer: Option<usize>,

    #[command(flatten)]
    pub(crate) reliance: RelianceArgs,

    #[command(flatten)]
    pub(crate) shown: PresentationArgs,

    /// Folder for the results; made where it is not there, an earlier explanation in it is replaced
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// Leave report.html out
    #[arg(long, help_heading = "Output")]
    no_report: bool,
    /// A date for record and report; none is taken from the clock
    #[arg(long, value_name = "TEXT", value_parser = not_blank(), help_heading = "Output")]
    date: Option<String>,
    /// Also show each target in the terminal: its map, and the answer in its colours
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) show: bool,
    /// Print the record (explanation.json) on stdout, and nothing else
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct ReportArgs {
    /// Folder that explain wrote
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Where the page goes; the default is report.html in the folder
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    pub(crate) question: QuestionArgs,
    /// Also list the tokens of the answer with their positions
    #[arg(long)]
    pub(crate) tokens: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Length of the sequence that memory is estimated for
    #[arg(long, value_name = "N", default_value_t = 324, value_parser = at_least_one())]
    pub(crate) tokens: usize,
}

#[derive(clap::Args, Debug)]
pub(crate) struct ModelArgs {
    /// Checkpoint directory, owner/name on the Hugging Face hub, or phantom or phantom-shortcut: small models that come with the
    /// program and know made-up radiographs only
    #[arg(long, value_name = "DIR_OR_ID", value_parser = NonEmptyStringValueParser::new())]
    model: String,
    /// Branch, tag or commit on the hub
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    revision: Option<String>,
    /// Use only what the hub's cache holds
    #[arg(long)]
    offline: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    pub(crate) device: DeviceSpec,
    /// Type of weights and activations: auto, float32 or bfloat16
    #[arg(long, default_value_t)]
    pub(crate) dtype: DtypeSpec,
    /// Threads to compute with; the default is one for each core
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(crate) threads: Option<usize>,
}

#[derive(clap::Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the command line"
)]
pub(crate) struct QuestionArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    #[command(flatten)]
    pub(crate) asked: Asked,

    /// Whose arithmetic resizes the pictures
    #[arg(long, value_enum, default_value_t, help_heading = "Pictures")]
    resize: ResizeArg,
    /// Also show the model crops of elongated pictures
    #[arg(long, help_heading = "Pictures")]
    pan_and_scan: bool,
    /// Pad pictures with black to a square, as MedGemma's localisation does
    #[arg(long, help_heading = "Pictures")]
    pad_to_square: bool,
    /// Grey values of 16-bit pictures that become black and white: LOW,HIGH or min-max; the default is chosen with a warning
    #[arg(long, value_name = "LOW,HIGH", value_parser = window, help_heading = "Pictures")]
    window: Option<Window>,

    /// The most tokens that the answer may have
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = at_least_one(), help_heading = "Generation")]
    max_new_tokens: usize,
    /// Go on after the model's stop token
    #[arg(long, help_heading = "Generation")]
    ignore_stop: bool,
    /// Draw tokens as the checkpoint's makers advise, instead of taking the most likely one
    #[arg(long, help_heading = "Generation")]
    pub(crate) sample: bool,
    /// The same seed draws the same answer
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        requires = "sample",
        help_heading = "Generation"
    )]
    pub(crate) seed: u64,
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
    /// The relevancy after every layer
    Layers,
    /// What every head did
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

#[derive(ValueEnum, Clone, Copy, Debug, Default)]
enum ResizeArg {
    /// As transformers 5
    #[default]
    Torchvision,
    /// As transformers before 5
    Pillow,
}

impl Args {
    /// The arguments, checked for what goes together; ends the process with exit code 2 where they are wrong.
    pub(crate) fn parse_checked() -> Self {
        let matches = Self::command().get_matches();
        let mut args = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let Some((_, matches)) = matches.subcommand() {
            match &mut args.command {
                Command::Explain(args) => args.question.asked.order(matches),
                Command::Answer(args) => args.question.asked.order(matches),
                Command::Diagnose(args) => args.question.asked.order(matches),
                _ => {}
            }
        }
        let model = match &args.command {
            Command::Explain(args) => Some(&args.question.model),
            Command::Answer(args) => Some(&args.question.model),
            Command::Diagnose(args) => Some(&args.question.model),
            Command::Inspect(args) => Some(&args.model),
            Command::Report(_) | Command::Phantom(_) | Command::Demo(_) => None,
        };
        let is_misplaced = |model: &ModelArgs| {
            model.revision.is_some() && !matches!(model.source(), ModelSource::Hub { .. })
        };
        if model.is_some_and(is_misplaced) {
            let message = "--revision is for models of the hub, and --model names none";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        if let Command::Explain(explain) = &args.command {
            explain.check();
        }
        args
    }
}

impl ExplainArgs {
    /// Ends the process with exit code 2 where a figure is asked for that cannot be.
    fn check(&self) {
        let missing =
            |message| Args::command().error(ErrorKind::MissingRequiredArgument, message).exit();
        if self.shown.wants(FigureKind::Layers) && !self.records_layers() {
            missing("--figures layers needs the relevancy by layer: add --record layers");
        }
        if self.shown.wants(FigureKind::Heads) && !self.records_heads() {
            missing("--figures heads needs what single heads did: add --record heads");
        }
        if self.head_layer.is_some() && !self.records_heads() {
            missing("--head-layer is for the maps of --record heads");
        }
        if self.shown.wants(FigureKind::Resolutions) && self.resolution == Resolution::Tokens {
            missing("--figures resolutions needs --resolution patches or pixels");
        }
        if let Some(message) = self.versus.problem() {
            Args::command().error(ErrorKind::WrongNumberOfValues, message).exit();
        }
        let asked = [
            (!self.record.is_empty(), "--record"),
            (self.resolution != Resolution::Tokens, "--resolution beyond tokens"),
        ];
        let asked = asked.into_iter().find(|(is_asked, _)| *is_asked);
        if let (Some((_, option)), Engine::Retained) = (asked, self.engine) {
            let message = format!("{option} comes from the streaming engine; leave --engine out");
            Args::command().error(ErrorKind::ArgumentConflict, message).exit();
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

    pub(crate) fn profile(&self) -> Profile {
        match self.reproduce {
            None => Profile::Sound,
            Some(ReproduceArg::Seed) => Profile::Seed,
        }
    }

    pub(crate) fn memory_budget(&self) -> Option<u64> {
        self.memory_budget
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
            return ExplainOptions {
                folding: self.compared.folding(),
                engine: self.engine,
                words,
                by_layer,
                by_head,
                ..ExplainOptions::seed()
            };
        }
        let TargetArgs { trace, .. } = self.targets;
        let span = self.targets.span();
        ExplainOptions {
            engine: self.engine,
            update,
            folding: self.compared.folding(),
            methods: Vec::new(),
            objective,
            span,
            trace,
            words,
            resolution: self.resolution,
            by_layer: self.records_layers(),
            by_head: self.by_head(),
        }
    }

    /// What must be said beside numbers of regions.
    pub(crate) fn region_note(&self) -> Option<String> {
        let presentation = self.presentation();
        presentation.regions?.note(presentation.overlay.orientation)
    }

    /// What is drawn and written.
    pub(crate) fn presentation(&self) -> Presentation {
        let report = !self.no_report;
        Presentation { report, date: self.date.clone(), ..self.shown.presentation() }
    }
}

impl ModelArgs {
    pub(crate) fn source(&self) -> ModelSource {
        ModelSource::parse(&self.model, self.revision.as_deref(), self.offline)
    }
}

impl QuestionArgs {
    pub(crate) fn load_options(&self) -> LoadOptions {
        let resize = match self.resize {
            ResizeArg::Torchvision => Resize::TorchVision,
            ResizeArg::Pillow => Resize::Pillow,
        };
        let (pan_and_scan, pad_to_square) = (self.pan_and_scan, self.pad_to_square);
        let processor =
            ProcessorOptions { resize, pan_and_scan, pad_to_square, ..ProcessorOptions::default() };
        LoadOptions {
            device: self.model.device,
            dtype: self.model.dtype,
            processor,
            ..LoadOptions::default()
        }
    }

    pub(crate) fn picture_options(&self) -> PictureOptions {
        PictureOptions { window: self.window, ..PictureOptions::default() }
    }

    /// `record`: whether the answer will be explained.
    pub(crate) fn answer_options(&self, sampling: Option<Sampling>, record: bool) -> AnswerOptions {
        AnswerOptions {
            max_new_tokens: self.max_new_tokens,
            sampling,
            stop: !self.ignore_stop,
            record,
        }
    }
}

/// A text that has more than white space.
pub(crate) fn not_blank() -> impl TypedValueParser<Value = String> {
    NonEmptyStringValueParser::new().try_map(|text| match text.trim() {
        "" => Err("it is blank"),
        _ => Ok(text),
    })
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn window(text: &str) -> Result<Window, String> {
    if text == "min-max" {
        return Ok(Window::MinMax);
    }
    let bounds = text
        .split_once(',')
        .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    match bounds {
        Some((low, high)) => Ok(Window::Range { low, high }),
        None => Err("give LOW,HIGH as two grey values from 0 to 65535, or min-max".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_window_is_two_numbers() {
        assert_eq!(window("100, 900").unwrap(), Window::Range { low: 100, high: 900 });
        assert!(window("100").is_err());
        assert!(window("-1,5").is_err());
    }
}
