//! The methods by their definitions, from every attention, every hidden state and their gradients in memory: the reference.

use super::activation::{self, Parts};
use super::collect::Facts;
use super::{Collector, PredictingRow};
use crate::folding::Fold;
use crate::readout::{AttentionRow, Keys};
use crate::seam::{AttentionLayer, Layer, MaskRule, guard};
use crate::{
    Attribution, Engine, Error, Folding, Goal, LanguageModel, Objective, Retained, Rules, convert,
};
use attention_relevancy::ndarray::{Array1, Array2, Array3, Axis, concatenate, s};
use attention_relevancy::{
    Method, MethodRow, Propagation, RetainedLayer, Target, Update, grad_cam_hidden, input_gradient,
    mean_cell_drop,
};
use std::ops::Range;
use tch::{Kind, Tensor};

impl<M: LanguageModel> Retained<'_, M> {
    /// [`Engine::explain`], and for each goal the row of every method, in the order of `methods`.
    ///
    /// Fails with [`Error::Layer`], [`Error::LayerChoice`] or [`Error::Relevancy`] for layers and heads that the model does not have, and
    /// with [`Error::Backward`] for another rule than the gradient.
    pub fn explain_methods(
        &self,
        goals: &[Goal],
        rules: &Rules,
        methods: &[Method],
    ) -> Result<Vec<(Attribution, Vec<MethodRow>)>, Error> {
        let dims = self.model().dims();
        let facts = Facts {
            layers: dims.len(),
            ids: self.ids(),
            layout: self.layout(),
            read: self.ids().len(),
        };
        let mut collector = Collector::new(facts, &dims, goals, methods)?;
        let attributions = self.explain(goals, rules)?;
        let logits = collector.wants(&Method::Tam).then(|| self.all_logits()).transpose()?;
        let mut rollouts = Vec::new();
        for (index, goal) in collector.goals() {
            let [attention, hidden] = self.gradients(goal, rules.objective)?;
            for (layer, gradient) in attention.iter().enumerate() {
                self.see_attention(index, layer, gradient, &mut collector)?;
            }
            self.see_hidden(index, &hidden, &mut collector)?;
            if let Some(logits) = &logits {
                let map = |target| activation(&facts, logits, target);
                let row = activation::mean(goal.targets(), facts.ids.len(), map)?;
                collector.put(index, &Method::Tam, &row);
            }
            rollouts.push(self.rollouts(goal, &collector)?);
        }
        Ok(attributions.into_iter().zip(collector.finish(rollouts)).collect())
    }

    /// The gradients of a goal's scalar at every attention `[H, S, S]` and at every layer's input `[S, D]`.
    fn gradients(&self, goal: &Goal, objective: Objective) -> Result<[Vec<Tensor>; 2], Error> {
        let points: Vec<&Tensor> = self.attention().iter().chain(self.inputs()).collect();
        let mut gradients = tch::with_grad(|| {
            guard("pulling the gradient back", || {
                Tensor::run_backward(&[self.objective(goal, objective)], &points, true, false)
            })
        })?;
        // Where a window lets nothing through to the target, autograd has no gradient to give.
        for (gradient, at) in gradients.iter_mut().zip(&points) {
            if !gradient.defined() {
                *gradient = at.detach().zeros_like();
            }
        }
        let hidden = gradients.split_off(self.attention().len());
        Ok([gradients, hidden])
    }

    /// Predicting rows and the tokens' own rows of one layer.
    fn see_attention(
        &self,
        index: usize,
        layer: usize,
        gradient: &Tensor,
        collector: &mut Collector<'_>,
    ) -> Result<(), Error> {
        let goal = collector.goal(index);
        let of_layer = &self.model().layers()[layer];
        let mask = of_layer.mask(self.layout());
        let attention = convert::volume(&self.attention()[layer]);
        let gradient = convert::volume(gradient);
        let norms = collector.wants_norms(layer).then(|| {
            let qkv = of_layer.project(&self.inputs()[layer].detach(), mask.place(0));
            convert::matrix(&self.model().value_norms(layer, &qkv.v))
        });
        for (token, target) in goal.targets().iter().enumerate() {
            if collector.wants_rows(layer) {
                let seen = visible(&attention, &mask, target.logit_row());
                let gradient = visible(&gradient, &mask, target.logit_row());
                let norms = norms.as_ref().map(|norms| seen.keys.of_tokens(0, norms));
                let own_logit = collector.wants_own_logit(layer).then(|| {
                    let gradient = convert::volume(&self.own_logit_gradient(layer, target)?);
                    Ok::<_, Error>(visible(&gradient, &mask, target.logit_row()).attention)
                });
                let gradient = &gradient.attention;
                let row = PredictingRow {
                    seen: &seen,
                    gradient,
                    norms,
                    own_logit: own_logit.transpose()?,
                };
                collector.see_row(index, layer, &row);
            }
            if collector.wants_tokens(layer) {
                let seen = visible(&attention, &mask, target.position());
                collector.see_token(index, token, layer, &seen);
            }
        }
        Ok(())
    }

    /// The gradient of a target's logit, read off the output of `layer` at its predicting row, at the attention of that layer, `[H, S, S]`.
    fn own_logit_gradient(&self, layer: usize, target: &Target) -> Result<Tensor, Error> {
        let gradients = tch::with_grad(|| {
            guard("pulling the gradient back", || {
                let row = self.output_of(layer).narrow(0, target.logit_row() as i64, 1);
                let logit = self.model().logits_of(&row, &[target.token()]).sum(Kind::Float);
                Tensor::run_backward(&[logit], &[&self.attention()[layer]], true, false)
            })
        })?;
        Ok(gradients.into_iter().next().expect("one gradient for one tensor"))
    }

    /// Hidden states with their gradient, layer by layer.
    fn see_hidden(
        &self,
        index: usize,
        gradients: &[Tensor],
        collector: &mut Collector<'_>,
    ) -> Result<(), Error> {
        let goal = collector.goal(index);
        let tokens = goal.targets().len() as f32;
        for (layer, (hidden, gradient)) in self.inputs().iter().zip(gradients).enumerate() {
            let (hidden, gradient) = (convert::matrix(hidden), convert::matrix(gradient) / tokens);
            if collector.wants_hidden(layer) {
                let images = collector.facts().images_before(goal);
                let map = grad_cam_hidden(
                    rows(&hidden, &images).view(),
                    rows(&gradient, &images).view(),
                )?;
                let mut row = Array1::zeros(self.ids().len());
                images.into_iter().flatten().zip(map).for_each(|(at, x)| row[at] = x);
                collector.put(index, &Method::GradCamHidden { layer }, &Ok(row));
            }
            if layer == 0 && collector.wants(&Method::InputGradient) {
                let row = input_gradient(hidden.view(), gradient.view())?;
                collector.put(index, &Method::InputGradient, &Ok(row));
            }
            if layer == 0 && collector.wants(&Method::MeanCell) {
                let mut row = Array1::zeros(self.ids().len());
                for image in collector.facts().images_before(goal) {
                    let [cells, gradient] =
                        [&hidden, &gradient].map(|x| x.slice(s![image.clone(), ..]));
                    row.slice_mut(s![image.clone()]).assign(&mean_cell_drop(cells, gradient)?);
                }
                collector.put(index, &Method::MeanCell, &Ok(row));
            }
        }
        Ok(())
    }

    /// The rollouts that the methods ask for.
    fn rollouts(&self, goal: &Goal, collector: &Collector<'_>) -> Result<Vec<Array1<f32>>, Error> {
        let rollout = |folding: Folding| -> Result<Array1<f32>, Error> {
            let fold = Fold::of(&folding, &self.model().dims())?;
            let mut row = Propagation::from_row(goal.start(self.ids().len()));
            for (layer, attention) in self.attention().iter().enumerate().rev() {
                if let Some(heads) = fold.at(layer) {
                    let attention = convert::volume(attention);
                    let layer = RetainedLayer::attention(attention.view())?;
                    row.step(Update::Stochastic, &mut layer.with_heads(heads)?)?;
                }
            }
            Ok(row.finish())
        };
        collector.rollouts().into_iter().map(rollout).collect()
    }
}

