//! The reference engine: every attention is kept in float32, and one backward pass gives all their gradients.
//!
//! It is the published method as written (Chefer, Gur and Wolf, ICCV 2021, eq. 5 and 6) and costs what it says: `L·H·S²` numbers
//! for the attention, as many for what autograd keeps, as many for the gradient.

use crate::attention::Float;
use crate::folding::Fold;
use crate::gemma::Joined;
use crate::goal::{by_target, check_foils, check_removed, check_targets, index, logit_rows};
use crate::seam::{
    Attend, Layer, MaskRule, Qkv, Sequence, SequenceLayout, Site, Trace, Watch, guard,
};
use crate::{
    Attribution, Engine, Error, Goal, LanguageModel, Objective, Rules, Score, convert, goal,
};
use attention_relevancy::ndarray::{Array1, Array2, Array3, ArrayView3};
use attention_relevancy::{
    Backward, Foils, Propagation, RetainedLayer, Target, Update, check_attention, raw_attention_row,
};
use tch::{Kind, Tensor};

/// How far the sum of an attention row may be from one: float32 rounding over the longest rows, with room to spare.
pub const ROW_SUM_TOLERANCE: f64 = 1e-4;

/// A captured forward pass over a sequence, ready to explain any of its tokens.
#[derive(Debug)]
pub struct Retained<'a, M: LanguageModel = Joined> {
    model: &'a M,
    attention: Vec<Tensor>, // L × [H, S, S], float32, part of the graph
    inputs: Vec<Tensor>,    // L × [S, D], what the layers were given, part of the graph
    hidden: Tensor,         // [S, D] after the last layer, part of the graph
    ids: Vec<u32>,
    layout: SequenceLayout,
}

impl<'a, M: LanguageModel> Retained<'a, M> {
    /// Runs the language model over `sequence` with gradients enabled and checks what was captured. Weights stay frozen: the input
    /// embeddings are the leaf of the graph. Image features are constants.
    pub fn run(model: &'a M, sequence: &Sequence) -> Result<Self, Error> {
        let mut capture = Capture::default();
        let hidden = tch::with_grad(|| {
            guard("capturing attention", || {
                let embeddings = model.embed(sequence).detach().set_requires_grad(true);
                model.run(&embeddings, sequence.layout(), &mut capture)
            })
        })?;
        let run = Self {
            model,
            attention: capture.maps,
            inputs: capture.inputs,
            hidden,
            ids: sequence.ids().to_vec(),
            layout: sequence.layout().clone(),
        };
        run.check()?;
        Ok(run)
    }

    /// The attention of each layer, `[H, S, S]` float32, first to last.
    pub fn attention(&self) -> &[Tensor] {
        &self.attention
    }
}

impl<M: LanguageModel> Engine for Retained<'_, M> {
    fn scores(&self, targets: &[Target]) -> Result<Vec<Score>, Error> {
        check_targets(targets, &self.ids, self.ids.len())?;
        goal::scores(targets, |targets| self.logits(targets))
    }

    /// The graph is kept: any number of goals may follow. Fails with [`Error::Backward`] for another rule than the gradient.
    fn explain(&self, goals: &[Goal], rules: &Rules) -> Result<Vec<Attribution>, Error> {
        match rules.backward {
            Backward::Gradient => {}
            backward @ (Backward::CpLrp | Backward::AttnLrp) => {
                return Err(Error::Backward { backward });
            }
        }
        check_foils(rules.objective, goals, self.model.vocabulary())?;
        check_removed(&rules.removed, self.ids.len())?;
        goals.iter().map(|goal| self.attribution(goal, rules)).collect()
    }
}

