//! The methods from the reverse sweep and the recorded states. Nothing here has more than `[n, D]` or `[H, S]` numbers at a time.

use super::activation::{self, Parts};
use super::collect::Facts;
use super::{Collector, PredictingRow};
use crate::gemma::Joined;
use crate::images::at_span;
use crate::readout::RowReader;
use crate::seam::{Attend, AttentionLayer, Layer, MaskRule, PullRule, Qkv, Site, guard};
use crate::{Error, Folding, Goal, LanguageModel, LayerSwept, Observer, Streaming, convert};
use attention_relevancy::ndarray::{Array1, s};
use attention_relevancy::{Method, MethodRow, Target};
use std::fmt;
use std::ops::Range;
use tch::{Kind, Tensor};

/// Keeps the rows of methods in a sweep.
pub struct MethodRecorder<'a, M: LanguageModel = Joined> {
    engine: Streaming<'a, M>,
    collector: Collector<'a>,
    /// Those of the methods that are one, in order, for each goal.
    rollouts: Vec<Vec<Array1<f32>>>,
}

impl<'a, M: LanguageModel> MethodRecorder<'a, M> {
    /// For a sweep of `engine` over these goals.
    ///
    /// Fails with [`Error::Layer`], [`Error::LayerChoice`] or [`Error::Relevancy`] for layers and heads that the model does not have.
    pub fn new(
        engine: &Streaming<'a, M>,
        goals: &'a [Goal],
        methods: &'a [Method],
    ) -> Result<Self, Error> {
        let dims = engine.model().dims();
        let facts = Facts {
            layers: dims.len(),
            ids: engine.ids(),
            layout: engine.states().layout(),
            read: engine.states().tokens(),
        };
        let collector = Collector::new(facts, &dims, goals, methods)?;
        Ok(Self { engine: engine.clone(), collector, rollouts: vec![Vec::new(); goals.len()] })
    }

    /// For each goal the row of every method, in the order of the methods. Some are read off the recorded states now.
    pub fn finish(self) -> Result<Vec<Vec<MethodRow>>, Error> {
        let Self { engine, mut collector, rollouts } = self;
        engine.read_tokens(&mut collector)?;
        engine.map_activations(&mut collector)?;
        Ok(collector.finish(rollouts))
    }
}

impl<M: LanguageModel> Observer for MethodRecorder<'_, M> {
    fn rollouts(&self) -> Vec<Folding> {
        self.collector.rollouts()
    }

    fn bytes(&self, _goals: usize) -> u64 {
        self.collector.bytes()
    }

    fn see(&mut self, swept: &LayerSwept<'_>) {
        self.engine.see_rows(swept, &mut self.collector);
        self.engine.see_hidden(swept, &mut self.collector);
        if swept.layer == 0 {
            for rollout in swept.rollouts.iter().map(convert::matrix) {
                for (goal, row) in swept.goals.clone().zip(rollout.outer_iter()) {
                    self.rollouts[goal].push(row.to_owned());
                }
            }
        }
    }
}

impl<M: LanguageModel> fmt::Debug for MethodRecorder<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodRecorder").finish_non_exhaustive()
    }
}

