//! Rows of all methods, gathered while an engine goes through its layers.

use super::plan;
use crate::folding::Fold;
use crate::readout::{AttentionRow, Keys};
use crate::seam::{Dims, SequenceLayout};
use crate::{Error, Goal};
use attention_relevancy::ndarray::{Array1, Array2, s};
use attention_relevancy::{
    Folding, HeadWeights, Method, MethodRow, Pool, Unavailable, dex_ar_row, grad_cam_attention_row,
    gradient_attention_row, gradient_weighted_row, legrad_row, value_norm_row,
};
use std::ops::Range;

/// What is known of the run that is explained.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Layers L of the model.
    pub(crate) layers: usize,
    pub(crate) ids: &'a [u32],
    pub(crate) layout: &'a SequenceLayout,
    /// Tokens that the model read: all, or all but the last of an answer.
    pub(crate) read: usize,
}

/// What is known of a predicting row in one layer.
pub(crate) struct PredictingRow<'a> {
    /// Its keys, n of them, and its attention.
    pub(crate) seen: &'a AttentionRow,
    /// `∂z/∂A`, `[H, n]`.
    pub(crate) gradient: &'a Array2<f32>,
    /// `‖W_O·V‖` of the keys, `[H, n]`, where [`Collector::wants_norms`].
    pub(crate) norms: Option<Array2<f32>>,
    /// `∂s/∂A`, `[H, n]`, s the logit of the explained token read off the output of this layer, where [`Collector::wants_own_logit`].
    pub(crate) own_logit: Option<Array2<f32>>,
}

/// The rows of every method for every goal.
pub(crate) struct Collector<'a> {
    facts: Facts<'a>,
    goals: &'a [Goal],
    methods: Vec<Planned<'a>>,
    /// By goal and method.
    slots: Vec<Vec<Slot>>,
}

struct Planned<'a> {
    method: &'a Method,
    fold: Option<Fold>,
}

struct Slot {
    row: MethodRow,
    /// A row for each token where they are pooled one by one.
    by_token: Vec<Array1<f32>>,
}

impl<'a> Collector<'a> {
    /// For a model with layers of these sizes.
    pub(crate) fn new(
        facts: Facts<'a>,
        dims: &[Dims],
        goals: &'a [Goal],
        methods: &'a [Method],
    ) -> Result<Self, Error> {
        let plan = |method| Ok(Planned { method, fold: plan(method, dims)? });
        let methods = methods.iter().map(plan).collect::<Result<Vec<_>, Error>>()?;
        let slot = |goal, planned: &Planned<'_>| Slot::new(&facts, goal, planned);
        let slots =
            goals.iter().map(|goal| methods.iter().map(|method| slot(goal, method)).collect());
        Ok(Self { slots: slots.collect(), facts, goals, methods })
    }

