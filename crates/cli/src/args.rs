//! What the command understands.

use clap::builder::{NonEmptyStringValueParser, RangedU64ValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use medgemma_explainer::{
    AdapterSource, AnswerOptions, DeviceSpec, DtypeSpec, Explainer, LoadOptions, ModelSource,
    ProcessorOptions, Resize, Sampling,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::asked::Asked;
use crate::audit::{self, AuditArgs};
use crate::batch::{self, BatchArgs};
use crate::demo::{self, DemoArgs};
use crate::diagnose::{self, DiagnoseArgs};
use crate::explain_args::{self, ExplainArgs};
use crate::output;
use crate::phantom::{self, PhantomArgs};
use crate::reading::{PictureWindow, RecipeName, SliceChoice};
use crate::serve::{self, ServeArgs};
use crate::spelled::Spelled;
use crate::worker::{self, WorkerArgs};

/// Shows what a medical vision-language model looked at: for any word of its answer, how much every part of the pictures and
/// every word of the text contributed
#[derive(Parser, Debug)]
#[command(name = "medgemma-explainer", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 success, 1 failure, 2 incorrect usage, 3 something requested is not in the answer (explain --strict) or some jobs failed (batch), 70 internal error, 128 + N ended by signal N (130: Ctrl-C). Data goes to stdout, everything else to stderr.";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Answer a question about pictures and explain words of the answer
    #[command(after_help = explain_args::TARGETS)]
    Explain(Box<ExplainArgs>),
    /// Answer a question about pictures
    Answer(Box<AnswerArgs>),
    /// Rebuild report.html from a folder that explain wrote
    Report(ReportArgs),
    /// Describe a checkpoint and estimate the memory it needs
    Inspect(InspectArgs),
    /// Check, on one answer, everything that explanations of a checkpoint rely on: weights, tokens, masks, attention, engines,
    /// finer maps
    #[command(after_help = diagnose::CHECKS)]
    Diagnose(Box<DiagnoseArgs>),
    /// Say of a model whether it uses the pictures of a set of cases, and the parts of them that it should
    #[command(after_help = audit::CASES)]
    Audit(Box<AuditArgs>),
    /// Serve a page in the browser and an HTTP interface, with a model that is loaded once
    #[command(after_help = serve::INTERFACE)]
    Serve(Box<ServeArgs>),
    /// Do a file of jobs with a model that is loaded once; results are one Parquet data set
    #[command(after_help = batch::JOBS)]
    Batch(Box<BatchArgs>),
    /// Do jobs that come as lines of JSON on stdin, with a model that is loaded once; outcomes are lines on stdout
    #[command(after_help = worker::LINES)]
    Worker(Box<WorkerArgs>),
    /// Draw synthetic chest radiographs whose findings are known to the pixel
    #[command(after_help = phantom::FILES)]
    Phantom(PhantomArgs),
    /// Run everything on a synthetic radiograph, with the models that ship with the program
    #[command(after_help = demo::FILES)]
    Demo(DemoArgs),
}

#[derive(clap::Args, Debug)]
pub(crate) struct ReportArgs {
    /// Folder that explain wrote
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Where to write the page; report.html in the folder by default. Only a page that this program wrote is replaced
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
    /// Print only JSON on stdout: the answer with its prompt and tokens
    #[arg(long, conflicts_with = "tokens")]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Sequence length, in tokens, to estimate memory for
    #[arg(long, value_name = "N", default_value_t = 324, value_parser = at_least_one())]
    pub(crate) tokens: usize,
    /// Print only JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// A model, and where it computes.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelArgs {
    /// Checkpoint directory, GGUF file, owner/name on the Hugging Face hub, or one of the small models that ship with the program
    /// and know only synthetic radiographs: phantom, phantom-shortcut
    #[arg(long, value_name = "DIR_OR_ID", value_parser = NonEmptyStringValueParser::new())]
    model: String,
    /// Branch, tag or commit on the hub
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    #[serde(default)]
    revision: Option<String>,
    /// The GGUF file of the repository on the hub that is the model, such as model-Q4_K_M.gguf; it and that of --mmproj are fetched and
    /// nothing else
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    #[serde(default)]
    file: Option<String>,
    /// Use only files that are already in the hub's cache
    #[arg(long)]
    #[serde(default)]
    offline: bool,
    /// GGUF file of the vision tower that belongs to a --model in a GGUF file; by default the one beside it, where --model is
    /// their folder. With --file also the name of a file of the same repository
    #[arg(long, value_name = "FILE")]
    #[serde(default)]
    mmproj: Option<PathBuf>,
    /// Adapter of a fine-tuned model (PEFT: LoRA, rsLoRA, DoRA): its directory or owner/name on the hub, with =WEIGHT where it is not
    /// to be applied fully. Several are applied in this order. A --model that is an adapter itself stands for its base with it
    #[arg(long, value_name = "DIR_OR_ID[=WEIGHT]", value_parser = NonEmptyStringValueParser::new())]
    #[serde(default)]
    adapter: Vec<String>,
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    #[serde(default, with = "crate::spelled")]
    pub(crate) device: DeviceSpec,
    /// Data type of weights and activations: auto, float32 or bfloat16
    #[arg(long, default_value_t)]
    #[serde(default, with = "crate::spelled")]
    pub(crate) dtype: DtypeSpec,
    /// Number of threads; one per core by default, and one alone for a model of less than 32 MB
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    #[serde(default)]
    pub(crate) threads: Option<usize>,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct QuestionArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) asked: Asked,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
    #[command(flatten)]
    pub(crate) generation: GenerationArgs,
}

