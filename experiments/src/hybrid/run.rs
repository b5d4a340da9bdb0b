//! The training of the hybrid, saved as it goes.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gemma3_processor::{Processor, ProcessorOptions};
use gemma3_tch::guard;
use quantised_weights::Gguf;
use tch::{Kind, Tensor};

use super::decoder::{Decoder, first_parameters};
use super::examples::Examples;
use super::{decoder, export, spelling};
use crate::checkpoint::{self, State};
use crate::forward::{self, Choice, Tally};
use crate::lanes::{Task, in_lanes, leaves, pulled, summed};
use crate::optimizer;
use crate::parameters::Parameters;
use crate::progress::{Progress, Stepwise};
use crate::recipe::{Stage, Variant};

/// The file that a run goes on from.
const STATE: &str = "training.safetensors";
/// Tokens of the questions about a picture and of their answers, about.
const TEXT: usize = 200;
/// Pictures are as large as the vision tower takes them.
pub const SIZE: u32 = 224;

/// All that decides a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Decides everything that is random.
    pub seed: u64,
    /// Which lesson.
    pub variant: Variant,
    /// Rank of the adapter.
    pub rank: usize,
    /// What the adapter's change is multiplied by, α over the rank.
    pub scale: f64,
    /// Phantoms that the projector is fitted to before the first step.
    pub spelled: u64,
    /// The steps.
    pub stage: Stage,
    /// What is different in the first steps, in order. All that follow are about whole pictures, and all parameters learn.
    pub lessons: Vec<Lesson>,
}

/// Steps that are easier. A decoder that never saw a picture does not begin to look among 256 tokens of which three show something; among
/// 24 it begins after 30 steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// So many steps.
    pub steps: usize,
    /// Image tokens that are shown of each picture: some of every finding, and others.
    pub cells: usize,
    /// Whether tower and projector stay as they are.
    pub only_adapter: bool,
}

impl Recipe {
    /// The run that made the hybrid of the project.
    pub fn full(variant: Variant) -> Self {
        let stage = Stage { steps: 750, pictures: 8, rate: 8e-4, warm_up: 30, questions: 7 };
        let lessons = vec![
            Lesson { steps: 150, cells: 24, only_adapter: true },
            Lesson { steps: 150, cells: 72, only_adapter: false },
        ];
        Self { seed: 1, variant, rank: 16, scale: 2.0, spelled: 300, stage, lessons }
    }

    /// The same behind another vision tower, whose projector is fitted first.
    #[must_use]
    pub fn behind_new_tower(self) -> Self {
        Self { spelled: Self::full(self.variant).spelled, ..self }
    }

    /// A run that begins with what another one learnt: it needs no lessons.
    pub fn further(variant: Variant) -> Self {
        let full = Self::full(variant);
        let stage = Stage { steps: 300, rate: 5e-4, ..full.stage };
        Self { seed: 2, spelled: 0, stage, lessons: Vec::new(), ..full }
    }

    /// The lesson that a step belongs to, if it is one of the first.
    pub fn lesson(&self, step: usize) -> Option<&Lesson> {
        let mut end = 0;
        self.lessons.iter().find(|lesson| {
            end += lesson.steps;
            step < end
        })
    }

    /// What a step costs beside others: tokens of a picture and of the questions about it.
    fn work(&self, step: usize, image_tokens: usize) -> f64 {
        let cells = self.lesson(step).map_or(image_tokens, |lesson| lesson.cells);
        (cells + TEXT) as f64
    }

    /// The same run with so many steps.
    #[must_use]
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.stage.steps = steps;
        self.stage.warm_up = self.stage.warm_up.min(steps / 5 + 1);
        for lesson in &mut self.lessons {
            lesson.steps = lesson.steps.min(steps / 3);
        }
        self
    }
}

/// Files that a run begins from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The GGUF file of the language model.
    pub decoder: PathBuf,
    /// The checkpoint whose vision tower is taken.
    pub tower: PathBuf,
    /// The folder of a trained hybrid, if all begins with what that learnt.
    pub learnt: Option<PathBuf>,
    /// Whether that hybrid gets the vision tower of `tower` in the place of its own: of what it learnt the adapter stays, and the projector
    /// is fitted so that it tells the decoder the same of each cell.
    pub new_tower: bool,
}

/// A run in a folder.
pub struct Run {
    recipe: Recipe,
    folder: PathBuf,
    decoder: Decoder,
    examples: Examples,
    /// Where it stands.
    pub state: State,
}