    pub(crate) fn facts(&self) -> &Facts<'a> {
        &self.facts
    }

    /// The goals in order, with their index.
    pub(crate) fn goals(&self) -> impl Iterator<Item = (usize, &'a Goal)> + use<'a> {
        self.goals.iter().enumerate()
    }

    pub(crate) fn goal(&self, index: usize) -> &'a Goal {
        &self.goals[index]
    }

    /// Bytes that the rows take at the most: one for each method and goal and, where tokens are pooled one by one, for each token.
    pub(crate) fn bytes(&self) -> u64 {
        let rows: usize = self.goals.iter().map(|goal| 1 + goal.targets().len()).sum();
        (rows * self.methods.len() * self.facts.ids.len() * size_of::<f32>()) as u64
    }

    /// The rollouts that the methods ask for, in order.
    pub(crate) fn rollouts(&self) -> Vec<Folding> {
        self.methods.iter().filter_map(Planned::rollout).collect()
    }

    /// Whether a method reads the predicting rows of `layer`.
    pub(crate) fn wants_rows(&self, layer: usize) -> bool {
        self.methods.iter().any(|planned| match planned.method {
            Method::RawAttention { .. }
            | Method::ValueNorm { .. }
            | Method::GradientAttention { .. }
            | Method::LeGrad { .. }
            | Method::DexAr { .. } => planned.folds(layer),
            Method::GradCamAttention { layer: chosen } => *chosen == layer,
            Method::Rollout { .. }
            | Method::TokenAttention { .. }
            | Method::ObjectAttention { .. }
            | Method::GradCamHidden { .. }
            | Method::InputGradient
            | Method::MeanCell
            | Method::Tam => false,
        })
    }

    /// Whether a method weighs what the predicting rows of `layer` see by the length of its values.
    pub(crate) fn wants_norms(&self, layer: usize) -> bool {
        self.methods.iter().any(|planned| {
            matches!(planned.method, Method::ValueNorm { .. }) && planned.folds(layer)
        })
    }

    /// Whether a method asks for the gradient of the logit that is read off the output of `layer` itself.
    pub(crate) fn wants_own_logit(&self, layer: usize) -> bool {
        self.methods.iter().any(|planned| {
            let reads_it = matches!(planned.method, Method::LeGrad { .. } | Method::DexAr { .. });
            reads_it && planned.folds(layer)
        })
    }

    /// Whether a method reads the rows of the explained tokens themselves in `layer`.
    pub(crate) fn wants_tokens(&self, layer: usize) -> bool {
        self.methods.iter().any(|planned| planned.reads_token().is_some() && planned.folds(layer))
    }

    /// Whether a method asks for the hidden states before `layer` and their gradient.
    pub(crate) fn wants_hidden(&self, layer: usize) -> bool {
        self.wants(&Method::GradCamHidden { layer })
    }

    pub(crate) fn wants(&self, method: &Method) -> bool {
        self.methods.iter().any(|planned| planned.method == method)
    }

    /// Takes in one predicting row of a goal in `layer`.
    pub(crate) fn see_row(&mut self, goal: usize, layer: usize, row: &PredictingRow<'_>) {
        let targets = self.goals[goal].targets().len();
        for (planned, slot) in self.methods.iter().zip(&mut self.slots[goal]) {
            if let Some(values) = planned.of_row(layer, row, self.facts.layout.images()) {
                let weight = 1.0 / (targets * planned.layers()) as f32;
                slot.sight(self.facts.ids.len());
                slot.add(weight, &row.seen.keys, &values);
            }
        }
    }

    /// Takes in the row of a goal's token with that index in `layer`.
    pub(crate) fn see_token(
        &mut self,
        goal: usize,
        token: usize,
        layer: usize,
        seen: &AttentionRow,
    ) {
        let targets = self.goals[goal].targets().len();
        for (planned, slot) in self.methods.iter().zip(&mut self.slots[goal]) {
            let Some(heads) = planned.fold.as_ref().and_then(|fold| fold.at(layer)) else {
                continue;
            };
            let Some((pooled, over)) = planned.reads_token() else { continue };
            let row = heads.fuse(seen.attention.view()).expect("heads were checked");
            let (t, l) = (targets as f32, planned.layers() as f32);
            match (over, pooled) {
                (Pool::Max, Tokens::OneByOne) => slot.larger_of_token(token, &seen.keys, &row),
                (Pool::Max, Tokens::Together) => slot.larger(&seen.keys, &row),
                (Pool::Sum, Tokens::OneByOne) => slot.add(1.0 / t, &seen.keys, &row),
                (Pool::Sum, Tokens::Together) => slot.add(1.0, &seen.keys, &row),
                (Pool::Mean, _) => slot.add(1.0 / (t * l), &seen.keys, &row),
            }
        }
    }

    /// Takes in what an engine made for `method` on its own: the row of a goal.
    pub(crate) fn put(&mut self, goal: usize, method: &Method, row: &MethodRow) {
        for (planned, slot) in self.methods.iter().zip(&mut self.slots[goal]) {
            if planned.method == method && slot.row.is_ok() {
                slot.row.clone_from(row);
            }
        }
    }

    /// The rows by goal and method; `rollouts` are those of [`Self::rollouts`] for each goal.
    pub(crate) fn finish(self, rollouts: Vec<Vec<Array1<f32>>>) -> Vec<Vec<MethodRow>> {
        let methods = &self.methods;
        let of_goal = |(slots, rollouts): (Vec<Slot>, Vec<Array1<f32>>)| {
            let mut rollouts = rollouts.into_iter();
            let finish = |(slot, planned): (Slot, &Planned<'_>)| match planned.rollout() {
                Some(_) => Ok(rollouts.next().expect("one for each that was asked")),
                None => slot.finish(),
            };
            slots.into_iter().zip(methods).map(finish).collect()
        };
        self.slots.into_iter().zip(rollouts).map(of_goal).collect()
    }
}

