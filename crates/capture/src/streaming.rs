//! The engine that never stores attention: a reverse sweep over the layers, from the last to the first, block of rows by block.
//!
//! Two facts make it exact. Only one row of R is wanted, and a row is pulled back from the last layer to the first, which is the order
//! of a backward pass. And the gradient of the attention needs no graph: `∂z/∂A[h,i,j] = dO[h,i,:]·V[h,j,:]`, where dO is the
//! gradient at the heads' output. So A and ∇A are made for a block of rows, folded, and dropped.

use crate::budget::{Cut, SweepSize};
use crate::folding::Fold;
use crate::gemma::Joined;
use crate::goal::{check_foils, check_removed, check_targets};
use crate::rules::pull_rule;
use crate::seam::{AttentionLayer, Layer, Trace, guard};
use crate::start::Start;
use crate::states::States;
use crate::sweep::{Folds, Pass, RowFold, Rows};
use crate::{
    Attribution, Demand, Engine, Error, Folding, Goal, LanguageModel, LayerSwept, Observer, Rules,
    Score, convert, goal,
};
use attention_relevancy::{HeadFusion, Target};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tch::{Kind, Tensor};

/// How a sweep is done.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// Bytes that the sweep may take beside the model and the recorded states, with what its observers keep.
    pub memory_budget: u64,
    /// Looked at between layers: when it is true the sweep ends with [`Error::Cancelled`].
    pub cancel: Option<Arc<AtomicBool>>,
}

impl Default for SweepOptions {
    fn default() -> Self {
        Self { memory_budget: 1 << 29, cancel: None }
    }
}

impl SweepOptions {
    pub(crate) fn cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }
}

/// The reverse sweep over a recorded run: a view of model and states, cheap to clone.
#[derive(Debug)]
pub struct Streaming<'a, M: LanguageModel = Joined> {
    model: &'a M,
    ids: &'a [u32],
    states: &'a States<M>,
    options: SweepOptions,
}

impl<M: LanguageModel> Clone for Streaming<'_, M> {
    fn clone(&self) -> Self {
        Self { options: self.options.clone(), ..*self }
    }
}

impl<'a, M: LanguageModel> Streaming<'a, M> {
    /// `ids` is the sequence that `states` were recorded of, perhaps with one more token at its end.
    pub fn new(model: &'a M, ids: &'a [u32], states: &'a States<M>, options: SweepOptions) -> Self {
        Self { model, ids, states, options }
    }

    /// The same engine with other options.
    #[must_use]
    pub fn with_options(&self, options: SweepOptions) -> Self {
        Self { options, ..*self }
    }

    /// The least [`SweepOptions::memory_budget`] for goals that reach so many tokens, without observers; less is [`Error::Budget`].
    pub fn least_budget(model: &M, tokens: usize) -> u64 {
        Cut::least(model, tokens)
    }

    /// [`Engine::explain`], while observers look at every layer on the way. All of them share one sweep.
    pub fn observe(
        &self,
        goals: &[Goal],
        rules: &Rules,
        observers: &mut [&mut dyn Observer],
    ) -> Result<Vec<Attribution>, Error> {
        let dims = self.model.dims();
        check_foils(rules.objective, goals, self.model.vocabulary())?;
        check_removed(&rules.removed, self.tokens())?;
        goals
            .iter()
            .try_for_each(|goal| check_targets(goal.targets(), self.ids, self.states.tokens()))?;
        let relevancy = Fold::of(&rules.folding, &dims)?;
        let asked = observers.iter().map(|observer| observer.rollouts()).collect::<Vec<_>>();
        let fold = |folding: &Folding| Fold::of(folding, &dims);
        let rollouts = asked.iter().flatten().map(fold).collect::<Result<Vec<_>, _>>()?;
        let of_observers: Vec<usize> = asked.iter().map(Vec::len).collect();
        let _no_grad = tch::no_grad_guard();
        let kept = observers.iter().map(|observer| observer.bytes(goals.len())).sum();
        let size = SweepSize { tokens: Demand::of(goals).tokens, goals: goals.len(), kept };
        let cut = Cut::new(self.model, size, self.options.memory_budget)?;
        let how = How { rules, relevancy, rollouts, of_observers, block: cut.rows };
        let mut found = Vec::new();
        for (index, goals) in goals.chunks(cut.goals).enumerate() {
            let sweep = Sweep { engine: self, goals, first: index * cut.goals, how: &how };
            found.extend(guard("sweeping back", || sweep.run(observers))??);
        }
        Ok(found)
    }

