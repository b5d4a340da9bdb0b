//! `medgemma-explainer explain`.

use crate::asked::{Posed, check_sight, warn_of};
use crate::explain_args::ExplainArgs;
use crate::job::{Answering, Job, Task};
use crate::task::Page;
use crate::{
    answer, certificate, compare, methods, output, progress, reliance, shades, sinks, versus,
};
use medgemma_explainer::medical::SourceHandle;
use medgemma_explainer::{
    Answer, Blank, Explainer, Explanations, Exported, FigureKind, Frame, NOTHING_SPEAKS,
    OutputFolder, Picture, Presentation, Question, TargetExplanation, Token, TokenKind,
    region_table,
};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Answers, explains, writes the results and says where they are.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let job = args.job();
    let ready = Ready::new(&job)?;
    let explainer = answer::load(&job.model, job.load_options())?;
    let other = job.compare.load(&job, &explainer)?;
    let done = ready.run(&explainer, other.as_ref(), !args.json)?;
    if args.json {
        output::json(&done.written.json);
        return Ok(());
    }
    done.print(args.show)?;
    match done.explanations.missing.len() {
        missing if job.output.strict && 0 < missing => Err(Incomplete { missing }.into()),
        _ => Ok(()),
    }
}

/// A job whose files have been read and whose folder has been taken: all that can be wrong without a model is known.
struct Ready<'a> {
    job: &'a Job,
    question: Question,
    /// For each picture the file that results can be written back to.
    sources: Vec<Option<SourceHandle>>,
    /// The first picture of the current study.
    current: usize,
    presentation: Presentation,
    blanks: Vec<Blank>,
    folder: OutputFolder,
}

/// A job that was done.
struct Done {
    answer: Answer,
    explanations: Explanations,
    presentation: Presentation,
    written: Exported,
    /// Objects of DICOM and volumes.
    archived: Vec<PathBuf>,
}

impl<'a> Ready<'a> {
    fn new(job: &'a Job) -> anyhow::Result<Self> {
        let task = &job.task;
        let reader = task.pictures.reader();
        let Posed { question, sources, current } = task.conversation.posed(&reader)?;
        task.pictures.check_used(&sources)?;
        job.archive.check(&sources)?;
        if question.pictures.is_empty() {
            let idle = task.about_pictures(|option| format!("--{option}"));
            anyhow::ensure!(
                idle.is_empty(),
                "the question has no picture, and {} is about pictures: leave it out, or add --image",
                idle.join(" and ")
            );
        }
        let presentation = job.presentation();
        let frame = |picture: &Picture| {
            Frame::whole(picture.rgb(), presentation.orientation_of(picture.provenance()))
        };
        for picture in &question.pictures {
            presentation.check_view(picture.provenance())?;
        }
        presentation.check(&question.pictures.iter().map(frame).collect::<Vec<_>>())?;
        task.certificate.check()?;
        let blanks = task.reliance.blanks(&reader)?;
        let others = blanks.iter().filter_map(|blank| match blank {
            Blank::Another(picture) => Some(&**picture),
            _ => None,
        });
        warn_of(question.pictures.iter().chain(others), &question.prompt(), &task.pictures);
        let mut inputs = inputs(job, &question, &presentation);
        inputs.extend(sources.iter().flatten().map(|source| source.path().to_owned()));
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        let folder = OutputFolder::create(&job.output.out, &inputs)?;
        Ok(Self { job, question, sources, current, presentation, blanks, folder })
    }

    /// Answers, explains and writes. `shows`: the answer goes to stdout as it is made.
    fn run(
        self,
        explainer: &Explainer,
        other: Option<&Explainer>,
        shows: bool,
    ) -> anyhow::Result<Done> {
        let Self { job, question, sources, current, presentation, blanks, folder } = self;
        let task = &job.task;
        check_sight(explainer, &task.conversation, &question)?;
        task.check(explainer, &question)?;
        let answer = answered(task, explainer, question, shows)?;
        let page = Page { is_wanted: job.has_page(), blanks: &blanks };
        let request = explainer.request();
        let mut explanations =
            task.explain(&request, &answer, page, &progress::InTerminal::default())?;
        compare::add(explainer, other, &answer, &mut explanations)?;
        let write = || explainer.write(folder, &answer, &explanations, &presentation);
        let written = progress::step("drawing", write)?;
        let is_told = |note: &String| {
            let adapters = explainer.inspection().adapters();
            adapters.iter().any(|adapter| adapter.warning().as_ref() == Some(note))
        };
        for note in written.notes.iter().filter(|note| !is_told(note)) {
            output::warning(note);
        }
        let (done, place) = ((&answer, &explanations), (&sources[..], current));
        let archive = || job.archive.write(explainer, done, &presentation, place);
        let archived = progress::step("writing for the archive", archive)?;
        let are_figures_missing =
            presentation.figures.iter().any(|kind| *kind != FigureKind::Words);
        if explanations.targets.is_empty() && are_figures_missing {
            output::note(
                "figures other than words are drawn for targets; add one, for instance with --keyword",
            );
        }
        Ok(Done { answer, explanations, presentation, written, archived })
    }
}

