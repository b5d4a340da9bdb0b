//! The engine that never stores attention: a reverse sweep over the layers, from the last to the first, block of rows by block.
//!
//! Two facts make it exact. Only one row of R is wanted, and a row is pulled back from the last layer to the first, which is the order
//! of a backward pass. And the gradient of the attention needs no graph: `∂z/∂A[h,i,j] = dO[h,i,:]·V[h,j,:]`, where dO is the
//! gradient at the heads' output. So A and ∇A are made for a block of rows, folded, and dropped.

use crate::states::States;
use crate::sweep::{Pass, Rows};
use crate::{Attribution, Error, Goal, Objective, Score, convert};
use attention_relevancy::Update;
use attention_relevancy::ndarray::{Array1, Axis};
use gemma3_tch::{AttentionLayer, DecoderLayer, Gemma3, Trace, guard};
use std::ops::Range;
use tch::{Kind, Tensor};

const FLOAT: Kind = Kind::Float;

/// How the sweep is cut.
#[derive(Clone, Copy, Debug)]
pub struct SweepOptions {
    /// Bytes that the sweep may take beside the model and the recorded states.
    pub memory_budget: u64,
}

impl Default for SweepOptions {
    fn default() -> Self {
        Self { memory_budget: 1 << 29 }
    }
}

/// The reverse sweep over a recorded run.
#[derive(Debug)]
pub struct Streaming<'a> {
    model: &'a Gemma3,
    ids: &'a [u32],
    states: &'a States,
    options: SweepOptions,
}

impl<'a> Streaming<'a> {
    /// `ids` is the sequence that `states` were recorded of, perhaps with one more token at its end.
    pub fn new(
        model: &'a Gemma3,
        ids: &'a [u32],
        states: &'a States,
        options: SweepOptions,
    ) -> Self {
        Self { model, ids, states, options }
    }

    /// Logit and log-probability of the token that stands at each target's position.
    pub fn scores(&self, goal: &Goal) -> Result<Vec<Score>, Error> {
        goal.check(self.ids, self.states.tokens())?;
        let _no_grad = tch::no_grad_guard();
        let logits = guard("computing logits", || self.logits(goal))?;
        Score::of(&logits, goal)
    }

    /// Explains goals, as many at a time as the budget allows.
    pub fn explain(
        &self,
        goals: &[Goal],
        objective: Objective,
        update: Update,
    ) -> Result<Vec<Attribution>, Error> {
        for goal in goals {
            goal.check(self.ids, self.states.tokens())?;
        }
        let _no_grad = tch::no_grad_guard();
        let mut attributions = Vec::new();
        let (chunk, block) = self.cut(goals)?;
        for goals in goals.chunks(chunk) {
            let sweep = Sweep { engine: self, goals, objective, update, block };
            attributions.extend(guard("sweeping back", || sweep.run())??);
        }
        Ok(attributions)
    }

    /// How many goals share a sweep, and how many query rows a block has, for the budget.
    fn cut(&self, goals: &[Goal]) -> Result<(usize, usize), Error> {
        let config = &self.model.config().text;
        let tokens = goals.iter().map(Goal::end).max().unwrap_or(1) as u64;
        let [d, f, h, k, w] = [
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        ]
        .map(|n| n as u64);
        // Float32 numbers a goal holds at once: around the MLP, and the gradients of queries, keys and values.
        let per_goal = 4 * tokens * (4 * f + 4 * d + 2 * (h + 2 * k) * w);
        let shared = 4 * tokens * (2 * f + (h + 4 * k) * w);
        // A row of a block: attention and three values of its size for every goal, each over all keys.
        let per_row = |goals: u64| 4 * h * tokens * (2 + 4 * goals);
        let budget = self.options.memory_budget;
        let smallest = shared + per_goal + per_row(1);
        if budget < smallest {
            return Err(Error::Budget { budget, smallest });
        }
        let chunk =
            ((budget - shared) / 2 / (per_goal + per_row(1))).clamp(1, goals.len().max(1) as u64);
        let rest = budget - shared - chunk * per_goal;
        Ok((chunk as usize, (rest / per_row(chunk)).clamp(1, LARGEST_BLOCK) as usize))
    }

    /// The last layer's output at the rows that predict the goal's targets `[targets, D]`.
    fn hidden(&self, goal: &Goal) -> Tensor {
        let last = self.model.text().layers().last().expect("a model has layers");
        let trace = self.states.trace(last, goal.end());
        last.output(&trace).index_select(0, &self.logit_rows(goal))
    }

    fn logits(&self, goal: &Goal) -> Tensor {
        self.model.text().logits(&self.hidden(goal)).to_kind(FLOAT)
    }

    fn logit_rows(&self, goal: &Goal) -> Tensor {
        let rows: Vec<i64> =
            goal.targets().iter().map(|target| target.logit_row() as i64).collect();
        Tensor::from_slice(&rows).to_device(self.model.placement().device)
    }
}

/// Rows beyond this make a block no faster.
const LARGEST_BLOCK: u64 = 512;

