//! Jobs done by a loaded model.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use explanation_jobs::{AnswerText, Outcome, Problem, ProblemKind, Row, Run};
use medgemma_explainer::medical::SourceHandle;
use medgemma_explainer::{
    Answer, Blank, Error, ErrorKind, Explained, Explanations, OutputFolder, OverlayOptions,
    Presentation, Question, Request,
};

use super::asked::of_kind;
use super::{Posing, rows};
use crate::archive::ArchiveArgs;
use crate::asked::check_sight;
use crate::job::{Answering, Task};
use crate::task::{Follower, Page, Step};

/// The longer side of a thumbnail, in pixels.
const THUMBNAIL: u32 = 80;

/// What is made of an explained answer beside its rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants<'a> {
    /// The page, as text.
    pub(crate) page: bool,
    /// A small picture for each row.
    pub(crate) thumbnails: bool,
    /// All that `explain` writes, into this folder.
    pub(crate) folder: Option<&'a Path>,
    /// Where the pictures came from: objects of DICOM for those that were DICOM are put into the folder, too.
    pub(crate) archive: Option<(&'a [Option<SourceHandle>], usize)>,
}

/// What came of a job.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// The page, where it was wanted.
    pub(crate) page: Option<String>,
    /// For each row a small PNG; `None` for rows without a map.
    pub(crate) thumbnails: Vec<Option<Vec<u8>>>,
}

/// An answer that is explained.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) answer: AnswerText,
    pub(crate) rows: Vec<Row>,
    pub(crate) run: Run,
    pub(crate) page: Option<String>,
    pub(crate) thumbnails: Vec<Option<Vec<u8>>>,
}

/// A model at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) request: &'a Request<'a>,
}

