//! Gradients of a step, computed by two threads that each have a graph of their own.
//!
//! Which example goes to which lane and in which order sums are made is fixed, so a run gives the same numbers each time.

use std::ops::Range;

use anyhow::{Result, anyhow};
use gemma3_tch::{Config, Gemma3, guard};
use tch::Tensor;

use crate::examples::Examples;
use crate::forward::{self, Choice, Tally};
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
    /// Vision tower, projector and adapter of a decoder that stays as it is.
    Hybrid,
}

impl Task {
    /// The parameters that learn, by name.
    pub fn learns(self, name: &str) -> bool {
        let sight = ["vision_tower.", "multi_modal_projector.", HEAD];
        match self {
            Self::Sight => sight.iter().any(|part| name.starts_with(part)),
            Self::Answers | Self::Dialogue | Self::Review | Self::Hybrid => !name.starts_with(HEAD),
        }
    }

    /// The task of the next stage.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Sight => Some(Self::Answers),
            Self::Answers => Some(Self::Dialogue),
            Self::Dialogue => Some(Self::Review),
            Self::Review | Self::Hybrid => None,
        }
    }

    /// What the stage is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sight => "sight",
            Self::Answers => "answers",
            Self::Dialogue => "dialogue",
            Self::Review => "review",
            Self::Hybrid => "hybrid",
        }
    }

    /// Reads the name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Sight, Self::Answers, Self::Dialogue, Self::Review, Self::Hybrid]
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
        in_lanes(
            of,
            || leaves(parameters, |name| self.task.learns(name)),
            |leaves, indices| {
                let model = Gemma3::from_tensors(self.config.clone(), &leaves)?;
                let learning: Vec<&Tensor> = leaves
                    .iter()
                    .filter(|(name, _)| self.task.learns(name))
                    .map(|(_, leaf)| leaf)
                    .collect();
                summed(&learning, indices, |index| match self.task {
                    Task::Sight => {
                        let seen = self.examples.seen(index)?;
                        let head = [&leaves["head.weight"], &leaves["head.bias"]];
                        Ok(guard("learning to see", || {
                            pulled(forward::sight(&model, head, &seen), &learning)
                        })?)
                    }
                    task @ (Task::Answers | Task::Dialogue | Task::Review | Task::Hybrid) => {
                        let asked = self.examples.asked(task, index)?;
                        Ok(guard("learning to answer", || {
                            let beginning = self.examples.beginning();
                            pulled(
                                forward::answers(&model, beginning, &asked, Choice::All),
                                &learning,
                            )
                        })?)
                    }
                })
            },
        )
    }
}

/// The same storage, as leaves of a new graph.
pub fn leaves(parameters: &Parameters, learns: impl Fn(&str) -> bool) -> Parameters {
    let leaf = |(name, tensor): (&String, &Tensor)| {
        (name.clone(), tensor.detach().set_requires_grad(learns(name)))
    };
    parameters.iter().map(leaf).collect()
}

/// The mean gradient over the terms of these examples: each lane computes sums over some of them, from what `leaves` gives it.
pub fn in_lanes<L: Send>(
    of: Range<u64>,
    leaves: impl Fn() -> L,
    lane: impl Fn(L, &mut dyn Iterator<Item = u64>) -> Result<(Vec<Tensor>, Tally)> + Sync,
) -> Result<(Vec<Tensor>, Tally)> {
    let lane = &lane;
    let lanes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..LANES)
            .map(|number| {
                let leaves = leaves();
                let mut indices = of.clone().filter(move |index| index % LANES == number);
                scope.spawn(move || lane(leaves, &mut indices))
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

/// Gradients at these leaves and what was right, summed over examples.
pub fn summed(
    leaves: &[&Tensor],
    indices: &mut dyn Iterator<Item = u64>,
    example: impl Fn(u64) -> Result<(Vec<Tensor>, Tally)>,
) -> Result<(Vec<Tensor>, Tally)> {
    let mut sums: Vec<Tensor> = leaves.iter().map(|leaf| leaf.zeros_like()).collect();
    let mut all = Tally::default();
    for index in indices {
        let (gradients, tally) = example(index)?;
        add(&mut sums, &gradients);
        all += tally;
    }
    Ok((sums, all))
}

/// The gradient of a loss at these leaves.
pub fn pulled((loss, tally): (Tensor, Tally), leaves: &[&Tensor]) -> (Vec<Tensor>, Tally) {
    (Tensor::run_backward(&[loss], leaves, false, false), tally)
}

fn add(sums: &mut [Tensor], terms: &[Tensor]) {
    let _no_grad = tch::no_grad_guard();
    for (sum, term) in sums.iter_mut().zip(terms) {
        let _ = sum.g_add_(term);
    }
}
