//! What `explain` understands, and the job that it comes to.

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::archive::ArchiveArgs;
use crate::args::{Args, QuestionArgs};
use crate::certificate::CertificateArgs;
use crate::compare::CompareArgs;
use crate::job::{Answering, Job, Kind, OutputArgs, Task};
use crate::method_args::HowArgs;
use crate::output;
use crate::presentation::PresentationArgs;
use crate::reliance::RelianceArgs;
use crate::targets::TargetArgs;
use crate::versus::VersusArgs;

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
    "relevancy and blue where the mean picture has more; with --compare compare-TARGET-IMAGE.png, both maps on one scale and their difference."
);

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) question: QuestionArgs,

    /// Explain this text as the answer; nothing is generated
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["sample", "ignore_stop"], help_heading = "Question")]
    answer: Option<String>,

    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    versus: VersusArgs,
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    reliance: RelianceArgs,
    #[command(flatten)]
    certificate: CertificateArgs,
    #[command(flatten)]
    compare: CompareArgs,
    #[command(flatten)]
    shown: PresentationArgs,
    #[command(flatten)]
    archive: ArchiveArgs,
    #[command(flatten)]
    output: OutputArgs,

    /// Also show each target in the terminal: its map, and the text in colours
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) show: bool,
    /// Print only the record (explanation.json) on stdout
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

impl ExplainArgs {
    /// The job that the command line comes to; ends the process with exit code 2 where its options do not go together.
    pub(crate) fn job(&self) -> Job {
        let versus =
            self.versus.pairs().unwrap_or_else(|why| end(ErrorKind::WrongNumberOfValues, &why));
        let QuestionArgs { model, asked, pictures, generation } = self.question.clone();
        let job = Job {
            model,
            task: Task {
                pictures,
                conversation: asked.conversation(),
                answer: match &self.answer {
                    Some(text) => Answering::Given(text.clone()),
                    None => Answering::Generated(generation),
                },
                targets: self.targets.clone(),
                versus,
                how: self.how.clone(),
                reliance: if self.archive.wants_contribution() {
                    self.reliance.clone().or_mean()
                } else {
                    self.reliance.clone()
                },
                certificate: self.certificate.clone(),
                shown: self.shown.clone(),
            },
            compare: self.compare.clone(),
            archive: self.archive.clone(),
            output: self.output.clone(),
        };
        if let Some(problem) = job.problem(|option| format!("--{}", option.replace('_', "-"))) {
            let kind = match problem.kind {
                Kind::Missing => ErrorKind::MissingRequiredArgument,
                Kind::Conflict => ErrorKind::ArgumentConflict,
                Kind::TooMany => ErrorKind::TooManyValues,
            };
            end(kind, &problem.message);
        }
        job
    }
}

/// Ends the process with the usage of `explain`, not of the whole command.
fn end(kind: ErrorKind, message: &str) -> ! {
    let mut command = Args::command();
    command.build();
    let explain = command.find_subcommand_mut("explain").expect("it is this command");
    output::end(&explain.error(kind, message))
}