/// How pictures and texts are prepared for the model.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct PictureArgs {
    /// Render the model's chat template without limits on time and memory; use it only for a template that you have read
    #[arg(long)]
    trust_template: bool,
    /// A file with the chat template, in the place of the model's own or of one that lies beside an --adapter; base models have none
    #[arg(long, value_name = "FILE")]
    chat_template: Option<PathBuf>,
    /// Which library's resampling to reproduce when resizing pictures
    #[arg(long, value_enum, default_value_t, help_heading = "Pictures")]
    resize: ResizeArg,
    /// Also give the model crops of elongated pictures
    #[arg(long, help_heading = "Pictures")]
    pan_and_scan: bool,
    /// Pad pictures to a square with black, as MedGemma's localisation examples do
    #[arg(long, help_heading = "Pictures")]
    pub(crate) pad_to_square: bool,
    /// Grey values that become black and white: LOW,HIGH in stored values or, of DICOM and NIfTI, in HU. Of a 16-bit picture also
    /// percentiles such as 1%,99%, or min-max; by default they are chosen, with a warning. Of DICOM also CENTRE/WIDTH, one of lung,
    /// bone, soft-tissue, brain, mediastinum and liver, or file:N, the N-th window of the file; by default as the recipe says
    #[arg(
        long,
        value_name = "WINDOW",
        value_parser = PictureWindow::read,
        allow_hyphen_values = true,
        help_heading = "Pictures"
    )]
    #[expect(clippy::doc_markdown, reason = "the text of the help")]
    #[serde(with = "crate::spelled")]
    pub(crate) window: Option<PictureWindow>,
    /// How DICOM and NIfTI become 8 bits: cxr (a radiograph, as Google's server), ct-notebook and ct-server (three windows in the
    /// colours, as the notebook and as the server of MedGemma's makers: they differ in green, −135 to 215 HU against 135 to 215), mr
    /// or plain (as a viewer); by default chosen by the modality
    #[arg(long, value_name = "RECIPE", value_parser = RecipeName::read, help_heading = "Pictures")]
    #[serde(with = "crate::spelled")]
    pub(crate) recipe: Option<RecipeName>,
    /// Slices of a series or volume that are shown: all, at most N of them, spread evenly, or a list such as 3,7-12, counted from 1 in the
    /// sorted series; by default as the recipe says, at most 85
    #[arg(long, value_name = "SLICES", value_parser = SliceChoice::read, help_heading = "Pictures")]
    #[serde(with = "crate::spelled")]
    pub(crate) slices: Option<SliceChoice>,
    /// Only this frame of a DICOM file with several, counted from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Pictures")]
    pub(crate) frame: Option<u32>,
    /// Let record and page hold file names, UIDs, patient and accession number of DICOM files; otherwise nothing that names anybody
    #[arg(long, help_heading = "Pictures")]
    pub(crate) keep_identifiers: bool,
}