impl Desk<'_> {
    /// Does a job from question to rows. What goes wrong is in the outcome.
    pub(crate) fn finish(
        self,
        id: &str,
        posing: Result<Posing, Problem>,
        wants: Wants<'_>,
        follower: &dyn Follower,
    ) -> Ended {
        let started = Instant::now();
        let ended = |outcome, page, thumbnails| Ended { outcome, page, thumbnails };
        let told = posing.and_then(|Posing { task, posed, .. }| {
            let blanks = Blanks::new(&task)?;
            let answer = self.answer(&task, posed.question, &mut |_| ControlFlow::Continue(()))?;
            self.tell(&task, (&answer, &blanks), (wants, started), follower)
        });
        match told {
            Ok(Told { answer, rows, run, page, thumbnails }) => {
                let (id, answer, run) = (id.to_owned(), Some(answer), Some(run));
                let outcome = Outcome { id, answer, rows, run, problem: None };
                ended(outcome, page, thumbnails)
            }
            Err(problem) => ended(Outcome::failed(id, problem), None, Vec::new()),
        }
    }

    /// The answer to a task.
    pub(crate) fn answer(
        self,
        task: &Task,
        question: Question,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, Problem> {
        let question_error = |error: anyhow::Error| of_kind(&error, ProblemKind::Question);
        check_sight(self.request, &task.conversation, &question).map_err(question_error)?;
        task.check(self.request, &question).map_err(question_error)?;
        let answer = match &task.answer {
            Answering::Generated(generation) => {
                let options = generation.options(self.request, task.how.records());
                self.request.answer(question, &options, on_text)
            }
            Answering::Given(text) => self.request.given(question, text),
        };
        let answer = answer.map_err(|error| problem(&error))?;
        if self.request.is_cancelled() {
            return Err(Problem::new(ProblemKind::Cancelled, "it was cancelled"));
        }
        Ok(answer)
    }

    /// Explains an answer and makes what is wanted of it.
    pub(crate) fn tell(
        self,
        task: &Task,
        (answer, blanks): (&Answer, &Blanks),
        (wants, started): (Wants<'_>, Instant),
        follower: &dyn Follower,
    ) -> Result<Told, Problem> {
        let internal = |error: anyhow::Error| of_kind(&error, ProblemKind::Internal);
        let has_page = wants.page || wants.folder.is_some();
        let page = Page { is_wanted: has_page, blanks: &blanks.0 };
        let explanations = task.explain(self.request, answer, page, follower).map_err(internal)?;
        if has_page {
            follower.begins(Step::Drawing);
        }
        let presentation = task.shown.presentation().with_report(has_page);
        let option = |error: Error| of_kind(&error.into(), ProblemKind::Option);
        let explained = self.request.explained(answer, &explanations, &presentation);
        let explained = explained.map_err(option)?;
        let rows = rows::rows(&explained);
        let page = wants.page.then(|| explained.report().map_err(|error| option(error.into())));
        let page = page.transpose()?;
        let thumbnails = if wants.thumbnails {
            thumbnails(&explained, &rows, &presentation.overlay).map_err(option)?
        } else {
            Vec::new()
        };
        if let Some(folder) = wants.folder {
            let done = (answer, &explanations);
            let written = self.write(folder, done, &presentation, wants.archive);
            written.map_err(|error| of_kind(&error, ProblemKind::File))?;
        }
        let run = rows::run(&explained, started.elapsed().as_secs_f64());
        Ok(Told { answer: rows::answer_text(answer), rows, run, page, thumbnails })
    }

    fn write(
        self,
        path: &Path,
        (answer, explanations): (&Answer, &Explanations),
        presentation: &Presentation,
        archive: Option<(&[Option<SourceHandle>], usize)>,
    ) -> anyhow::Result<()> {
        let folder = OutputFolder::create(path, &[])?;
        self.request.write(folder, answer, explanations, presentation)?;
        if let Some(place) = archive {
            let objects = ArchiveArgs::objects(path, place.0);
            objects.write(self.request, (answer, explanations), presentation, place)?;
        }
        Ok(())
    }
}

/// What stands in the place of the pictures where reliance is asked for.
#[derive(Debug)]
pub(crate) struct Blanks(Vec<Blank>);

impl Blanks {
    pub(crate) fn new(task: &Task) -> Result<Self, Problem> {
        let blanks = task.reliance.blanks(&task.pictures.reader());
        blanks.map(Self).map_err(|error| of_kind(&error, ProblemKind::Option))
    }
}

fn thumbnails(
    explained: &Explained<'_>,
    rows: &[Row],
    options: &OverlayOptions,
) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let of = |(row, target): (&Row, &medgemma_explainer::TargetExplanation)| {
        let Some(image) = rows::main_image(row) else { return Ok(None) };
        let picture = target.thumbnail(explained, image, THUMBNAIL, options)?;
        Ok(Some(png(&picture)))
    };
    let explanation = |row: &Row| {
        let phrases = explained.targets.len()..explained.targets.len() + explained.versus.len();
        match row.index {
            index if index < phrases.start => Some(&explained.targets[index]),
            index if phrases.contains(&index) => None,
            index => explained.words.get(index - phrases.end),
        }
    };
    let all = rows.iter().map(|row| match explanation(row) {
        Some(target) => of((row, &target.explanation)),
        None => Ok(None),
    });
    all.collect()
}

/// A picture as the bytes of a PNG file.
pub(crate) fn png(picture: &image::RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let written = picture.write_to(&mut bytes, image::ImageFormat::Png);
    debug_assert!(written.is_ok(), "a picture of 8 bits fits a PNG, and memory takes it");
    bytes.into_inner()
}

/// An error of the library as a problem.
pub(crate) fn problem(error: &Error) -> Problem {
    Problem::new(of_library(error.kind()), error.to_string())
}

/// The kind of the library's error that is the cause of another, if one is.
pub(crate) fn kind_of(error: &anyhow::Error) -> Option<ProblemKind> {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<Error>())?;
    Some(of_library(cause.kind()))
}

fn of_library(kind: ErrorKind) -> ProblemKind {
    match kind {
        ErrorKind::Cancelled => ProblemKind::Cancelled,
        ErrorKind::Busy => ProblemKind::Busy,
        ErrorKind::OutOfMemory | ErrorKind::Budget => ProblemKind::Memory,
        ErrorKind::Checkpoint
        | ErrorKind::Hub
        | ErrorKind::GgufFile
        | ErrorKind::Device
        | ErrorKind::NotFinite => ProblemKind::Model,
        ErrorKind::Question => ProblemKind::Question,
        ErrorKind::Picture => ProblemKind::Picture,
        ErrorKind::NotInAnswer => ProblemKind::NotInAnswer,
        ErrorKind::Target => ProblemKind::Target,
        ErrorKind::Argument => ProblemKind::Option,
        ErrorKind::Io | ErrorKind::Output | ErrorKind::Record => ProblemKind::File,
        _ => ProblemKind::Internal,
    }
}