impl<M: LanguageModel> Streaming<'_, M> {
    /// The predicting rows of the goals of this part of the sweep.
    fn see_rows(&self, swept: &LayerSwept<'_>, collector: &mut Collector<'_>) {
        if !collector.wants_rows(swept.layer) {
            return;
        }
        let rows = swept.rows();
        let norms = collector
            .wants_norms(swept.layer)
            .then(|| convert::matrix(&self.model().value_norms(swept.layer, &swept.qkv.v)));
        for (index, goal) in collector.goals().filter(|(index, _)| swept.goals.contains(index)) {
            for target in goal.targets() {
                let row = target.logit_row();
                let seen = rows.attention(row);
                let gradient = rows.gradient(&seen.keys, &swept.row_gradient(index, row));
                let norms = norms.as_ref();
                let norms = norms.map(|norms| seen.keys.of_tokens(swept.keys.start, norms));
                let own_logit = collector.wants_own_logit(swept.layer).then(|| {
                    rows.gradient(&seen.keys, &self.own_logit_gradient(swept, &rows, target))
                });
                let row = PredictingRow { seen: &seen, gradient: &gradient, norms, own_logit };
                collector.see_row(index, swept.layer, &row);
            }
        }
    }

    /// The gradient of a target's logit, read off the output of the layer at its predicting row, at the output of attention there, `[H, d]`.
    /// All behind attention is done token by token, so that one row is made again and pulled back.
    fn own_logit_gradient(
        &self,
        swept: &LayerSwept<'_>,
        rows: &RowReader<'_>,
        target: &Target,
    ) -> Tensor {
        let (layer, row) = (&self.model().layers()[swept.layer], target.logit_row());
        let x = swept.input.narrow(0, (row - swept.keys.start) as i64, 1);
        let heads = rows.output(row).to_kind(swept.qkv.v.kind());
        let trace = layer.trace(&x, row, swept.mask, &mut Given(heads));
        let dnormed = self.model().head_gradients(&[target.token()]);
        let dy = self.model().pull_norm(&layer.output(&trace), &dnormed, PullRule::Gradient);
        let merged = layer.pull_merge(&trace, &dy.unsqueeze(0), PullRule::Gradient); // [1, H, 1, d]
        merged.heads.get(0).squeeze_dim(1)
    }

    /// Hidden states and input embeddings with their gradient.
    fn see_hidden(&self, swept: &LayerSwept<'_>, collector: &mut Collector<'_>) {
        let layer = swept.layer;
        let hidden = collector.wants_hidden(layer);
        let input = layer == 0 && collector.wants(&Method::InputGradient);
        let cells = layer == 0 && collector.wants(&Method::MeanCell);
        for (index, goal) in collector.goals().filter(|(index, _)| swept.goals.contains(index)) {
            let gradient = swept.input_gradient.get((index - swept.goals.start) as i64); // [n, D]
            let tokens = goal.targets().len() as f64;
            if hidden {
                let images = collector.facts().images_before(goal);
                let row = self.grad_cam_hidden(swept, &(&gradient / tokens), &images);
                collector.put(index, &Method::GradCamHidden { layer }, &Ok(row));
            }
            if input {
                let mut row = Array1::zeros(self.tokens());
                let products = products(swept.input, &gradient) / tokens;
                row.slice_mut(s![swept.keys.clone()]).assign(&convert::row(&products));
                collector.put(index, &Method::InputGradient, &Ok(row));
            }
            if cells {
                let images = collector.facts().images_before(goal);
                let row = self.mean_cell_drop(swept, &(&gradient / tokens), &images);
                collector.put(index, &Method::MeanCell, &Ok(row));
            }
        }
    }

    /// `relu(w·h_t)` on the image tokens, `w = mean_t ∂z/∂h_t`, from the gradient `[n, D]` at the keys of the layer.
    fn grad_cam_hidden(
        &self,
        swept: &LayerSwept<'_>,
        gradient: &Tensor,
        images: &[Range<usize>],
    ) -> Array1<f32> {
        let n: usize = images.iter().map(ExactSizeIterator::len).sum();
        let weights = images.iter().fold(gradient.select(0, 0).zeros_like(), |sum, image| {
            sum + at_span(gradient, &swept.keys, image).sum_dim_intlist(0, false, Kind::Float)
        }) / n.max(1) as f64;
        let weights = weights.unsqueeze(0); // [1, D]
        let mut row = Array1::zeros(self.tokens());
        for image in images {
            let hidden = self.states().input(swept.layer, image); // [t, D]
            let map = convert::row(&products(&hidden, &weights.expand_as(&hidden)).relu());
            row.slice_mut(s![image.clone()]).assign(&map);
        }
        row
    }

    /// `(e_j − ē)·∂z/∂e_j` on the cells of each image, ē its mean cell, from the gradient `[n, D]` at the keys of the first layer.
    fn mean_cell_drop(
        &self,
        swept: &LayerSwept<'_>,
        gradient: &Tensor,
        images: &[Range<usize>],
    ) -> Array1<f32> {
        let mut row = Array1::zeros(self.tokens());
        for image in images {
            let cells = self.states().input(0, image).to_kind(Kind::Double); // [t, D]
            let apart = &cells - cells.mean_dim([0_i64].as_slice(), true, Kind::Double);
            let drop = products(&apart, &at_span(gradient, &swept.keys, image));
            row.slice_mut(s![image.clone()]).assign(&convert::row(&drop));
        }
        row
    }

    /// The rows of the explained tokens themselves, which the sweep does not come to.
    fn read_tokens(&self, collector: &mut Collector<'_>) -> Result<(), Error> {
        let read = self.states().tokens();
        let positions = |goal: &Goal| -> Vec<(usize, usize)> {
            let all = goal.targets().iter().map(|target| target.position()).enumerate();
            all.filter(|&(_, position)| position < read).collect()
        };
        let all = || collector.goals().flat_map(|(_, goal)| positions(goal)).map(|(_, at)| at);
        let (Some(first), Some(last)) = (all().min(), all().max()) else { return Ok(()) };
        let _no_grad = tch::no_grad_guard();
        for layer in self.model().layers() {
            let index = layer.site().layer;
            if !collector.wants_tokens(index) {
                continue;
            }
            if self.options().cancelled() {
                return Err(Error::Cancelled);
            }
            guard("reading attention", || {
                let (mask, rows) = (self.states().mask(layer), first..last + 1);
                let qkv = self.states().qkv(layer, &mask.keys(&rows, read));
                let reader = RowReader::new(&qkv, &mask, &rows);
                for (goal, targets) in collector.goals() {
                    for (token, at) in positions(targets) {
                        collector.see_token(goal, token, index, &reader.attention(at));
                    }
                }
            })?;
        }
        Ok(())
    }

    fn map_activations(&self, collector: &mut Collector<'_>) -> Result<(), Error> {
        if !collector.wants(&Method::Tam) {
            return Ok(());
        }
        let (facts, _no_grad) = (*collector.facts(), tch::no_grad_guard());
        for (index, goal) in collector.goals() {
            if self.options().cancelled() {
                return Err(Error::Cancelled);
            }
            let map = |target| guard("mapping activations", || self.activation(&facts, target))?;
            let row = activation::mean(goal.targets(), self.tokens(), map)?;
            collector.put(index, &Method::Tam, &row);
        }
        Ok(())
    }

    /// The token activation map of one token.
    fn activation(&self, facts: &Facts<'_>, target: Target) -> Result<MethodRow, Error> {
        /// Ids of the context at a time: `[t, 64]` activations, however long the context.
        const IDS: usize = 64;
        let parts = match Parts::new(facts, target) {
            Ok(parts) => parts,
            Err(reason) => return Ok(Err(reason)),
        };
        let output = self.states().output();
        let activations = |rows: &Range<usize>, ids: &[u32]| {
            let rows = output.narrow(0, rows.start as i64, rows.len() as i64);
            self.model().logits_of(&rows, ids).to_kind(Kind::Float).relu() // [rows, ids]
        };
        let own = activations(&(0..target.position()), &[target.token()]).squeeze_dim(1);
        let own = convert::row(&own);
        let mut interference = Vec::new();
        for image in &parts.images {
            let mut sum = Tensor::zeros([image.len() as i64], (Kind::Double, output.device()));
            for context in parts.weights(&own).chunks(IDS) {
                let (ids, weights): (Vec<u32>, Vec<f32>) = context.iter().copied().unzip();
                let weights = Tensor::from_slice(&weights).to_device(output.device());
                sum += activations(image, &ids)
                    .to_kind(Kind::Double)
                    .mv(&weights.to_kind(Kind::Double));
            }
            interference.extend(convert::row(&sum));
        }
        Ok(Ok(parts.row(&own, &interference.into())?))
    }
}

/// The output of attention that is known already.
struct Given(Tensor);

impl Attend for Given {
    fn attend(&mut self, _: Site, _: &Qkv, _: &MaskRule) -> Tensor {
        self.0.shallow_clone()
    }
}

/// `Σ_D x⊙y` by row, `[n]` in double precision, some rows at a time: the terms nearly cancel in many rows.
fn products(x: &Tensor, y: &Tensor) -> Tensor {
    const ROWS: i64 = 256;
    let of = |(x, y): (Tensor, Tensor)| {
        (x.to_kind(Kind::Double) * y.to_kind(Kind::Double)).sum_dim_intlist(-1, false, Kind::Double)
    };
    let tiles = x.split(ROWS, 0).into_iter().zip(y.split(ROWS, 0));
    Tensor::cat(&tiles.map(of).collect::<Vec<_>>(), 0)
}
