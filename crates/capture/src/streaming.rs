//! The engine that never stores attention: a reverse sweep over the layers, from the last to the first, block of rows by block.
//!
//! Two facts make it exact. Only one row of R is wanted, and a row is pulled back from the last layer to the first, which is the order
//! of a backward pass. And the gradient of the attention needs no graph: `∂z/∂A[h,i,j] = dO[h,i,:]·V[h,j,:]`, where dO is the
//! gradient at the heads' output. So A and ∇A are made for a block of rows, folded, and dropped.

use crate::budget::Cut;
use crate::folding::Fold;
use crate::goal::{check_foils, check_targets};
use crate::start::Start;
use crate::states::States;
use crate::sweep::{Folds, Pass, RowFold, Rows};
use crate::{Attribution, Engine, Error, Folding, Goal, Objective, Score, convert};
use attention_relevancy::ndarray::{Array1, Array2};
use attention_relevancy::{Heads, Target, Update};
use gemma3_tch::{AttentionLayer, DecoderLayer, Gemma3, MaskRule, Qkv, guard};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tch::{Kind, Tensor};

/// How a sweep is done.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// Bytes that the sweep may take beside the model and the recorded states.
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

/// What a goal owes, and the rollouts that were asked for beside it.
pub(crate) type WithRollouts = (Attribution, Vec<Array1<f32>>);

/// The reverse sweep over a recorded run.
#[derive(Debug)]
pub struct Streaming<'a> {
    model: &'a Gemma3,
    ids: &'a [u32],
    states: &'a States,
    options: SweepOptions,
    folding: Folding,
}

/// What a sweep knows when it is through with a layer: T goals at once.
#[derive(Debug)]
pub struct LayerSwept<'a> {
    /// The goals of this part of the sweep, as indices.
    pub goals: Range<usize>,
    /// The layer.
    pub layer: usize,
    /// Positions of the rows that the layer was taken through.
    pub queries: Range<usize>,
    /// Positions that those rows see.
    pub keys: Range<usize>,
    /// The layer's input at `keys`, `[keys, D]`; of layer 0: the input embeddings.
    pub input: &'a Tensor,
    /// Queries, keys and values of the tokens at `keys`.
    pub qkv: &'a Qkv,
    /// Which keys a query of the layer sees.
    pub mask: &'a MaskRule,
    /// The gradient at the output of attention, before `o_proj`, `[T, H, queries, d]`.
    pub heads_gradient: &'a Tensor,
    /// The gradient at the layer's input `[T, keys, D]`; of layer 0: at the input embeddings, images included.
    pub input_gradient: &'a Tensor,
    /// The relevancy rows after the layer `[T, S]`.
    pub relevancy: &'a Tensor,
    /// How much of the row passed through each head, `[T, H]`: `Σ_ij β_i·r_i·(A⊙∇A)⁺[h,i,j]`; zero where the row was not taken
    /// through the layer ([`Folding`]).
    pub heads: &'a Tensor,
}

impl<'a> Streaming<'a> {
    /// `ids` is the sequence that `states` were recorded of, perhaps with one more token at its end.
    pub fn new(
        model: &'a Gemma3,
        ids: &'a [u32],
        states: &'a States,
        options: SweepOptions,
    ) -> Self {
        Self { model, ids, states, options, folding: Folding::default() }
    }

    /// The least [`SweepOptions::memory_budget`] for these goals; less is [`Error::Budget`].
    pub fn least_budget(model: &Gemma3, goals: &[Goal]) -> u64 {
        Cut::least(&model.config().text, model.placement(), last_token(goals))
    }

    /// The same engine with another way to fold heads and layers into the relevancy row. The baselines of an [`Attribution`] are
    /// not touched by it.
    #[must_use]
    pub fn folding(mut self, folding: Folding) -> Self {
        self.folding = folding;
        self
    }