/// One sweep for some goals.
struct Sweep<'a> {
    engine: &'a Streaming<'a>,
    goals: &'a [Goal],
    objective: Objective,
    update: Update,
    block: usize,
}

/// Where the sweep stands: the gradient at the output of the next layer and the rows, over `support`.
struct State {
    support: Range<usize>,
    dy: Tensor, // [T, m, D]
    rows: Rows,
}

impl Sweep<'_> {
    fn run(&self) -> Result<Vec<Attribution>, Error> {
        let mut state = self.start();
        let mut raw_attention = None;
        let (mut depth, mut heads) = (Vec::new(), Vec::new());
        for layer in self.engine.model.text().layers().iter().rev() {
            let (next, by_head) = self.step(layer, &state);
            if !finite(&next.dy) || !finite(&next.rows.relevancy) {
                return Err(Error::Gradient { layer: layer.site().layer });
            }
            // Rollout takes half of the last layer's attention and half of the start: the attention itself is twice the rest.
            raw_attention
                .get_or_insert_with(|| (&next.rows.rollout - &state.rows.rollout * 0.5) * 2.0);
            depth.push(next.rows.relevancy.shallow_clone());
            heads.push(by_head);
            state = next;
        }
        let raw_attention = raw_attention.expect("a model has layers");
        let _ = (depth, heads);
        let rows =
            [&state.rows.relevancy, &raw_attention, &state.rows.rollout].map(convert::matrix);
        let row = |which: usize, goal: usize| -> Array1<f32> {
            rows[which].index_axis(Axis(0), goal).to_owned()
        };
        let attribution = |goal| Attribution {
            relevancy: row(0, goal),
            raw_attention: row(1, goal),
            rollout: row(2, goal),
        };
        Ok((0..self.goals.len()).map(attribution).collect())
    }

    /// The gradient of each goal's objective at the last layer's output, and the rows it starts with.
    fn start(&self) -> State {
        let (text, device) = (self.engine.model.text(), self.engine.model.placement().device);
        let rows =
            self.goals.iter().flat_map(|goal| goal.targets()).map(|target| target.logit_row());
        let (first, last) =
            rows.fold((usize::MAX, 0), |(first, last), row| (first.min(row), last.max(row)));
        let support = first..last + 1;
        let width = self.engine.model.config().text.hidden_size as i64;
        let dy =
            Tensor::zeros([self.goals.len() as i64, support.len() as i64, width], (FLOAT, device));
        let mut starts = Vec::new();
        for (index, goal) in self.goals.iter().enumerate() {
            let gradient = text.pull_logits(&self.engine.hidden(goal), &self.dlogits(goal)); // [targets, D]
            let local = self.engine.logit_rows(goal) - first as i64;
            let mut of_goal = dy.get(index as i64); // a view
            let _ = of_goal.index_add_(0, &local, &gradient);
            starts.extend(goal.start(self.engine.ids.len()));
        }
        let relevancy =
            Tensor::from_slice(&starts).view([self.goals.len() as i64, -1]).to_device(device);
        let rollout = relevancy.copy();
        State { support, dy, rows: Rows { relevancy, rollout } }
    }

    /// The gradient of the objective at the logits `[targets, V]`.
    fn dlogits(&self, goal: &Goal) -> Tensor {
        let logits = self.engine.logits(goal);
        let tokens: Vec<i64> =
            goal.targets().iter().map(|target| i64::from(target.token())).collect();
        let tokens = Tensor::from_slice(&tokens).to_device(logits.device()).unsqueeze(1);
        let chosen = logits.zeros_like().scatter_value(1, &tokens, 1.0);
        match self.objective {
            Objective::Logit => chosen,
            Objective::LogProbability => chosen - logits.softmax(-1, FLOAT),
        }
    }

    /// One layer down.
    fn step(&self, layer: &DecoderLayer, state: &State) -> (State, Tensor) {
        let mask = layer.mask(self.engine.states.images());
        let keys = mask.keys(&state.support, state.support.end);
        let trace = self.engine.states.trace(layer, state.support.end);
        let merged = layer.pull_merge(&trace.rows(&state.support), &state.dy);

        let trace: Trace = trace.rows(&keys);
        let qkv = layer.heads(&trace, keys.start);
        let queries = state.support.clone();
        let pass = Pass {
            qkv: &qkv,
            mask: &mask,
            queries,
            dheads: &merged.heads,
            update: self.update,
            block: self.block,
        };
        let swept = pass.run(&state.rows);

        let dx = layer.pull_project(&trace, keys.start, &swept.gradient); // [T, n, D]
        let skip = (state.support.start - keys.start) as i64;
        let _ = dx.narrow(1, skip, state.support.len() as i64).g_add_(&merged.x);
        (State { support: keys, dy: dx, rows: swept.rows }, swept.heads)
    }
}

fn finite(tensor: &Tensor) -> bool {
    // The sum of anything with NaN or infinity is not finite; float32 sums of finite gradients do not overflow in practice.
    tensor.sum(FLOAT).double_value(&[]).is_finite()
}
