//! The model behind the server: pictures are read where requests arrive, everything else is done on the thread of the model.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use explanation_jobs::{Files, Options, Problem, ProblemKind, Target};
use explanation_server::{
    Answered, Asked, Content, Explained, Message, Model, ModelCard, Role, ShownPicture, Step, Watch,
};
use medgemma_explainer::medical::SourceHandle;
use medgemma_explainer::{
    Answer, Context, ExplainObserver, Explainer, Pending, PictureOptions, Request, Service, sha256,
};
use phantom_radiograph::{Distribution, Scene};
use serde_json::{Value, json};

use super::ServeArgs;
use crate::args::PictureArgs;
use crate::job::Task;
use crate::jobs::{
    Blanks, Desk, Material, Posing, Spool, Told, Wants, answer_text, message, of_kind, png,
    problem, task,
};
use crate::task::{Follower, Step as TaskStep};
use crate::{answer, progress};

/// What waits for the thread of the model at one time; the server's own queue hands over one after the other.
const WAITING: usize = 2;

/// Pixels of the synthetic pictures, each side.
const PHANTOM: u32 = 448;

/// A loaded model that a server asks.
#[derive(Debug)]
pub(super) struct Served {
    service: Service,
    card: ModelCard,
    defaults: PictureArgs,
    /// Of every call.
    context: Context,
    room: Room,
}

/// What is known of memory before anything runs.
#[derive(Clone, Debug)]
struct Room {
    budget: u64,
    /// The least budget for so many tokens, ascending.
    least: Vec<(usize, u64)>,
    image_tokens: usize,
    context: usize,
}

/// A question that was read.
#[derive(Debug)]
pub(super) struct Question {
    posing: Posing,
}

/// An answer with what it takes to explain it. Empty while it is with the model.
#[derive(Debug)]
pub(super) struct Kept {
    held: Option<Box<Held>>,
    bytes: u64,
}

#[derive(Debug)]
struct Held {
    answer: Answer,
    /// As a task has it.
    conversation: Value,
    pictures: PictureArgs,
    /// For each picture the file that results can be written back to.
    sources: Vec<Option<SourceHandle>>,
    current: usize,
    /// Holds those files.
    _spool: Material,
}

impl Served {
    /// Loads the model on a thread of its own.
    pub(super) fn load(args: &ServeArgs) -> Result<Self> {
        let options = answer::watched(args.work.options(&args.model, &args.pictures))?;
        let (source, threads) = (args.model.source(), args.model.threads);
        let load = move || {
            // Threads are counted for the one that computes.
            threads.map_or(Ok(()), medgemma_explainer::set_threads)?;
            let explainer = Explainer::load(&source, &options)?;
            answer::alone_if_small(&explainer, threads)?;
            Ok(explainer)
        };
        let start = || Service::start(load, WAITING);
        let service = progress::step("loading the model", start)?;
        let work = args.work.clone();
        let known = service.ask(Context::default(), move |request| {
            answer::warn_of_adapters(request);
            Ok((work.context(request), card(request)?, Room::of(request)?))
        });
        let (context, card, room) = known?.wait()?;
        Ok(Self { service, card, defaults: args.pictures.clone(), context, room })
    }

    /// Does work on the model's thread, which ends when the watcher says so.
    fn ask<T: Send + 'static>(
        &self,
        (watch, follower): (&Watch, &InBrowser),
        work: impl FnOnce(&Request<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let context = self
            .context
            .clone()
            .with_cancel(Some(watch.flag()))
            .with_progress(Some(follower.observer()));
        let pending = self.service.ask(context, move |request| Ok(work(request)));
        pending.and_then(Pending::wait).unwrap_or_else(|error| Err(problem(&error)))
    }
}

/// What the model is.
fn card(explainer: &Explainer) -> Result<ModelCard, medgemma_explainer::Error> {
    let inspection = explainer.inspection();
    let record = explainer.model_record(false)?;
    let tokens = inspection.vision_tower().map_or(0, |tower| tower.tokens);
    let side = tokens.isqrt();
    Ok(ModelCard {
        name: record.source,
        program: concat!("medgemma-explainer ", env!("CARGO_PKG_VERSION")).to_owned(),
        device: inspection.device(),
        dtype: inspection.dtype(),
        parameters: inspection.parameters().total,
        layers: inspection.language_model().layers,
        sees_pictures: inspection.vision_tower().is_some(),
        phantoms: inspection.vision_tower().is_some(),
        image_tokens: tokens,
        grid: [side, side],
        memory_budget_bytes: Some(explainer.request().memory_budget()),
        pixels: PictureOptions::default().max_pixels,
        weights_sha256: record.files.into_iter().filter_map(|file| file.sha256).collect(),
    })
}

