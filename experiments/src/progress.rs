//! The steps of a stage: saved every now and then, and one line every few: how far, how good, how long still.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use crate::forward::Tally;

/// Steps that a line sums up.
const EVERY: usize = 5;

/// Steps between two saved states.
const SAVE_EVERY: usize = 25;

/// What goes on step by step, and from where it was saved.
pub trait Stepwise {
    /// Steps of the stage that are done.
    fn done(&self) -> usize;

    /// One step of the optimizer: the sums over its examples, and the norm of its gradient.
    ///
    /// # Errors
    /// What libtorch fails with.
    fn step(&mut self) -> Result<(Tally, f64)>;

    /// Keeps where the run stands.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn save(&self) -> Result<()>;
}

/// Reports the steps of a stage.
pub struct Progress<'a> {
    out: &'a mut dyn Write,
    name: &'static str,
    steps: usize,
    first: usize,
    /// What each step costs, beside the others.
    work: Vec<f64>,
    started: Instant,
    sum: Tally,
}

impl<'a> Progress<'a> {
    /// Of a stage with `steps` steps, of which `first` are done.
    pub fn new(out: &'a mut dyn Write, name: &'static str, steps: usize, first: usize) -> Self {
        let work = vec![1.0; steps];
        Self { out, name, steps, first, work, started: Instant::now(), sum: Tally::default() }
    }

    /// For steps that do not all cost the same.
    #[must_use]
    pub fn with_work(mut self, work: Vec<f64>) -> Self {
        self.work = work;
        self
    }

    /// Takes the steps that are left.
    ///
    /// # Errors
    /// Those of the steps, and a state that cannot be written.
    pub fn finish(mut self, run: &mut impl Stepwise) -> Result<()> {
        while run.done() < self.steps {
            let (tally, norm) = run.step()?;
            self.step(run.done(), tally, norm)?;
            if run.done().is_multiple_of(SAVE_EVERY) || run.done() == self.steps {
                run.save()?;
            }
        }
        Ok(())
    }

    /// Takes in a step and the norm of its gradient; `done` steps are done now.
    fn step(&mut self, done: usize, tally: Tally, norm: f64) -> Result<()> {
        self.sum += tally;
        if !done.is_multiple_of(EVERY) && done != self.steps {
            return Ok(());
        }
        let each = self.started.elapsed().as_secs_f64() / (done - self.first) as f64;
        let work = |steps: std::ops::Range<usize>| self.work[steps].iter().sum::<f64>();
        let share = work(done..self.steps) / work(self.first..done);
        let left = (self.started.elapsed().as_secs_f64() * share / 60.0).max(0.0) + 0.0;
        let Tally { loss, terms, right, decided } = std::mem::take(&mut self.sum);
        writeln!(
            self.out,
            "{} {done}/{}: loss {:.4}, right {:.2} %, gradient {norm:.2}, {each:.2} s a step, {left:.0} min left",
            self.name,
            self.steps,
            loss / terms,
            100.0 * right / decided.max(1.0),
        )?;
        Ok(self.out.flush()?)
    }
}
