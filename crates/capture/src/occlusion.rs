//! Occlusion: the true drop of a goal's scalar when one cell of a picture is taken away, by a forward pass for each cell.
//!
//! What stands before the first token that changes is run once, and its keys and values are kept ([`Cached`]). A pass continues from there
//! ([`Cached::ahead`]) and ends at the last row that predicts a target. All goals are read off the same passes.

use crate::forced::Hiding;
use crate::gemma::Joined;
use crate::goal::{LOGIT_ROWS, by_target, check_foils, check_targets, foils, index};
use crate::seam::{Attend, AttentionLayer, Cached, Layer, Sequence, guard};
use crate::{Error, Foil, Goal, LanguageModel, Objective, SweepOptions, convert};
use attention_relevancy::ndarray::Array1;
use attention_relevancy::{Foils, MethodRow, Occlusion, Target, Unavailable};
use std::collections::BTreeSet;
use std::ops::Range;
use tch::{Kind, Tensor};

/// Takes cells of the pictures of a sequence away, one after the other.
#[derive(Clone, Debug)]
pub struct Occluder<'a, M: LanguageModel = Joined> {
    pub(crate) model: &'a M,
    pub(crate) sequence: &'a Sequence,
    pub(crate) options: SweepOptions,
}

impl<'a, M: LanguageModel> Occluder<'a, M> {
    /// For prompt and answer given whole. `options` bound what is held beside model and sequence; cancelling ends the work between cells.
    pub fn new(model: &'a M, sequence: &'a Sequence, options: SweepOptions) -> Self {
        Self { model, sequence, options }
    }