impl Room {
    fn of(request: &Request<'_>) -> Result<Self, medgemma_explainer::Error> {
        let context = request.inspection().language_model().context;
        let counts = (0..).map(|power| 1_usize << power).take_while(|tokens| *tokens <= context);
        let least = counts.map(|tokens| Ok((tokens, request.least_budget(tokens)?)));
        Ok(Self {
            budget: request.memory_budget(),
            least: least.collect::<Result<_, medgemma_explainer::Error>>()?,
            image_tokens: request.inspection().vision_tower().map_or(0, |tower| tower.tokens),
            context,
        })
    }

    /// Refuses what cannot fit, whatever the tokenizer makes of the text; the rest is looked at closely when its turn comes.
    fn check(&self, pictures: usize) -> Result<(), Problem> {
        let tokens = pictures * self.image_tokens;
        if self.context < tokens {
            let message = format!(
                "{pictures} pictures are {tokens} tokens, and the model takes {} in all: send fewer, or choose slices",
                self.context
            );
            return Err(Problem::new(ProblemKind::Question, message));
        }
        let least = self.least.iter().rev().find(|(count, _)| *count <= tokens);
        match least {
            Some((_, bytes)) if self.budget < *bytes => {
                let message = format!(
                    "{pictures} pictures are {tokens} tokens; explaining takes at least {} MB beside the weights, and {} MB are allowed (--memory-budget)",
                    bytes.div_ceil(1_000_000),
                    self.budget / 1_000_000
                );
                Err(Problem::new(ProblemKind::Memory, message))
            }
            _ => Ok(()),
        }
    }
}

impl Model for Served {
    type Question = Question;
    type Kept = Kept;

    fn card(&self) -> ModelCard {
        self.card.clone()
    }

    fn check(&self, options: &Options, targets: &[Target]) -> Result<(), Problem> {
        let nothing = message(&[], "-", None);
        let task = task(options, targets, (&self.defaults, nothing))?;
        task.certificate.check().map_err(|error| of_kind(&error, ProblemKind::Option))
    }

    fn read(&self, asked: Asked, options: &Options) -> Result<Question, Problem> {
        let mut material = Material::default();
        let conversation = conversation(asked, options, &mut material)?;
        // Targets come with the explanation, and what needs one is checked then.
        let answered = Options { contrast: None, words: None, ..options.clone() };
        let task = task(&answered, &[], (&self.defaults, conversation))?;
        let posing = Posing::read(task, material)?;
        self.room.check(posing.posed.question.pictures.len())?;
        Ok(Question { posing })
    }

    fn pictures(&self, question: &Question) -> Result<Vec<ShownPicture>, Problem> {
        let pictures = &question.posing.posed.question.pictures;
        let shown = pictures.iter().map(|picture| ShownPicture {
            name: Some(picture.name().to_owned()),
            width: picture.rgb().width(),
            height: picture.rgb().height(),
            sha256: sha256(picture.rgb().as_raw()),
            png: png(picture.rgb()),
        });
        Ok(shown.collect())
    }

    fn answer(
        &self,
        question: Question,
        options: &Options,
        watch: &Watch,
    ) -> Result<Answered<Kept>, Problem> {
        watch.progress(Step::Looking, 0, None);
        let Posing { task, posed, material } = question.posing;
        let most = options.max_new_tokens.map(u64::from);
        let (listener, follower) = (watch.clone(), InBrowser::new(watch));
        let work = move |request: &Request<'_>| {
            let mut tokens = 0;
            let mut on_text = |text: &str| {
                tokens += 1;
                listener.token(text);
                listener.progress(Step::Answering, tokens, most);
                ControlFlow::Continue(())
            };
            let desk = Desk { request };
            let answer = desk.answer(&task, posed.question, &mut on_text)?;
            let conversation = serde_json::to_value(&task.conversation).unwrap_or(Value::Null);
            Ok((answer, conversation, task.pictures))
        };
        let (answer, conversation, pictures) = self.ask((watch, &follower), work)?;
        let (sources, current) = (posed.sources, posed.current);
        let text = answer_text(&answer);
        let bytes = answer.kept_bytes();
        let held = Held { answer, conversation, pictures, sources, current, _spool: material };
        Ok(Answered { text, kept: Kept { held: Some(Box::new(held)), bytes } })
    }

    fn explain(
        &self,
        kept: &mut Kept,
        targets: &[Target],
        options: &Options,
        watch: &Watch,
    ) -> Result<Explained, Problem> {
        let gone = || Problem::new(ProblemKind::Internal, "the answer was lost: ask again");
        let held = kept.held.take().ok_or_else(gone)?;
        let prepared = task(options, targets, (&held.pictures, held.conversation.clone()))
            .and_then(|task| Ok((Blanks::new(&task)?, task)));
        let (blanks, task) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => {
                kept.held = Some(held);
                return Err(problem);
            }
        };
        let follower = InBrowser::new(watch);
        let told = follower.clone();
        let work = move |request: &Request<'_>| {
            let made = files(request, (&held, &task, &blanks), &told);
            Ok((held, made))
        };
        // What is lost where the model's thread panics is the answer, and the server forgets it then.
        let (held, made) = self.ask((watch, &follower), work)?;
        kept.bytes = held.answer.kept_bytes();
        kept.held = Some(held);
        made
    }

    fn kept_bytes(&self, kept: &Kept) -> u64 {
        kept.bytes
    }
}