    /// [`Engine::explain`], with a look at every layer on the way: relevancy by depth, by head, gradients.
    pub fn explain_observed(
        &self,
        goals: &[Goal],
        (objective, update): (Objective, Update),
        observe: &mut dyn FnMut(&LayerSwept<'_>),
    ) -> Result<Vec<Attribution>, Error> {
        let swept = self.sweep(goals, (objective, update), &[], observe)?;
        Ok(swept.into_iter().map(|(attribution, _)| attribution).collect())
    }

    /// The same, and for each goal some rollouts.
    pub(crate) fn sweep(
        &self,
        goals: &[Goal],
        (objective, update): (Objective, Update),
        rollouts: &[Fold],
        observe: &mut dyn FnMut(&LayerSwept<'_>),
    ) -> Result<Vec<WithRollouts>, Error> {
        let (config, placement) = (&self.model.config().text, self.model.placement());
        check_foils(objective, goals, config.vocab_size)?;
        goals
            .iter()
            .try_for_each(|goal| check_targets(goal.targets(), self.ids, self.states.tokens()))?;
        let relevancy = self.folding.fold(config)?;
        let _no_grad = tch::no_grad_guard();
        let size = (last_token(goals), goals.len());
        let cut = Cut::new(config, placement, size, self.options.memory_budget)?;
        let how = How { objective, update, relevancy, rollouts, block: cut.rows };
        let mut found = Vec::new();
        for (index, goals) in goals.chunks(cut.goals).enumerate() {
            let sweep = Sweep { engine: self, goals, first: index * cut.goals, how: &how };
            found.extend(guard("sweeping back", || sweep.run(observe))??);
        }
        Ok(found)
    }

    /// [`Engine::explain`], and for each goal its row by depth, `[L, S]`: row l is the relevancy at the input of layer l, what layers
    /// l to L−1 brought together. Row 0 is the whole.
    pub fn explain_by_depth(
        &self,
        goals: &[Goal],
        (objective, update): (Objective, Update),
    ) -> Result<Vec<(Attribution, Array2<f32>)>, Error> {
        let mut depths = self.depths(goals);
        let mut keep = |swept: &LayerSwept<'_>| depths.see(swept);
        let attributions = self.explain_observed(goals, (objective, update), &mut keep)?;
        Ok(attributions.into_iter().zip(depths.finish()).collect())
    }

    /// Records the rows by depth in a sweep over these goals that is observed.
    pub fn depths(&self, goals: &[Goal]) -> Depths {
        let n_layers = self.model.config().text.num_hidden_layers;
        Depths { rows: vec![Array2::zeros((n_layers, self.ids.len())); goals.len()] }
    }

    pub(crate) fn states(&self) -> &States {
        self.states
    }

    pub(crate) fn ids(&self) -> &[u32] {
        self.ids
    }

    pub(crate) fn options(&self) -> &SweepOptions {
        &self.options
    }

    pub(crate) fn model(&self) -> &Gemma3 {
        self.model
    }

    /// Tokens S of the sequence.
    pub(crate) fn tokens(&self) -> usize {
        self.ids.len()
    }
}

/// Tokens that goals reach.
fn last_token(goals: &[Goal]) -> usize {
    goals.iter().map(Goal::end).max().unwrap_or(1)
}

/// Keeps the rows of every layer of a sweep: [`Streaming::depths`].
#[derive(Debug)]
pub struct Depths {
    rows: Vec<Array2<f32>>,
}

impl Depths {
    /// Takes in a layer.
    pub fn see(&mut self, swept: &LayerSwept<'_>) {
        let rows = convert::matrix(swept.relevancy);
        for (goal, row) in swept.goals.clone().zip(rows.outer_iter()) {
            self.rows[goal].row_mut(swept.layer).assign(&row);
        }
    }

    /// For each goal its rows `[L, S]`, as [`Streaming::explain_by_depth`] has them.
    pub fn finish(self) -> Vec<Array2<f32>> {
        self.rows
    }
}

impl Engine for Streaming<'_> {
    fn scores(&self, targets: &[Target]) -> Result<Vec<Score>, Error> {
        check_targets(targets, self.ids, self.states.tokens())?;
        let logits = |targets: &[Target]| self.model.text().logits(&self.states.hidden(targets));
        Score::of(targets, logits)
    }

    fn explain(
        &self,
        goals: &[Goal],
        objective: Objective,
        update: Update,
    ) -> Result<Vec<Attribution>, Error> {
        self.explain_observed(goals, (objective, update), &mut |_| {})
    }
}

/// One sweep for some goals.
struct Sweep<'a> {
    engine: &'a Streaming<'a>,
    goals: &'a [Goal],
    /// Index of the first goal among all that were asked for.
    first: usize,
    how: &'a How<'a>,
}