impl Done {
    /// What was found and where it lies; with `shows_maps` the targets in the terminal, too.
    fn print(&self, shows_maps: bool) -> anyhow::Result<()> {
        let Self { answer, explanations, presentation, written, archived } = self;
        output::blank_line();
        print_targets(answer, explanations, presentation.shows_template);
        print_slices(answer, explanations);
        methods::print(explanations);
        sinks::print(answer, explanations);
        versus::print(explanations);
        reliance::print(explanations);
        certificate::print(explanations);
        compare::print(explanations);
        print_places(self);
        if shows_maps {
            for target in shown(explanations) {
                shades::show(answer, target, presentation)?;
            }
        }
        output::blank_line();
        written.files().for_each(|file| output::line(file.display()));
        for file in archived {
            output::line(file.display());
        }
        Ok(())
    }
}

/// Some of what was asked for is not in the answer, and `--strict` was given.
#[derive(Debug, thiserror::Error)]
#[error(
    "--strict: {missing} of the targets and phrases are not in the answer; everything else was written"
)]
pub(crate) struct Incomplete {
    missing: usize,
}

/// The files that the work is about, which must stay as they are.
fn inputs(job: &Job, question: &Question, presentation: &Presentation) -> Vec<PathBuf> {
    let shown = question.pictures.iter().map(|picture| PathBuf::from(picture.name()));
    let named = job
        .task
        .conversation
        .files()
        .into_iter()
        .chain(job.task.reliance.file())
        .map(Path::to_owned);
    shown.chain(named).chain(presentation.files()).collect()
}

/// The answer, shown as it is made unless JSON alone was asked for.
fn answered(
    task: &Task,
    explainer: &Explainer,
    question: Question,
    shows: bool,
) -> anyhow::Result<Answer> {
    match &task.answer {
        Answering::Generated(generation) => {
            let options = generation.options(explainer, task.how.records());
            answer::stream(explainer, question, &options, shows)
        }
        Answering::Given(text) => {
            let answer =
                progress::step("looking at the picture", || explainer.given(question, text))?;
            if shows {
                output::text(answer.text());
                output::blank_line();
            }
            Ok(answer)
        }
    }
}

/// What lies where: the tables of regions, and the model's own boxes.
fn print_places(Done { answer, explanations, presentation, written, .. }: &Done) {
    let text = |target: usize| explanations.targets[target].label();
    for table in &written.regions {
        let image = match answer.question().pictures.get(1) {
            None => String::new(),
            Some(_) => format!(", image {}", table.image),
        };
        output::blank_line();
        output::line(format_args!("{}{image}:", shorten(&text(table.target), 60)));
        output::text(&region_table(&table.scores));
    }
    if !written.regions.is_empty() {
        output::line(
            "(share: of the relevancy in the picture, without text; density: 1 for an even map)",
        );
    }
    let regions = presentation.regions.as_ref().filter(|_| !written.regions.is_empty());
    if let Some(note) = regions.and_then(|regions| regions.note(presentation.overlay.orientation)) {
        output::line(format_args!("({note})"));
    }
    for agreement in &written.boxes {
        let (share, iou) = (agreement.localization.share, agreement.localization.iou);
        output::blank_line();
        output::line(format_args!(
            "{}: {:.1} % of the relevancy in the picture is within the model's box {:?}, IoU {iou:.2} with the hottest tenth",
            shorten(&text(agreement.target), 60),
            100.0 * share.unwrap_or(0.0),
            agreement.label,
        ));
    }
}

/// The targets; the words of the answer where nothing was asked for.
pub(crate) fn shown(explanations: &Explanations) -> &[TargetExplanation] {
    let Explanations { targets, words, versus, .. } = explanations;
    if targets.is_empty() && versus.is_empty() { words } else { targets }
}