/// Explains, and makes all files of it.
fn files(
    request: &Request<'_>,
    (held, task, blanks): (&Held, &Task, &Blanks),
    follower: &InBrowser,
) -> Result<Explained, Problem> {
    let mut spool = Spool::new().map_err(|error| of_kind(&error, ProblemKind::File))?;
    let folder = spool.free_place();
    let archive = Some((&held.sources[..], held.current));
    let wants = Wants { page: true, folder: Some(&folder), archive, ..Wants::default() };
    let desk = Desk { request };
    let answer = (&held.answer, blanks);
    let Told { rows, run, page, .. } =
        desk.tell(task, answer, (wants, Instant::now()), follower)?;
    let files = read_all(&folder).map_err(|error| of_kind(&error, ProblemKind::File))?;
    let report = page.unwrap_or_default();
    Ok(Explained { rows, run, report, files })
}

/// The files of a folder but its page, which is given apart.
fn read_all(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(folder).context("cannot read the results")? {
        let entry = entry.context("cannot read the results")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && name != "report.html" && !name.starts_with('.') {
            files.insert(name, std::fs::read(entry.path()).context("cannot read the results")?);
        }
    }
    Ok(files)
}

/// What was asked, as a task has it.
fn conversation(
    asked: Asked,
    options: &Options,
    material: &mut Material,
) -> Result<Value, Problem> {
    let system = options.system.as_deref();
    match asked {
        Asked::Prompt { images, prompt } => {
            let take = |picture: &explanation_server::Picture| {
                material.take(&picture.data, picture.name.as_deref())
            };
            let paths = images.iter().map(take).collect::<Result<_, _>>()?;
            Ok(message(&material.together(paths)?, &prompt, system))
        }
        Asked::Phantom { seed, prompt } => {
            let scene = Scene::random(seed, &Distribution::default());
            let picture = image::DynamicImage::ImageLuma8(scene.render(PHANTOM).grey8());
            let name = format!("phantom {seed}.png");
            let path = material.take(&png(&picture.into_rgb8()), Some(&name))?;
            Ok(message(&[path], &prompt, system))
        }
        Asked::Messages(messages) => {
            if system.is_some() {
                let message =
                    "the option system is for a prompt; messages have a turn of the system's";
                return Err(Problem::new(ProblemKind::Option, message));
            }
            let turns = messages.iter().map(|message| turn(message, material));
            let turns = turns.collect::<Result<Vec<_>, _>>()?;
            Ok(json!({ "turns": { "turns": turns, "folder": "" } }))
        }
    }
}

fn turn(message: &Message, material: &mut Material) -> Result<Value, Problem> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let item = |content: &Content| match content {
        Content::Text(text) => Ok(json!({ "type": "text", "text": text })),
        Content::Image(picture) => {
            let path = material.take(&picture.data, picture.name.as_deref())?;
            Ok(json!({ "type": "image", "path": path }))
        }
    };
    let content = message.content.iter().map(item).collect::<Result<Vec<_>, Problem>>()?;
    Ok(json!({ "role": role, "content": content }))
}

/// Tells whoever looks at the page how far the work is.
#[derive(Clone, Debug)]
struct InBrowser {
    watch: Watch,
    step: Arc<Mutex<Step>>,
}

impl InBrowser {
    fn new(watch: &Watch) -> Self {
        Self { watch: watch.clone(), step: Arc::new(Mutex::new(Step::Answering)) }
    }

    /// Layers of the step that is being done.
    fn observer(&self) -> ExplainObserver {
        let told = self.clone();
        Arc::new(move |done, total| {
            let step = *told.step.lock().unwrap_or_else(PoisonError::into_inner);
            told.watch.progress(step, done, Some(total));
        })
    }
}

impl Follower for InBrowser {
    fn begins(&self, step: TaskStep) {
        let step = match step {
            TaskStep::Explaining => Step::Explaining,
            TaskStep::Reliance | TaskStep::BlankControl => Step::Reliance,
            TaskStep::Certificate => Step::Certificate,
            TaskStep::Drawing => Step::Drawing,
        };
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
        self.watch.progress(step, 0, None);
    }

    /// Costs stand beside the buttons of the page.
    fn note(&self, _: &str) {}
}