/// How an answer is generated.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GenerationArgs {
    /// Maximum number of tokens in the answer
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = at_least_one(), help_heading = "Generation")]
    max_new_tokens: usize,
    /// Keep generating after the model's stop token
    #[arg(long, help_heading = "Generation")]
    ignore_stop: bool,
    /// Sample tokens with the checkpoint's recommended settings instead of taking the most likely one
    #[arg(long, help_heading = "Generation")]
    sample: bool,
    /// Seed for --sample; the same seed gives the same answer
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        requires = "sample",
        help_heading = "Generation"
    )]
    seed: u64,
}

impl Default for GenerationArgs {
    fn default() -> Self {
        Self { max_new_tokens: 300, ignore_stop: false, sample: false, seed: 0 }
    }
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum ResizeArg {
    /// As in transformers 5
    #[default]
    Torchvision,
    /// As in transformers before 5
    Pillow,
}

impl Args {
    /// The arguments, checked for what goes together; ends the process with exit code 2 where they are wrong.
    pub(crate) fn parse_checked() -> Self {
        let matches = Self::command().try_get_matches().unwrap_or_else(|error| output::end(&error));
        let args = Self::from_arg_matches(&matches);
        let mut args = args.unwrap_or_else(|error| output::end(&error));
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
            Command::Audit(args) => Some(&args.model),
            Command::Batch(args) => Some(&args.model),
            Command::Worker(args) => Some(&args.model),
            Command::Serve(args) => Some(&args.model),
            Command::Report(_) | Command::Phantom(_) | Command::Demo(_) => None,
        };
        if let Some(option) = model.and_then(ModelArgs::misplaced) {
            let message =
                format!("{option} is only for models of the hub, and --model does not name one");
            output::end(&Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        args
    }
}

impl ModelArgs {
    /// The file of the vision tower, where one is named.
    pub(crate) fn mmproj(&self) -> Option<PathBuf> {
        self.mmproj.clone()
    }

    /// Adapters, in order.
    pub(crate) fn adapters(&self) -> Vec<AdapterSource> {
        self.adapter.iter().map(|text| AdapterSource::parse(text, self.offline)).collect()
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.offline
    }

    /// Another model, by what a user calls it.
    pub(crate) fn other(&self, text: &str) -> ModelSource {
        ModelSource::parse(text, None, self.offline)
    }

    pub(crate) fn source(&self) -> ModelSource {
        let mut source = ModelSource::parse(&self.model, self.revision.as_deref(), self.offline);
        if let ModelSource::Hub { file, .. } = &mut source {
            file.clone_from(&self.file);
        }
        source
    }

    /// An option for models of the hub where the model is none.
    fn misplaced(&self) -> Option<&'static str> {
        let given = [("--revision", self.revision.is_some()), ("--file", self.file.is_some())];
        let (option, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
        (!matches!(self.source(), ModelSource::Hub { .. })).then_some(option)
    }
}

impl QuestionArgs {
    pub(crate) fn load_options(&self) -> LoadOptions {
        load_options(&self.model, &self.pictures)
    }
}

/// How a checkpoint is loaded.
pub(crate) fn load_options(model: &ModelArgs, pictures: &PictureArgs) -> LoadOptions {
    LoadOptions::default()
        .with_mmproj(model.mmproj())
        .with_adapters(model.adapters())
        .with_offline(model.offline)
        .with_device(model.device)
        .with_dtype(model.dtype)
        .with_processor(pictures.processor_options())
}

impl PictureArgs {
    fn processor_options(&self) -> ProcessorOptions {
        let resize = match self.resize {
            ResizeArg::Torchvision => Resize::TorchVision,
            ResizeArg::Pillow => Resize::Pillow,
        };
        ProcessorOptions::default()
            .with_resize(resize)
            .with_pan_and_scan(self.pan_and_scan)
            .with_pad_to_square(self.pad_to_square)
            .with_trust_template(self.trust_template)
            .with_chat_template(self.chat_template.clone())
    }
}

impl GenerationArgs {
    /// `record`: whether the answer will be explained.
    pub(crate) fn options(&self, explainer: &Explainer, record: bool) -> AnswerOptions {
        AnswerOptions::default()
            .with_max_new_tokens(self.max_new_tokens)
            .with_sampling(self.sampling(explainer))
            .with_stop(!self.ignore_stop)
            .with_record(record)
    }

    /// What the checkpoint's makers advise, where drawing was asked for.
    fn sampling(&self, explainer: &Explainer) -> Option<Sampling> {
        self.sample.then(|| explainer.advised_sampling(self.seed))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