/// One line for each explained word: the number that its files have, what it is and where its relevancy lies.
pub(crate) fn print_targets(answer: &Answer, explanations: &Explanations, shows_template: bool) {
    if shown(explanations).is_empty() {
        return;
    }
    row(["#", "explained", "positions", "prob.", "in pictures", "most relevant text"]);
    for (number, target) in shown(explanations).iter().enumerate() {
        let (text, positions) = (shorten(&target.label(), 24), interval(&target.positions()));
        let share = target.relevancy().shares();
        let (share, text_tokens) = match share {
            Some(_) if answer.prepared().images.is_empty() => {
                ("–".to_owned(), top_text(answer, target, shows_template))
            }
            Some(shares) => (percent(shares.image()), top_text(answer, target, shows_template)),
            None => ("–".to_owned(), NOTHING_SPEAKS.to_owned()),
        };
        let probability = target.probability_text();
        row([&number.to_string(), &text, &positions, &probability, &share, &text_tokens]);
    }
    let shares = shown(explanations).iter().filter_map(|target| target.template_share(answer));
    let bounds = shares.fold(None, |bounds: Option<(f32, f32)>, share| {
        let (low, high) = bounds.unwrap_or((share, share));
        Some((low.min(share), high.max(share)))
    });
    if let (Some((low, high)), false) = (bounds, shows_template) {
        let shares = match (percent(low), percent(high)) {
            (low, high) if low == high => low,
            (low, high) => format!("{} to {high}", low.trim_end_matches(" %")),
        };
        output::line(format_args!("(not listed: <bos> and the chat template, {shares} of each)"));
    }
}

/// For each target the slices with the largest share, where pictures are slices.
fn print_slices(answer: &Answer, explanations: &Explanations) {
    const MOST: usize = 5;
    let pictures = &answer.question().pictures;
    let number = |picture: usize| Some(pictures[picture].provenance().slice?.number);
    for target in shown(explanations) {
        let images = answer.prepared().images.iter().enumerate();
        let mut slices: Vec<(u32, f32)> = images
            .filter_map(|(index, image)| {
                Some((number(image.picture)?, target.image_relevancy(index)?.sum()))
            })
            .collect();
        let all: f32 = slices.iter().map(|slice| slice.1).sum();
        if slices.len() < 2 || all <= 0.0 {
            continue;
        }
        slices.sort_by(|a, b| b.1.total_cmp(&a.1));
        let shares = slices.iter().take(MOST);
        let shares: Vec<String> =
            shares.map(|(number, sum)| format!("{number}: {}", percent(sum / all))).collect();
        let text = shorten(&target.label(), 24);
        output::line(format_args!("{text:<24} by slice, the largest: {}", shares.join(", ")));
    }
}

/// A part of all relevancy.
fn percent(part: f32) -> String {
    // Rounding may leave a sum a little below zero.
    format!("{:.1} %", 100.0 * part.max(0.0) + 0.0) // no −0
}

fn row([number, text, positions, probability, share, relevant]: [&str; 6]) {
    output::line(format_args!(
        "{number:>2} {text:<24} {positions:>11} {probability:>7} {share:>11}  {relevant}"
    ));
}

/// The first and the last position, counted as `--position` counts.
fn interval(positions: &Range<usize>) -> String {
    let (first, last) = (positions.start, positions.end - 1);
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

/// The three text tokens that contributed most, the self terms aside.
fn top_text(answer: &Answer, target: &TargetExplanation, shows_template: bool) -> String {
    let relevancy = target.relevancy().without_self();
    let by_template = answer.by_template();
    let counts = |token: &&Token| {
        token.kind != TokenKind::Image
            && 0.0 < relevancy[token.position]
            && (shows_template || !by_template[token.position])
    };
    let mut tokens: Vec<_> = answer.tokens().iter().filter(counts).collect();
    tokens.sort_by(|a, b| relevancy[b.position].total_cmp(&relevancy[a.position]));
    let quoted = |text: &str| {
        let trimmed = text.trim();
        format!("{:?}", if trimmed.is_empty() { text } else { trimmed })
    };
    tokens.iter().take(3).map(|token| quoted(&token.text)).collect::<Vec<_>>().join(" ")
}

/// At most `n` characters on one line.
pub(crate) fn shorten(text: &str, n: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= n { line } else { line.chars().take(n - 1).chain(['…']).collect() }
}