    pub(crate) fn states(&self) -> &'a States<M> {
        self.states
    }

    pub(crate) fn ids(&self) -> &'a [u32] {
        self.ids
    }

    pub(crate) fn options(&self) -> &SweepOptions {
        &self.options
    }

    pub(crate) fn model(&self) -> &'a M {
        self.model
    }

    /// Tokens S of the sequence.
    pub(crate) fn tokens(&self) -> usize {
        self.ids.len()
    }
}

impl<M: LanguageModel> Engine for Streaming<'_, M> {
    fn scores(&self, targets: &[Target]) -> Result<Vec<Score>, Error> {
        check_targets(targets, self.ids, self.states.tokens())?;
        let logits = |targets: &[Target]| self.model.logits(&self.states.hidden(targets));
        goal::scores(targets, logits)
    }

    fn explain(&self, goals: &[Goal], rules: &Rules) -> Result<Vec<Attribution>, Error> {
        self.observe(goals, rules, &mut [])
    }
}

/// One sweep for some goals.
struct Sweep<'a, M: LanguageModel> {
    engine: &'a Streaming<'a, M>,
    goals: &'a [Goal],
    /// Index of the first goal among all that were asked for.
    first: usize,
    how: &'a How<'a>,
}

/// What all parts of a sweep share.
struct How<'a> {
    rules: &'a Rules,
    relevancy: Fold,
    /// Beside the one of an [`Attribution`], which takes the mean of the heads of all layers: those of the first observer, of the
    /// second, and so on.
    rollouts: Vec<Fold>,
    /// How many of them each observer asked for.
    of_observers: Vec<usize>,
    /// Rows of a block.
    block: usize,
}

impl How<'_> {
    fn folds(&self, layer: usize) -> Folds {
        let rollouts = self.rollouts.iter().map(|fold| fold.at(layer));
        let rollouts = std::iter::once(Some(HeadFusion::Mean)).chain(rollouts);
        Folds {
            relevancy: self.relevancy.at(layer).map(|heads| RowFold::new(self.rules.update, heads)),
            rollouts: rollouts.map(|heads| heads.map(HeadFusion::rule)).collect(),
        }
    }
}

/// Where the sweep stands: the gradient at the output of the next layer and the rows, over `support`.
struct State {
    support: Range<usize>,
    dy: Tensor, // [T, m, D]
    rows: Rows,
}