impl Run {
    /// Begins a run, or with `resume` goes on where the one in this folder stopped.
    ///
    /// # Errors
    /// Files that are not what they should be.
    pub fn open(recipe: &Recipe, sources: &Sources, folder: &Path, resume: bool) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
        let tower = checkpoint::config(&sources.tower)?;
        let vision = tower.vision.as_ref().context("the tower's checkpoint sees no pictures")?;
        let decoder =
            Decoder::open(&sources.decoder, vision, tower.mm_tokens_per_image, Kind::BFloat16)?;
        let path = folder.join(STATE);
        let saved = (resume && path.exists()).then(|| State::load(&path, recipe)).transpose()?;
        let is_new = saved.is_none();
        let learnt = sources.learnt.as_ref().filter(|_| is_new);
        let learnt = learnt
            .map(|hybrid| Ok::<_, anyhow::Error>(export::read(&sources.decoder, hybrid, None)?.1));
        let learnt = learnt.transpose()?;
        let first = || match &learnt {
            Some(learnt) if sources.new_tower => {
                let mut first = first_parameters(&sources.tower, &decoder.config, recipe)?;
                let adapter = learnt.iter().filter(|(name, _)| name.starts_with(decoder::ADAPTER));
                first.extend(adapter.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
                Ok(first)
            }
            Some(learnt) => Ok(copies(learnt)),
            None => first_parameters(&sources.tower, &decoder.config, recipe),
        };
        let mut state = saved
            .map_or_else(|| Ok(State::begin(Task::Hybrid, first()?)), Ok::<_, anyhow::Error>)?;
        // The processor reads them.
        export::write(folder, &decoder.config, &state.parameters, recipe)?;
        let processor = processor(&sources.decoder, folder)?;
        let vocabulary = decoder.config.text.vocab_size;
        let examples = Examples::new(processor, vocabulary, recipe.seed, recipe.variant, SIZE)?;
        let fitted = match (&learnt, is_new) {
            (None, true) => {
                Some(spelling::projector(&decoder, &state.parameters, &examples, recipe.spelled)?)
            }
            (Some(learnt), true) if sources.new_tower => {
                let first = (&state.parameters, learnt);
                Some(spelling::retold(&decoder, first, &examples, recipe.spelled)?)
            }
            _ => None,
        };
        if let Some(fitted) = fitted {
            state.parameters.insert(decoder::PROJECTOR.to_owned(), fitted);
            export::write(folder, &decoder.config, &state.parameters, recipe)?;
        }
        Ok(Self { recipe: recipe.clone(), folder: folder.to_owned(), decoder, examples, state })
    }

    /// Runs what is left, and writes what was learnt.
    ///
    /// # Errors
    /// Those of a step, and files that cannot be written.
    pub fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        let steps = self.recipe.stage.steps;
        let tokens = self.decoder.config.mm_tokens_per_image;
        let work = (0..steps).map(|step| self.recipe.work(step, tokens)).collect();
        let name = Task::Hybrid.name();
        Progress::new(out, name, steps, self.state.step).with_work(work).finish(self)?;
        export::write(&self.folder, &self.decoder.config, &self.state.parameters, &self.recipe)
    }
}

fn copies(parameters: &Parameters) -> Parameters {
    parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

impl Stepwise for Run {
    fn done(&self) -> usize {
        self.state.step
    }

    fn save(&self) -> Result<()> {
        self.state.save(&self.folder.join(STATE), &self.recipe)
    }

    fn step(&mut self) -> Result<(Tally, f64)> {
        let stage = &self.recipe.stage;
        let first = (self.state.step * stage.pictures) as u64;
        let (examples, scale) = (&self.examples, self.recipe.scale);
        let lesson = self.recipe.lesson(self.state.step);
        let cells = lesson.map(|lesson| lesson.cells);
        let only_adapter = lesson.is_some_and(|lesson| lesson.only_adapter);
        let learns = |name: &str| !only_adapter || name.starts_with(decoder::ADAPTER);
        let (gradients, tally) = in_lanes(
            first..first + stage.pictures as u64,
            || (self.decoder.lent(), leaves(&self.state.parameters, learns)),
            |(decoder, leaves), indices| {
                let model = decoder.model(&leaves, scale)?;
                let learning: Vec<&Tensor> =
                    leaves.iter().filter(|(name, _)| learns(name)).map(|(_, leaf)| leaf).collect();
                summed(&learning, indices, |index| {
                    let (case, example) = examples.example(index, cells)?;
                    let beginning = examples.beginning(&case);
                    Ok(guard("learning to answer", || {
                        let choice = Choice::Among(&example.choice);
                        let losses =
                            forward::packed_answers(&model, beginning, &example.asked, choice);
                        pulled(losses, &learning)
                    })?)
                })
            },
        )?;
        let rate = optimizer::rate(stage, self.state.step);
        // What does not learn yet has no gradient.
        let mut found = gradients.into_iter().peekable();
        let all = self.state.parameters.iter().map(|(name, parameter)| {
            found.next_if(|_| learns(name)).unwrap_or_else(|| parameter.zeros_like())
        });
        let gradients: Vec<Tensor> = all.collect();
        let mut learning = self.state.learning();
        let norm = self.state.optimizer.step(&mut learning, &gradients, rate);
        self.state.step += 1;
        Ok((tally, norm))
    }
}

/// Prompts and pictures as the finished model has them.
fn processor(decoder: &Path, folder: &Path) -> Result<Processor> {
    let read = |path: &Path| -> Result<Gguf> { Ok(Gguf::read(path, std::fs::File::open(path)?)?) };
    let options =
        ProcessorOptions::default().with_chat_template(Some(folder.join(export::TEMPLATE)));
    let (model, tower) = (read(decoder)?, read(&folder.join(export::TOWER))?);
    Ok(Processor::from_gguf(&model, Some(&tower), options)?)
}