impl<M: LanguageModel> Retained<'_, M> {
    pub(crate) fn model(&self) -> &M {
        self.model
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Where the images of the sequence stand and where it forks.
    pub(crate) fn layout(&self) -> &SequenceLayout {
        &self.layout
    }

    /// The input of each layer `[S, D]`, part of the graph.
    pub(crate) fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// The output of a layer `[S, D]`, part of the graph.
    pub(crate) fn output_of(&self, layer: usize) -> &Tensor {
        self.inputs.get(layer + 1).unwrap_or(&self.hidden)
    }

    /// The logits of all tokens, `[S, V]`.
    pub(crate) fn all_logits(&self) -> Result<Array2<f32>, Error> {
        let _no_grad = tch::no_grad_guard();
        let logits = || convert::matrix(&self.model.logits(&self.hidden));
        Ok(guard("computing logits", logits)?)
    }

    fn attribution(&self, goal: &Goal, rules: &Rules) -> Result<Attribution, Error> {
        check_targets(goal.targets(), &self.ids, self.ids.len())?;
        let gradients = tch::with_grad(|| {
            guard("pulling the gradient back", || {
                let z = self.objective(goal, rules.objective);
                Tensor::run_backward(&[z], &self.attention, true, false)
            })
        })?;
        let fold = Fold::of(&rules.folding, &self.model.dims())?;
        let removed = goal.removable(&rules.removed);
        let start = goal.start(self.ids.len());
        let (mut relevancy, mut rollout) =
            (Propagation::from_row(start.clone()), Propagation::from_row(start.clone()));
        let mut raw_attention = None;
        for (layer, (attention, gradient)) in
            self.attention.iter().zip(&gradients).enumerate().rev()
        {
            let attention = convert::volume(attention);
            // Where a window lets nothing through to the target, autograd has no gradient to give.
            let gradient = gradient.defined().then(|| convert::volume(gradient));
            let gradient = gradient.unwrap_or_else(|| Array3::zeros(attention.dim()));
            if gradient.iter().any(|g| !g.is_finite()) {
                return Err(Error::Gradient { layer });
            }
            let (a, g) = (attention.view(), gradient.view());
            if let Some(heads) = fold.at(layer) {
                let fused = RetainedLayer::gradient_weighted(a, g)?;
                relevancy.step(rules.update, &mut fused.with_heads(heads)?)?;
                relevancy.clear(removed.iter().copied());
            }
            rollout.step(Update::Stochastic, &mut RetainedLayer::attention(a)?)?;
            if raw_attention.is_none() {
                raw_attention = Some(mean_rows(a, goal)?);
            }
        }
        Ok(Attribution {
            relevancy: relevancy.finish(),
            raw_attention: raw_attention.unwrap_or(start),
            rollout: rollout.finish(),
        })
    }

    /// Checks that what the hook saw is attention: every layer, the right shape, rows of probabilities.
    fn check(&self) -> Result<(), Error> {
        let (layers, tokens) = (self.model.layers(), self.ids.len());
        if self.attention.len() != layers.len() {
            return Err(Error::Layers { expected: layers.len(), found: self.attention.len() });
        }
        for (layer, attention) in self.attention.iter().enumerate() {
            let expected = [layers[layer].dims().heads, tokens, tokens];
            if attention.size() != expected.map(|n| n as i64) {
                return Err(Error::Shape { layer, expected, found: attention.size() });
            }
            check_attention(convert::volume(attention).view(), ROW_SUM_TOLERANCE)
                .map_err(|source| Error::Attention { layer, source })?;
        }
        Ok(())
    }

    /// Logits in float32, `[targets, V]`: the row before each target.
    fn logits(&self, targets: &[Target]) -> Tensor {
        let rows = logit_rows(targets, self.hidden.device());
        self.model.logits(&self.hidden.index_select(0, &rows)).to_kind(Kind::Float)
    }

    /// The scalar that is explained.
    pub(crate) fn objective(&self, goal: &Goal, objective: Objective) -> Tensor {
        let predicting = goal.predicting();
        let device = self.hidden.device();
        let tokens: Vec<u32> = goal.targets().iter().map(|target| target.token()).collect();
        // In float32 before a row is taken for several targets: autograd adds up their gradients there.
        let rows = self.hidden.index_select(0, &index(&predicting.rows, device));
        let logits = self.model.logits(&rows).to_kind(Kind::Float);
        let logits = logits.index_select(0, &index(&predicting.of_target, device)); // [targets, V]
        let named: Vec<Option<Foils>> = goal.foils().map(Option::<&Foils>::cloned).collect();
        let by_target = by_target(objective, &logits, (&tokens, &named));
        let signs = Tensor::from_slice(&predicting.signs).to_device(device);
        (by_target * signs).sum(Kind::Float)
    }
}

/// Attention in float32 with every map kept, and every layer's input.
#[derive(Default)]
struct Capture {
    maps: Vec<Tensor>,
    inputs: Vec<Tensor>,
}

impl Attend for Capture {
    fn attend(&mut self, _: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        let (all, float) = (0..qkv.tokens(), Float::new(qkv));
        let attention = float.attention(&all, &all, mask); // [H, S, S]
        let [n_heads, n, d] = <[i64; 3]>::try_from(qkv.q.size()).expect("queries are [H, S, d]");
        let grouped = attention.view([-1, float.group() * n, n]); // [K, G·S, S]
        let heads = grouped.bmm(&float.v).view([n_heads, n, d]).to_kind(qkv.v.kind());
        self.maps.push(attention);
        heads
    }
}

impl<T: Trace> Watch<T> for Capture {
    fn layer_done(&mut self, _: Site, trace: T) {
        self.inputs.push(trace.input().shallow_clone());
    }
}

/// Head mean of one layer's attention at the predicting positions, their mean.
fn mean_rows(
    attention: ArrayView3<'_, f32>,
    goal: &Goal,
) -> Result<Array1<f32>, attention_relevancy::Error> {
    let mut mean = Array1::zeros(attention.dim().1);
    for target in goal.targets() {
        mean += &(raw_attention_row(attention, target.logit_row())? / goal.targets().len() as f32);
    }
    Ok(mean)
}