/// What all parts of a sweep share.
struct How<'a> {
    objective: Objective,
    update: Update,
    relevancy: Fold,
    /// Beside the one of an [`Attribution`], which takes the mean of the heads of all layers.
    rollouts: &'a [Fold],
    /// Rows of a block.
    block: usize,
}

impl How<'_> {
    fn folds(&self, layer: usize) -> Folds {
        let rollouts = self.rollouts.iter().map(|fold| fold.at(layer));
        let rollouts = std::iter::once(Some(Heads::Mean)).chain(rollouts);
        Folds {
            relevancy: self.relevancy.at(layer).map(|heads| RowFold::new(self.update, heads)),
            rollouts: rollouts.map(|heads| heads.map(Heads::rule)).collect(),
        }
    }
}

/// Where the sweep stands: the gradient at the output of the next layer and the rows, over `support`.
struct State {
    support: Range<usize>,
    dy: Tensor, // [T, m, D]
    rows: Rows,
}

impl Sweep<'_> {
    fn run(&self, observe: &mut dyn FnMut(&LayerSwept<'_>)) -> Result<Vec<WithRollouts>, Error> {
        let mut state = self.start();
        let mut raw_attention = None;
        for layer in self.engine.model.text().layers().iter().rev() {
            if self.engine.options.cancelled() {
                return Err(Error::Cancelled);
            }
            let next = self.step(layer, &state, observe);
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
        let rollouts: Vec<Array2<f32>> = state.rows.rollouts.iter().map(convert::matrix).collect();
        let row = |of: &Array2<f32>, goal: usize| of.row(goal).to_owned();
        let of_goal = |goal: usize| {
            let mut rollouts = rollouts.iter().map(|rollout| row(rollout, goal));
            let attribution = Attribution {
                relevancy: row(&relevancy, goal),
                raw_attention: row(&raw_attention, goal),
                rollout: rollouts.next().expect("the first is always there"),
            };
            (attribution, rollouts.collect())
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
            objective: self.how.objective,
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

    /// One layer down.
    fn step(
        &self,
        layer: &DecoderLayer,
        state: &State,
        observe: &mut dyn FnMut(&LayerSwept<'_>),
    ) -> State {
        let (queries, mask) = (state.support.clone(), self.engine.states.mask(layer));
        let keys = mask.keys(&queries, queries.end);
        let trace = self.engine.states.trace(layer, queries.end);
        let merged = layer.pull_merge(&trace.rows(&queries), &state.dy);

        let trace = trace.rows(&keys);
        let qkv = layer.heads(&trace, mask.place(keys.start));
        let swept = Pass {
            qkv: &qkv,
            mask: &mask,
            queries: queries.clone(),
            dheads: &merged.heads,
            folds: self.how.folds(layer.site().layer),
            block: self.how.block,
        }
        .run(&state.rows);

        let dx = layer.pull_project(&trace, mask.place(keys.start), &swept.gradient); // [T, n, D]
        let skip = (queries.start - keys.start) as i64;
        let _ = dx.narrow(1, skip, queries.len() as i64).g_add_(&merged.x); // a view: the sum lands in `dx`
        observe(&LayerSwept {
            goals: self.first..self.first + self.goals.len(),
            layer: layer.site().layer,
            queries,
            keys: keys.clone(),
            input: &trace.x,
            qkv: &qkv,
            mask: &mask,
            heads_gradient: &merged.heads,
            input_gradient: &dx,
            relevancy: &swept.rows.relevancy,
            heads: &swept.heads,
        });
        State { support: keys, dy: dx, rows: swept.rows }
    }
}

/// Whether all numbers of all tensors are. A sum with NaN or infinity in it is not finite; a GPU is waited for once.
pub(crate) fn finite<const N: usize>(tensors: [&Tensor; N]) -> bool {
    let sum: Tensor = tensors.map(|tensor| tensor.sum(Kind::Double)).into_iter().sum();
    sum.double_value(&[]).is_finite()
}