impl Facts<'_> {
    /// Image tokens before the explained ones: the parts of images that predicting rows of the goal may see.
    pub(crate) fn images_before(&self, goal: &Goal) -> Vec<Range<usize>> {
        let clipped =
            self.layout.images().iter().map(|image| image.start..image.end.min(goal.end()));
        clipped.filter(|image| !image.is_empty()).collect()
    }
}

/// How the rows of several tokens are pooled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// Each over its layers, and their mean is taken.
    OneByOne,
    /// With those of the layers.
    Together,
}

impl Planned<'_> {
    /// How it folds attention, where it is a rollout.
    fn rollout(&self) -> Option<Folding> {
        match self.method {
            Method::Rollout { heads, layers } => {
                Some(Folding::default().with_heads(*heads).with_layers(layers.clone()))
            }
            Method::RawAttention { .. }
            | Method::ValueNorm { .. }
            | Method::TokenAttention { .. }
            | Method::ObjectAttention { .. }
            | Method::GradientAttention { .. }
            | Method::LeGrad { .. }
            | Method::DexAr { .. }
            | Method::GradCamAttention { .. }
            | Method::GradCamHidden { .. }
            | Method::InputGradient
            | Method::MeanCell
            | Method::Tam => None,
        }
    }

    /// How it pools the rows of the explained tokens themselves, where it reads them.
    fn reads_token(&self) -> Option<(Tokens, Pool)> {
        match self.method {
            Method::TokenAttention { over, .. } => Some((Tokens::OneByOne, *over)),
            Method::ObjectAttention { over, .. } => Some((Tokens::Together, *over)),
            Method::Rollout { .. }
            | Method::RawAttention { .. }
            | Method::ValueNorm { .. }
            | Method::GradientAttention { .. }
            | Method::LeGrad { .. }
            | Method::DexAr { .. }
            | Method::GradCamAttention { .. }
            | Method::GradCamHidden { .. }
            | Method::InputGradient
            | Method::MeanCell
            | Method::Tam => None,
        }
    }

    /// Why nothing is known of a goal before any layer was seen; `unread` is the first of its tokens that the model did not read.
    fn unavailable(
        &self,
        unread: Option<usize>,
        facts: &Facts<'_>,
        goal: &Goal,
    ) -> Option<Unavailable> {
        let no_image = || facts.images_before(goal).is_empty();
        let layers = facts.layers;
        match *self.method {
            Method::TokenAttention { .. } | Method::ObjectAttention { .. } => {
                unread.map(|position| Unavailable::NotRead { position })
            }
            Method::GradCamAttention { .. }
            | Method::GradCamHidden { .. }
            | Method::MeanCell
            | Method::DexAr { .. }
                if no_image() =>
            {
                Some(Unavailable::NoImage)
            }
            // Until a row that sees the image comes along.
            Method::GradCamAttention { layer } => Some(Unavailable::OutOfSight { layer }),
            Method::DexAr { .. } => Some(Unavailable::OutOfSightEverywhere),
            Method::GradCamHidden { layer } => {
                (layer == layers).then_some(Unavailable::LastOutput { layers })
            }
            Method::Rollout { .. }
            | Method::RawAttention { .. }
            | Method::ValueNorm { .. }
            | Method::GradientAttention { .. }
            | Method::LeGrad { .. }
            | Method::InputGradient
            | Method::MeanCell
            | Method::Tam => None,
        }
    }

    fn folds(&self, layer: usize) -> bool {
        self.fold.as_ref().is_some_and(|fold| fold.at(layer).is_some())
    }

    /// How many layers the method takes the mean of.
    fn layers(&self) -> usize {
        self.fold.as_ref().map_or(1, Fold::count)
    }

    /// What the method makes of a predicting row in one layer, `[keys]`.
    fn of_row(
        &self,
        layer: usize,
        PredictingRow { seen, gradient, norms, own_logit }: &PredictingRow<'_>,
        images: &[Range<usize>],
    ) -> Option<Array1<f32>> {
        let (attention, gradient) = (seen.attention.view(), gradient.view());
        let heads = self.fold.as_ref().and_then(|fold| fold.at(layer));
        let row = match self.method {
            Method::RawAttention { heads: HeadWeights::Fused(_), .. } => heads?.fuse(attention),
            Method::RawAttention { heads: HeadWeights::Gradient, .. } => {
                heads?;
                gradient_weighted_row(attention, gradient)
            }
            Method::ValueNorm { .. } => {
                let heads = heads?;
                let norms = norms.as_ref().expect("norms were asked for");
                value_norm_row(attention, norms.view(), heads)
            }
            Method::GradientAttention { .. } => gradient_attention_row(attention, gradient, heads?),
            Method::LeGrad { .. } => {
                let heads = heads?;
                let gradient = own_logit.as_ref().expect("the gradient of its logit was asked for");
                legrad_row(gradient.view(), heads)
            }
            Method::DexAr { .. } => {
                heads?;
                let image = within(images, &seen.keys);
                if image.is_empty() {
                    return None;
                }
                let gradient = own_logit.as_ref().expect("the gradient of its logit was asked for");
                dex_ar_row(gradient.view(), &image)
            }
            Method::GradCamAttention { layer: chosen } => {
                let image = within(images, &seen.keys);
                if *chosen != layer || image.is_empty() {
                    return None;
                }
                grad_cam_attention_row(attention, gradient, &image)
            }
            Method::Rollout { .. }
            | Method::TokenAttention { .. }
            | Method::ObjectAttention { .. }
            | Method::GradCamHidden { .. }
            | Method::InputGradient
            | Method::MeanCell
            | Method::Tam => return None,
        };
        Some(row.expect("attention and gradient are of one row, and heads were checked"))
    }
}

