//! The run: all stages, saved as they go, and the checkpoint at the end.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gemma3_tch::Config;

use crate::checkpoint::{State, export};
use crate::companions;
use crate::examples::{Examples, Landmark};
use crate::forward::Tally;
use crate::lanes::{Learner, Task};
use crate::optimizer;
use crate::parameters;
use crate::progress::{Progress, Stepwise};
use crate::recipe::{Recipe, Stage};

/// A run in a folder.
pub struct Run {
    recipe: Recipe,
    folder: PathBuf,
    config: Config,
    examples: Examples,
    /// Where it stands.
    pub state: State,
}

impl Run {
    /// Begins a run, or with `resume` goes on where the one in this folder stopped.
    pub fn open(recipe: &Recipe, folder: &Path, resume: bool) -> Result<Self> {
        companions::write(folder, &recipe.sizes)?;
        let config = companions::config(&recipe.sizes)?;
        let examples = Examples::new(recipe, folder)?;
        let path = state_file(folder);
        let state = if resume && path.exists() {
            State::load(&path, recipe)?
        } else {
            State::begin(Task::Sight, first_parameters(recipe, &config))
        };
        Ok(Self { recipe: recipe.clone(), folder: folder.to_owned(), config, examples, state })
    }

    /// Runs what is left of all stages, and writes the checkpoint.
    pub fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        self.stage(out)?;
        while let Some(next) = self.state.task.next() {
            self.begin(next);
            self.save()?;
            self.stage(out)?;
        }
        export(&self.folder, &self.state.parameters)
    }

    /// Goes over to a stage with what was learnt before.
    pub fn begin(&mut self, task: Task) {
        let parameters = std::mem::take(&mut self.state.parameters);
        self.state = State::begin(task, parameters);
    }

    /// Runs what is left of the stage that is under way.
    fn stage(&mut self, out: &mut dyn Write) -> Result<()> {
        let steps = self.plan().steps;
        Progress::new(out, self.state.task.name(), steps, self.state.step).finish(self)
    }

    fn plan(&self) -> &Stage {
        match self.state.task {
            Task::Sight => &self.recipe.sight,
            Task::Answers => &self.recipe.answers,
            Task::Dialogue => &self.recipe.dialogue,
            Task::Review | Task::Hybrid => &self.recipe.review,
        }
    }
}

impl Stepwise for Run {
    fn done(&self) -> usize {
        self.state.step
    }

    fn step(&mut self) -> Result<(Tally, f64)> {
        let stage = self.plan().clone();
        let first = (self.state.step * stage.pictures) as u64;
        let learner =
            Learner { task: self.state.task, config: &self.config, examples: &self.examples };
        let (gradients, tally) =
            learner.gradients(&self.state.parameters, first..first + stage.pictures as u64)?;
        let rate = optimizer::rate(&stage, self.state.step);
        let mut learning = self.state.learning();
        let norm = self.state.optimizer.step(&mut learning, &gradients, rate);
        self.state.step += 1;
        Ok((tally, norm))
    }

    fn save(&self) -> Result<()> {
        self.state.save(&state_file(&self.folder), &self.recipe)
    }
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join("training.safetensors")
}

fn first_parameters(recipe: &Recipe, config: &Config) -> parameters::Parameters {
    let mut all = parameters::initial(config, recipe.seed);
    let landmarks = Landmark::of(recipe.variant).len();
    all.extend(parameters::head(landmarks, config.text.hidden_size, recipe.seed));
    all
}
