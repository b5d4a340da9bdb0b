//! Gradients of a step, computed by two threads that each have a graph of their own.
//!
//! Which example goes to which lane and in which order sums are made is fixed, so a run gives the same numbers each time.

use std::ops::Range;

use anyhow::{Result, anyhow};
use gemma3_tch::{Config, Gemma3, guard};
use tch::Tensor;

use crate::examples::Examples;
use crate::forward::{self, Tally};
use crate::parameters::Parameters;

/// Threads that share the examples of a step.
const LANES: u64 = 2;

/// What is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The vision tower with a linear head.
    Sight,
    /// The whole model.
    Answers,
    /// The whole model, with more questions about each picture.
    Dialogue,
    /// The same again.
    Review,
}

impl Task {
    /// The parameters that learn, by name.
    pub fn learns(self, name: &str) -> bool {
        let sight = ["vision_tower.", "multi_modal_projector.", HEAD];
        match self {
            Self::Sight => sight.iter().any(|part| name.starts_with(part)),
            Self::Answers | Self::Dialogue | Self::Review => !name.starts_with(HEAD),
        }
    }

    /// The task of the next stage.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Sight => Some(Self::Answers),
            Self::Answers => Some(Self::Dialogue),
            Self::Dialogue => Some(Self::Review),
            Self::Review => None,
        }
    }

    /// What the stage is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sight => "sight",
            Self::Answers => "answers",
            Self::Dialogue => "dialogue",
            Self::Review => "review",
        }
    }

    /// Reads the name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Sight, Self::Answers, Self::Dialogue, Self::Review]
            .into_iter()
            .find(|task| task.name() == name)
    }
}

/// The names of the head's parameters begin so.
const HEAD: &str = "head.";

/// All that a lane reads.
pub struct Learner<'a> {
    /// What is learnt.
    pub task: Task,
    /// Of the model.
    pub config: &'a Config,
    /// Where examples come from.
    pub examples: &'a Examples,
}

impl Learner<'_> {
    /// The mean gradient over the terms of these examples, at every parameter that learns, in the order of their names.
    pub fn gradients(
        &self,
        parameters: &Parameters,
        of: Range<u64>,
    ) -> Result<(Vec<Tensor>, Tally)> {
        let lanes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..LANES)
                .map(|lane| {
                    let leaves = self.leaves(parameters);
                    let indices = of.clone().filter(move |index| index % LANES == lane);
                    scope.spawn(move || self.lane(leaves, indices))
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a lane failed"))?)
                .collect()
        });
        let mut sum: Option<(Vec<Tensor>, Tally)> = None;
        for lane in lanes {
            let (gradients, tally) = lane?;
            match &mut sum {
                None => sum = Some((gradients, tally)),
                Some((sums, all)) => {
                    add(sums, &gradients);
                    *all += tally;
                }
            }
        }
        let (mut gradients, tally) = sum.ok_or_else(|| anyhow!("a step without examples"))?;
        for gradient in &mut gradients {
            let _ = gradient.g_div_scalar_(tally.terms);
        }
        Ok((gradients, tally))
    }

    /// The same storage, as leaves of a new graph.
    fn leaves(&self, parameters: &Parameters) -> Parameters {
        let leaf = |(name, tensor): (&String, &Tensor)| {
            let leaf = tensor.detach().set_requires_grad(self.task.learns(name));
            (name.clone(), leaf)
        };
        parameters.iter().map(leaf).collect()
    }

    fn lane(
        &self,
        leaves: Parameters,
        indices: impl Iterator<Item = u64>,
    ) -> Result<(Vec<Tensor>, Tally)> {
        let model = Gemma3::from_tensors(self.config.clone(), &leaves)?;
        let learning: Vec<&Tensor> = leaves
            .iter()
            .filter(|(name, _)| self.task.learns(name))
            .map(|(_, leaf)| leaf)
            .collect();
        let mut sums: Vec<Tensor> = learning.iter().map(|leaf| leaf.zeros_like()).collect();
        let mut all = Tally::default();
        for index in indices {
            let (gradients, tally) = match self.task {
                Task::Sight => {
                    let seen = self.examples.seen(index)?;
                    let head = [&leaves["head.weight"], &leaves["head.bias"]];
                    guard("learning to see", || {
                        pulled(forward::sight(&model, head, &seen), &learning)
                    })?
                }
                task @ (Task::Answers | Task::Dialogue | Task::Review) => {
                    let asked = self.examples.asked(task, index)?;
                    guard("learning to answer", || {
                        let losses = forward::answers(&model, self.examples.prefix(), &asked);
                        pulled(losses, &learning)
                    })?
                }
            };
            add(&mut sums, &gradients);
            all += tally;
        }
        Ok((sums, all))
    }
}

fn pulled((loss, tally): (Tensor, Tally), leaves: &[&Tensor]) -> (Vec<Tensor>, Tally) {
    (Tensor::run_backward(&[loss], leaves, false, false), tally)
}

fn add(sums: &mut [Tensor], terms: &[Tensor]) {
    let _no_grad = tch::no_grad_guard();
    for (sum, term) in sums.iter_mut().zip(terms) {
        let _ = sum.g_add_(term);
    }
}