/// The columns of a row that stand for images.
fn within(images: &[Range<usize>], keys: &Keys) -> Vec<Range<usize>> {
    let clip = |image: &Range<usize>, positions: &Range<usize>, columns: &Range<usize>| {
        let (start, end) = (image.start.max(positions.start), image.end.min(positions.end));
        let column = |position| columns.start + (position - positions.start);
        (start < end).then(|| column(start)..column(end))
    };
    let of_run = |(positions, columns): (Range<usize>, Range<usize>)| {
        images.iter().filter_map(move |image| clip(image, &positions, &columns))
    };
    keys.runs().flat_map(of_run).collect()
}

impl Slot {
    fn new(facts: &Facts<'_>, goal: &Goal, planned: &Planned<'_>) -> Self {
        let zeros = || Array1::zeros(facts.ids.len());
        let unread = goal.targets().iter().map(|target| target.position());
        let unread = unread.filter(|&position| facts.read <= position).min();
        let row = planned.unavailable(unread, facts, goal).map_or_else(|| Ok(zeros()), Err);
        let by_token = planned.reads_token() == Some((Tokens::OneByOne, Pool::Max)) && row.is_ok();
        let tokens = if by_token { goal.targets().len() } else { 0 };
        Self { row, by_token: vec![zeros(); tokens] }
    }

    /// A row sees the image.
    fn sight(&mut self, tokens: usize) {
        if let Err(Unavailable::OutOfSight { .. } | Unavailable::OutOfSightEverywhere) = self.row {
            self.row = Ok(Array1::zeros(tokens));
        }
    }

    fn add(&mut self, weight: f32, keys: &Keys, values: &Array1<f32>) {
        if let Ok(row) = &mut self.row {
            for (positions, columns) in keys.runs() {
                row.slice_mut(s![positions]).scaled_add(weight, &values.slice(s![columns]));
            }
        }
    }

    fn larger(&mut self, keys: &Keys, values: &Array1<f32>) {
        if let Ok(row) = &mut self.row {
            raise(row, keys, values);
        }
    }

    fn larger_of_token(&mut self, token: usize, keys: &Keys, values: &Array1<f32>) {
        if let Some(row) = self.by_token.get_mut(token) {
            raise(row, keys, values);
        }
    }

    fn finish(self) -> MethodRow {
        let mut row = self.row?;
        for token in &self.by_token {
            row.scaled_add(1.0 / self.by_token.len() as f32, token);
        }
        Ok(row)
    }
}

/// The larger of each value of a row and the new one; attention is not negative, so zero is where nothing was seen.
fn raise(row: &mut Array1<f32>, keys: &Keys, values: &Array1<f32>) {
    for (positions, columns) in keys.runs() {
        row.slice_mut(s![positions])
            .zip_mut_with(&values.slice(s![columns]), |x, &y| *x = x.max(y));
    }
}