    /// For each goal `z − z_j` at every cell j of the pictures that end before its last predicting row does, `[S]`, zero elsewhere. z is the
    /// objective of the goal in its unit (nats for a log-probability), the mean over its targets; `z_j` is that of a run without the cell.
    /// Above zero stands what the answer loses without it. A runner-up stays that of the undisturbed run. `progress` hears how many
    /// cells are done, and of how many.
    ///
    /// Without a picture a row is [`Unavailable::NoImage`]. Both numbers of a difference come from passes of the same shape; in bfloat16 a
    /// drop below the rounding of the scalar is noise all the same.
    ///
    /// # Errors
    /// [`Error::Target`] and [`Error::Foil`] for goals that do not belong to sequence and model, [`Error::Budget`] where keys, values and one
    /// pass do not fit, [`Error::Logit`] for a number that is not finite, [`Error::Cancelled`].
    pub fn rows(
        &self,
        goals: &[Goal],
        objective: Objective,
        occlusion: Occlusion,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<MethodRow>, Error> {
        let ids = self.sequence.ids();
        goals.iter().try_for_each(|goal| check_targets(goal.targets(), ids, ids.len()))?;
        check_foils(objective, goals, self.model.vocabulary())?;
        let legs = self.legs(goals, occlusion);
        self.check_budget(&legs)?;
        let row = |goal: &Goal| match self.pictures_before(goal) {
            0 => Err(Unavailable::NoImage),
            _ => Ok(Array1::zeros(ids.len())),
        };
        let mut rows: Vec<MethodRow> = goals.iter().map(row).collect();
        let total = legs.iter().map(|leg| leg.cells.len()).sum();
        let mut done = 0;
        let _no_grad = tch::no_grad_guard();
        let embeddings = guard("embedding the sequence", || self.model.embed(self.sequence))?;
        let (mut prefix, mut kept) = (Cached::default(), 0);
        for leg in &legs {
            if kept < leg.from {
                let x = part(&embeddings, &(kept..leg.from));
                guard("running the language model", || drop(self.run(&x, kept, &mut prefix)))?;
                kept = leg.from;
            }
            let of_leg: Vec<&Goal> = leg.goals.iter().map(|&goal| &goals[goal]).collect();
            let mut scalars = Scalars::new(self.model, &of_leg, objective, leg.from);
            let x = part(&embeddings, &(leg.from..leg.end));
            let pass = |x: &Tensor, hidden: &[Range<usize>]| {
                let mut attend = Hiding { inner: prefix.ahead(), spans: hidden };
                let run = || self.run(x, leg.from, &mut attend);
                guard("running the language model", run).map_err(Error::from)
            };
            let whole =
                if scalars.is_empty() { Vec::new() } else { scalars.start(&pass(&x, &[])?)? };
            for &cell in &leg.cells {
                if self.options.cancelled() {
                    return Err(Error::Cancelled);
                }
                // A row that stands before all that changes keeps its scalar.
                if !scalars.is_empty() {
                    let output = match occlusion {
                        Occlusion::MeanEmbedding => {
                            pass(&self.with_means(&x, leg.from, &[cell]), &[])?
                        }
                        Occlusion::Knockout => pass(&x, &[cell..cell + 1])?,
                    };
                    let without = scalars.values(&output)?;
                    for ((&goal, whole), without) in leg.goals.iter().zip(&whole).zip(without) {
                        if let Ok(row) = &mut rows[goal] {
                            row[cell] = (whole - without) as f32;
                        }
                    }
                }
                done += 1;
                progress(done, total);
            }
        }
        Ok(rows)
    }

    /// How many pictures a goal looks back at.
    fn pictures_before(&self, goal: &Goal) -> usize {
        self.sequence.images().iter().take_while(|image| image.end <= goal.end()).count()
    }

    /// Where passes begin, first to last.
    fn legs(&self, goals: &[Goal], occlusion: Occlusion) -> Vec<Leg> {
        let images = self.sequence.images();
        let before: Vec<usize> = goals.iter().map(|goal| self.pictures_before(goal)).collect();
        let leg = |from: usize, cells: &[Range<usize>], sees: &dyn Fn(usize) -> bool| {
            let of_leg: Vec<usize> = (0..goals.len()).filter(|&goal| sees(before[goal])).collect();
            let end = of_leg.iter().map(|&goal| goals[goal].end()).max().unwrap_or(from);
            Leg { from, end, cells: cells.iter().cloned().flatten().collect(), goals: of_leg }
        };
        match occlusion {
            Occlusion::MeanEmbedding => {
                let most = before.iter().copied().max().unwrap_or(0);
                let of_image = |image: usize| {
                    leg(images[image].start, &images[image..=image], &|before| image < before)
                };
                (0..most).map(of_image).collect()
            }
            Occlusion::Knockout => {
                let counts: BTreeSet<usize> = before.iter().copied().filter(|&n| 0 < n).collect();
                let of_count = |count: usize| {
                    leg(images[count - 1].end, &images[..count], &|before| before == count)
                };
                counts.into_iter().map(of_count).collect()
            }
        }
    }

    /// [`Error::Budget`] where the budget does not hold the keys and values before the last pass (in buffers that grow by doubling), the
    /// activations of the longest pass and a block of logits.
    pub(crate) fn check_budget(&self, legs: &[Leg]) -> Result<(), Error> {
        let (budget, smallest) = (self.options.memory_budget, self.bytes(legs));
        if budget < smallest { Err(Error::Budget { budget, smallest }) } else { Ok(()) }
    }

    /// What passes hold at least.
    pub(crate) fn bytes(&self, legs: &[Leg]) -> u64 {
        let starts: Vec<usize> =
            std::iter::once(0).chain(legs.iter().map(|leg| leg.from)).collect();
        let steps = starts.windows(2).map(|pair| pair[1] - pair[0]);
        let longest_step = steps.max().unwrap_or(0);
        let longest_pass = legs.iter().map(|leg| leg.end - leg.from).max().unwrap_or(0);
        let prefix = starts.last().copied().unwrap_or(0);
        let number = self.model.placement().kind.unwrap_or(Kind::Float).elt_size_in_bytes();
        let keys = |layer: &M::Layer| {
            let dims = layer.dims();
            let tokens = dims.window.map_or(prefix, |window| prefix.min(window + longest_step));
            4 * (tokens * dims.key_heads * dims.width * number) as u64
        };
        let layers = || self.model.layers().iter();
        let run = layers().map(|layer| layer.pull_cost().shared).max().unwrap_or(0);
        let logits = 3 * (LOGIT_ROWS * self.model.vocabulary() * size_of::<f32>()) as u64;
        let embeddings = (self.sequence.ids().len() * self.model.width() * number) as u64;
        let rows = longest_pass.max(longest_step) as u64;
        layers().map(keys).sum::<u64>() + rows * run + logits + embeddings
    }

    /// The last layer's output `[m, D]` for the m tokens from index `start` on, from their embeddings.
    pub(crate) fn run(&self, x: &Tensor, start: usize, attend: &mut dyn Attend) -> Tensor {
        self.model.layers().iter().fold(x.shallow_clone(), |x, layer| {
            layer.forward(&x, start, &layer.mask(self.sequence.layout()), attend)
        })
    }

    /// Embeddings of the tokens from index `from` on with the mean of their picture in the place of cells.
    pub(crate) fn with_means(&self, x: &Tensor, from: usize, cells: &[usize]) -> Tensor {
        let changed = x.copy();
        for image in self.sequence.images() {
            let own: Vec<usize> =
                cells.iter().filter(|cell| image.contains(cell)).map(|cell| cell - from).collect();
            if own.is_empty() {
                continue;
            }
            let all = part(x, &(image.start - from..image.end - from));
            let mean = all.mean_dim([0_i64].as_slice(), true, Kind::Float).to_kind(x.kind());
            let means = mean.expand([own.len() as i64, -1], false);
            let _ = changed.shallow_clone().index_copy_(0, &index(&own, x.device()), &means);
        }
        changed
    }
}

/// Passes that begin at one token and end at another.
pub(crate) struct Leg {
    /// The first token that a pass runs.
    pub(crate) from: usize,
    /// One behind the last.
    pub(crate) end: usize,
    /// The cells that are taken away, one by one.
    pub(crate) cells: Vec<usize>,
    /// The goals that look at them, as indices.
    pub(crate) goals: Vec<usize>,
}

/// The scalars of some goals, read off rows of the last layer's output.
struct Scalars<'a, M: LanguageModel> {
    model: &'a M,
    objective: Objective,
    goals: usize,
    terms: Vec<Term>,
}

