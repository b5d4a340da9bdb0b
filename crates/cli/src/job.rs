//! What is explained and how, as plain data: what a command line comes to, and what a file or a request may hold.

use medgemma_explainer::{
    Context, ExplainOptions, FigureKind, LoadOptions, Presentation, Resolution,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::archive::ArchiveArgs;
use crate::args::{GenerationArgs, ModelArgs, PictureArgs, load_options, not_blank};
use crate::asked::Conversation;
use crate::certificate::CertificateArgs;
use crate::compare::CompareArgs;
use crate::method_args::HowArgs;
use crate::presentation::PresentationArgs;
use crate::reliance::RelianceArgs;
use crate::targets::TargetArgs;
use crate::versus::{self, Pair};

/// A task, the model that it is for, and where the results go. Fields bear the names of the options.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    pub(crate) model: ModelArgs,
    pub(crate) task: Task,
    #[serde(default)]
    pub(crate) compare: CompareArgs,
    #[serde(default)]
    pub(crate) archive: ArchiveArgs,
    pub(crate) output: OutputArgs,
}

/// One question and what is explained of its answer, for whatever model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    #[serde(default)]
    pub(crate) pictures: PictureArgs,
    pub(crate) conversation: Conversation,
    #[serde(default)]
    pub(crate) answer: Answering,
    #[serde(default)]
    pub(crate) targets: TargetArgs,
    /// Phrases, each against another in its place.
    #[serde(default)]
    pub(crate) versus: Vec<Pair>,
    #[serde(default)]
    pub(crate) how: HowArgs,
    #[serde(default)]
    pub(crate) reliance: RelianceArgs,
    #[serde(default)]
    pub(crate) certificate: CertificateArgs,
    #[serde(default)]
    pub(crate) shown: PresentationArgs,
}

/// Where the answer comes from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answering {
    /// From the model.
    Generated(GenerationArgs),
    /// From somebody else; nothing is generated.
    Given(String),
}

impl Default for Answering {
    fn default() -> Self {
        Self::Generated(GenerationArgs::default())
    }
}

/// What is written, and where.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputArgs {
    /// Folder for the results; created if needed. An earlier explanation in it is replaced and nothing else: it is an error if a
    /// result has the name of a file that this program did not write, or that has changed since
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// Do not write report.html
    #[arg(long, help_heading = "Output")]
    #[serde(default)]
    no_report: bool,
    /// Date to put into record and report; the clock is never read
    #[arg(long, value_name = "TEXT", value_parser = not_blank(), help_heading = "Output")]
    #[serde(default)]
    date: Option<String>,
    /// Keep full paths of pictures, regions and model in explanation.json and report.html; otherwise only file names, because a
    /// path can name people
    #[arg(long, help_heading = "Output")]
    #[serde(default)]
    keep_paths: bool,
    /// Exit with code 3 if something requested is not in the answer; the results are still written
    #[arg(long, help_heading = "Output")]
    #[serde(default)]
    pub(crate) strict: bool,
}

/// How the user knows an option: with its dashes on a command line, as a field elsewhere.
pub(crate) type Named = fn(&str) -> String;

/// Options that do not go together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    /// For people, with what to do.
    pub(crate) message: String,
}

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One option needs another.
    Missing,
    /// One option excludes another.
    Conflict,
    TooMany,
}

impl Job {
    /// What does not go together, when options bear such names.
    pub(crate) fn problem(&self, named: Named) -> Option<Problem> {
        let compared = || {
            let has_targets = !self.task.targets.asks().is_empty();
            let message = self.compare.problem(has_targets, &self.model, named)?;
            Some(Problem { kind: Kind::Missing, message })
        };
        let reproduced = || {
            let is_asked = self.task.how.is_reproduction() && self.compare.is_asked();
            is_asked.then(|| conflict(&named("reproduce"), &named("compare")))
        };
        self.task.problem(named).or_else(compared).or_else(reproduced)
    }

    /// How the checkpoint is loaded.
    pub(crate) fn load_options(&self) -> LoadOptions {
        let Task { pictures, how, .. } = &self.task;
        load_options(&self.model, pictures)
            .with_profile(how.profile())
            .with_context(Context::default().with_memory_budget(how.memory_budget()))
            .with_keep_patches(how.resolution() != Resolution::Tokens)
    }

    /// What is drawn and written.
    pub(crate) fn presentation(&self) -> Presentation {
        let OutputArgs { date, keep_paths, .. } = self.output.clone();
        self.task
            .shown
            .presentation()
            .with_report(self.has_page())
            .with_date(date)
            .with_keep_paths(keep_paths)
    }