impl<M: LanguageModel> Sweep<'_, M> {
    fn run(&self, observers: &mut [&mut dyn Observer]) -> Result<Vec<Attribution>, Error> {
        let mut state = self.start();
        let kept = self.kept();
        let mut raw_attention = None;
        for layer in self.engine.model.layers().iter().rev() {
            if self.engine.options.cancelled() {
                return Err(Error::Cancelled);
            }
            let next = self.step(layer, (&state, kept.as_ref()), observers);
            if !finite([&next.dy, &next.rows.relevancy]) {
                return Err(Error::Gradient { layer: layer.site().layer });
            }
            // Rollout takes half of the last layer's attention and half of the start: the attention itself is twice the rest.
            raw_attention.get_or_insert_with(|| {
                (&next.rows.rollouts[0] - &state.rows.rollouts[0] * 0.5) * 2.0
            });
            state = next;
        }
        let raw_attention = convert::matrix(&raw_attention.expect("a model has layers"));
        let relevancy = convert::matrix(&state.rows.relevancy);
        let rollout = convert::matrix(&state.rows.rollouts[0]);
        let of_goal = |goal: usize| {
            let [relevancy, raw_attention, rollout] =
                [&relevancy, &raw_attention, &rollout].map(|rows| rows.row(goal).to_owned());
            Attribution { relevancy, raw_attention, rollout }
        };
        Ok((0..self.goals.len()).map(of_goal).collect())
    }

    /// The gradient of each goal's objective at the last layer's output, and the rows it starts with.
    fn start(&self) -> State {
        let device = self.engine.model.placement().device;
        let (support, dy) = Start {
            model: self.engine.model,
            states: self.engine.states,
            goals: self.goals,
            objective: self.how.rules.objective,
            backward: self.how.rules.backward,
        }
        .gradients();
        let starts: Vec<f32> =
            self.goals.iter().flat_map(|goal| goal.start(self.engine.ids.len())).collect();
        let relevancy =
            Tensor::from_slice(&starts).view([self.goals.len() as i64, -1]).to_device(device);
        // Shared: no pass writes to the rows that it is given.
        let rollout = |_| relevancy.shallow_clone();
        let rollouts = (0..=self.how.rollouts.len()).map(rollout).collect();
        State { support, dy, rows: Rows { relevancy, rollouts } }
    }

    /// One where the row of a goal stays and zero where tokens are taken out of it, `[T, S]`; `None`: all stay.
    fn kept(&self) -> Option<Tensor> {
        let removed = &self.how.rules.removed;
        if removed.is_empty() {
            return None;
        }
        let mut kept = vec![1_f32; self.goals.len() * self.engine.tokens()];
        for (goal, kept) in self.goals.iter().zip(kept.chunks_mut(self.engine.tokens())) {
            goal.removable(removed).into_iter().for_each(|token| kept[token] = 0.0);
        }
        let device = self.engine.model.placement().device;
        let kept = Tensor::from_slice(&kept).view([self.goals.len() as i64, -1]);
        Some(kept.to_device(device))
    }

    /// One layer down.
    fn step(
        &self,
        layer: &M::Layer,
        (state, kept): (&State, Option<&Tensor>),
        observers: &mut [&mut dyn Observer],
    ) -> State {
        let (queries, mask) = (state.support.clone(), self.engine.states.mask(layer));
        let keys = mask.keys(&queries, queries.end);
        let trace = self.engine.states.trace(layer, queries.end);
        let backward = self.how.rules.backward;
        let rule = pull_rule(backward);
        let merged = layer.pull_merge(&trace.rows(&queries), &state.dy, rule);

        let trace = trace.rows(&keys);
        let qkv = layer.qkv(&trace, mask.place(keys.start));
        let mut swept = Pass {
            qkv: &qkv,
            mask: &mask,
            queries: queries.clone(),
            dheads: &merged.heads,
            backward,
            folds: self.how.folds(layer.site().layer),
            block: self.how.block,
        }
        .run(&state.rows);
        if let Some(kept) = kept {
            swept.rows.relevancy = &swept.rows.relevancy * kept;
        }

        let place = mask.place(keys.start);
        let dx = layer.pull_project(&trace, place, &swept.gradient, rule); // [T, n, D]
        let skip = (queries.start - keys.start) as i64;
        let _ = dx.narrow(1, skip, queries.len() as i64).g_add_(&merged.x); // a view: the sum lands in `dx`
        let seen = LayerSwept {
            goals: self.first..self.first + self.goals.len(),
            layer: layer.site().layer,
            queries,
            keys: keys.clone(),
            input: trace.input(),
            qkv: &qkv,
            mask: &mask,
            heads_gradient: &merged.heads,
            input_gradient: &dx,
            relevancy: &swept.rows.relevancy,
            heads: &swept.heads,
            rollouts: &[],
        };
        let mut rollouts = &swept.rows.rollouts[1..];
        for (observer, &asked) in observers.iter_mut().zip(&self.how.of_observers) {
            let (own, rest) = rollouts.split_at(asked);
            rollouts = rest;
            observer.see(&LayerSwept { rollouts: own, ..seen.clone() });
        }
        State { support: keys, dy: dx, rows: swept.rows }
    }
}

/// Whether every element is finite: a sum with NaN or infinity in it is not. One device synchronisation.
pub(crate) fn finite<const N: usize>(tensors: [&Tensor; N]) -> bool {
    let sum: Tensor = tensors.map(|tensor| tensor.sum(Kind::Double)).into_iter().sum();
    sum.double_value(&[]).is_finite()
}