/// What the query at `row` sees of `[H, S, S]` values.
fn visible(values: &Array3<f32>, mask: &MaskRule, row: usize) -> AttentionRow {
    let keys = Keys::of(mask, row, values.dim().2);
    let attention = keys.columns(values.slice(s![.., row, keys.cover()]).to_owned());
    AttentionRow { keys, attention }
}

/// The rows at some positions, one below the other.
fn rows(values: &Array2<f32>, at: &[Range<usize>]) -> Array2<f32> {
    let parts: Vec<_> = at.iter().map(|at| values.slice(s![at.clone(), ..])).collect();
    let none = || Array2::zeros((0, values.ncols()));
    concatenate(Axis(0), &parts).unwrap_or_else(|_| none())
}

/// The token activation map of one token from the logits `[S, V]` of all tokens.
fn activation(facts: &Facts<'_>, logits: &Array2<f32>, target: Target) -> Result<MethodRow, Error> {
    let parts = match Parts::new(facts, target) {
        Ok(parts) => parts,
        Err(reason) => return Ok(Err(reason)),
    };
    let of = |id: u32| logits.column(id as usize).mapv(|logit| logit.max(0.0));
    let own = of(target.token());
    let mut interference = parts.on_images(&own.mapv(|_| 0.0));
    for (id, weight) in parts.weights(&own) {
        interference.scaled_add(weight, &parts.on_images(&of(id)));
    }
    Ok(Ok(parts.row(&own, &interference)?))
}