    /// Whether there will be a page.
    pub(crate) fn has_page(&self) -> bool {
        !self.output.no_report
    }
}

impl Task {
    /// What does not go together, when options bear such names.
    pub(crate) fn problem(&self, named: Named) -> Option<Problem> {
        let problem = |kind, message| Some(Problem { kind, message });
        let [figures, record, resolution] = ["figures", "record", "resolution"].map(named);
        if self.shown.wants(FigureKind::Layers) && !self.how.records_layers() {
            let message =
                format!("{figures} layers needs the relevancy by layer: add {record} layers");
            return problem(Kind::Missing, message);
        }
        if self.shown.wants(FigureKind::Heads) && !self.how.records_heads() {
            let message = format!("{figures} heads needs results by head: add {record} heads");
            return problem(Kind::Missing, message);
        }
        let is_of_tokens = self.how.resolution() == Resolution::Tokens;
        if self.shown.wants(FigureKind::Resolutions) && is_of_tokens {
            let message = format!("{figures} resolutions needs {resolution} patches or pixels");
            return problem(Kind::Missing, message);
        }
        if let Some(message) = self.targets.too_many().or_else(|| self.shown.too_many(named)) {
            return problem(Kind::TooMany, message);
        }
        let keyword = named("keyword");
        let has_no_target = self.targets.asks().is_empty();
        if has_no_target && self.versus.is_empty() && self.how.is_without_words() {
            let words = named("words");
            let message = format!(
                "{words} none without a target leaves nothing to explain: add {keyword}, or another target"
            );
            return problem(Kind::Missing, message);
        }
        if let (Some(word), true) = (self.how.foil(), has_no_target) {
            let contrast = named("contrast");
            let message = format!(
                "{contrast} {word:?} needs a word of the answer to compare with: add {keyword}, or another target"
            );
            return problem(Kind::Missing, message);
        }
        if let Some(message) = versus::problem(&self.versus, named) {
            return problem(Kind::TooMany, message);
        }
        self.how.problem(named).or_else(|| self.reproduction_problem(named))
    }

    /// What a reproduction of another program leaves no room for.
    fn reproduction_problem(&self, named: Named) -> Option<Problem> {
        let others = [
            (self.targets.has_span_rule(), "span"),
            (!self.versus.is_empty(), "phrase"),
            (self.reliance.is_asked(), "reliance"),
            (self.certificate.is_asked(), "certificate"),
        ];
        let other = others.into_iter().find(|(is_asked, _)| *is_asked);
        let (_, other) = other.filter(|_| self.how.is_reproduction())?;
        Some(conflict(&named("reproduce"), &named(other)))
    }

    /// The options that are about pictures, by the names that options bear, which a question without any leaves nothing to do.
    pub(crate) fn about_pictures(&self, named: Named) -> Vec<String> {
        let asked = [
            (self.how.resolution() != Resolution::Tokens, "resolution"),
            (self.reliance.is_asked(), "reliance"),
            (self.certificate.is_asked(), "certificate"),
            (self.shown.has_regions(), "regions"),
            (self.shown.has_figures(), "figures"),
        ];
        asked.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, name)| named(name)).collect()
    }

    /// How it is explained, but for what depends on model and answer: methods to compare with, and a word as foil. `has_page`: words
    /// of the answer are explained for it unless somebody said otherwise.
    pub(crate) fn options(&self, has_page: bool) -> ExplainOptions {
        let options = self.how.options(has_page);
        let of_program = self.how.is_reproduction().then_some(options.span);
        let span = of_program.unwrap_or_else(|| self.targets.span());
        options.with_span(span).with_trace(self.targets.trace)
    }
}