/// What a target adds to the scalar of its goal.
struct Term {
    goal: usize,
    /// The row that predicts it, counted from the first of a pass.
    row: usize,
    token: u32,
    foil: Option<Foils>,
    /// Its part in the mean over the targets, below zero where it counts against the scalar.
    weight: f64,
}

impl<'a, M: LanguageModel> Scalars<'a, M> {
    /// Of the rows from index `from` on; what earlier rows add is left out.
    fn new(model: &'a M, goals: &[&Goal], objective: Objective, from: usize) -> Self {
        let of_goal = |(index, goal): (usize, &&Goal)| {
            let targets = goal.targets().iter().zip(goal.foils()).zip(goal.predicting().signs);
            let count = goal.targets().len() as f64;
            let term = |((target, foil), sign): ((&Target, Option<&Foils>), f32)| {
                let row = target.logit_row().checked_sub(from)?;
                let weight = f64::from(sign) / count;
                Some(Term { goal: index, row, token: target.token(), foil: foil.cloned(), weight })
            };
            targets.filter_map(term).collect::<Vec<_>>()
        };
        let terms = goals.iter().enumerate().flat_map(of_goal).collect();
        Self { model, objective, goals: goals.len(), terms }
    }

    fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The scalars of the undisturbed run, from its output `[m, D]`. Runners-up are those of this run from now on.
    fn start(&mut self, output: &Tensor) -> Result<Vec<f64>, Error> {
        if let Objective::Contrast(foil @ (Foil::RunnerUp | Foil::Alternatives)) = self.objective {
            for terms in self.terms.chunks_mut(LOGIT_ROWS) {
                let (tokens, named) = tokens(terms);
                let logits = guard("computing logits", || logits(self.model, terms, output))?;
                for (term, foil) in terms.iter_mut().zip(foils(foil, &tokens, &named, &logits)) {
                    term.foil = Some(foil);
                }
            }
        }
        self.values(output)
    }

    /// The scalars from the last layer's output `[m, D]`.
    fn values(&self, output: &Tensor) -> Result<Vec<f64>, Error> {
        let mut sums = vec![0.0; self.goals];
        for terms in self.terms.chunks(LOGIT_ROWS) {
            let (tokens, named) = tokens(terms);
            let values = guard("computing logits", || {
                let logits = logits(self.model, terms, output);
                convert::numbers(&by_target(self.objective, &logits, (&tokens, &named)))
            })?;
            for (term, value) in terms.iter().zip(values) {
                if !value.is_finite() {
                    return Err(Error::Logit { row: term.row });
                }
                sums[term.goal] += term.weight * f64::from(value);
            }
        }
        Ok(sums)
    }
}

/// The tokens of some targets, and the foils that were named.
fn tokens(terms: &[Term]) -> (Vec<u32>, Vec<Option<Foils>>) {
    terms.iter().map(|term| (term.token, term.foil.clone())).unzip()
}

/// The logits of the rows of some targets, float32 `[targets, V]`.
fn logits(model: &impl LanguageModel, terms: &[Term], output: &Tensor) -> Tensor {
    let rows: Vec<usize> = terms.iter().map(|term| term.row).collect();
    model.logits(&output.index_select(0, &index(&rows, output.device()))).to_kind(Kind::Float)
}

/// Positions as ascending runs.
pub(crate) fn runs(positions: &[usize]) -> Vec<Range<usize>> {
    let mut positions = positions.to_vec();
    positions.sort_unstable();
    positions.dedup();
    let together = positions.chunk_by(|one, next| one + 1 == *next);
    together.map(|run| run[0]..run[0] + run.len()).collect()
}

/// Some rows of `[S, D]`.
pub(crate) fn part(x: &Tensor, rows: &Range<usize>) -> Tensor {
    x.narrow(0, rows.start as i64, rows.len() as i64)
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_hold_what_stands_together() {
        assert_eq!(runs(&[7, 3, 4, 9, 3, 8]), [3..5, 7..10]);
        assert!(runs(&[]).is_empty());
    }
}