/// Two options that exclude each other.
fn conflict(one: &str, other: &str) -> Problem {
    Problem { kind: Kind::Conflict, message: format!("{one} cannot be used with {other}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;
    use serde_json::{Value, json};

    fn job(line: &str) -> Job {
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let Command::Explain(args) = args.command else { panic!("{line}") };
        args.job()
    }

    fn again(job: &Job) -> Job {
        serde_json::from_str(&serde_json::to_string(job).unwrap()).unwrap()
    }

    const LEAST: &str = "x explain --model phantom --image a.png --prompt Describe. --out o";

    #[test]
    fn whatever_an_option_leaves_open_a_job_may_leave_out() {
        let least = json!({
            "model": { "model": "phantom" },
            "task": {
                "conversation": { "message": { "content": [{ "image": "a.png" }, { "text": "Describe." }] } },
            },
            "output": { "out": "o" },
        });
        let found: Job = serde_json::from_value(least.clone()).unwrap();
        assert_eq!(found, job(LEAST));
        for (section, field) in [("model", "modle"), ("output", "outt")] {
            let mut misspelt = least.clone();
            misspelt[section][field] = Value::from("x");
            let error = serde_json::from_value::<Job>(misspelt).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        let mut misspelt = least;
        misspelt["task"]["how"] = json!({ "layres": "all" });
        assert!(serde_json::from_value::<Job>(misspelt).is_err());
    }

    #[test]
    fn every_option_survives_being_written_and_read() {
        let lines = [
            "--file model-Q4_K_M.gguf --mmproj mmproj.gguf",
            "--revision main --offline --device cuda:1 --dtype bfloat16 --threads 3 --trust-template",
            "--chat-template t.jinja --resize pillow --pan-and-scan --pad-to-square --window 3,900",
            "--window min-max --max-new-tokens 7 --ignore-stop --sample --seed 5",
            "--window 1%,99.5% --system S --text T --image b.png",
            "--answer yes --keyword a#2 --substring b --position 3 --position 5..7 --sentence 2",
            "--characters 0..4 --field label --answer-span --span sum --trace --keyword c#all",
            "--phrase a --against b --phrase c#2 --against d",
            "--engine streaming --memory-budget 3GB --update stochastic --objective logit",
            "--contrast runner-up --method rollout,tam --layers 2..5 --heads 3 --pool max --cam-layer 1",
            "--layers global --heads gradient --words all --resolution pixels --record layers,heads --head-layer 2",
            "--reproduce seed --layers global --words none --keyword a",
            "--backward attn-lrp --method input-gradient",
            "--path-points 2",
            "--compare other --adapter a=0.5 --adapter b --keyword c",
            "--certificate --keyword a",
            "--certificate knock-out,blur --certificate-controls 39 --certificate-percent 4,16,50 --certificate-seed 3",
            "--reliance mean,knockout --reliance-picture c.png --blank-control",
            "--regions cxr --orientation flipped --colormap viridis --interpolation cells --alpha 0.5",
            "--regions r.json --constant-alpha --common-scale --contours 0.9,0.99 --figures words,panels",
            "--figure-format svg --template-tokens show --no-report --date today --keep-paths --strict",
        ];
        for line in lines {
            let job = job(&format!("{LEAST} {line}"));
            assert_eq!(again(&job), job, "{line}");
            assert_ne!(job, self::job(LEAST), "{line}");
        }
    }

    #[test]
    fn targets_are_written_as_one_would_write_them() {
        let job = job(&format!("{LEAST} --keyword left --answer-span"));
        let expected = json!([{ "keyword": { "word": "left", "occurrence": 0 } }, "answer"]);
        assert_eq!(serde_json::to_value(&job).unwrap()["task"]["targets"]["asks"], expected);
    }

    /// What the command line refuses by itself, a job must refuse too.
    #[test]
    fn a_job_is_checked_as_a_command_line_is() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut value = serde_json::to_value(job(&format!("{LEAST} --keyword a"))).unwrap();
            change(&mut value);
            let job: Job = serde_json::from_value(value).unwrap();
            job.problem(|option| format!("{option:?}")).map(|problem| problem.message)
        };
        assert_eq!(refused(&|_| {}), None);
        let contrast = refused(&|job| {
            job["task"]["how"]["contrast"] = "b".into();
            job["task"]["how"]["objective"] = "logit".into();
        });
        assert_eq!(contrast.unwrap(), "\"contrast\" cannot be used with \"objective\"");
        for (section, field, value) in [
            ("how", "objective", json!("logit")),
            ("how", "contrast", json!("b")),
            ("how", "update", json!("stochastic")),
            ("how", "backward", json!("cp-lrp")),
            ("how", "path_points", json!(2)),
            ("how", "resolution", json!("patches")),
            ("targets", "span", json!("sum")),
            ("reliance", "reliance", json!(["mean"])),
            ("reliance", "blank_control", json!(true)),
            ("certificate", "certificate", json!(["blur"])),
        ] {
            let found = refused(&|job| {
                job["task"]["how"]["reproduce"] = "seed".into();
                job["task"][section][field] = value.clone();
            });
            assert!(found.unwrap().starts_with("\"reproduce\" cannot be used with"), "{field}");
        }
        let figure = refused(&|job| job["task"]["shown"]["figures"] = json!(["heads"]));
        assert_eq!(
            figure.unwrap(),
            "\"figures\" heads needs results by head: add \"record\" heads"
        );
    }
}
