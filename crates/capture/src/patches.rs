//! From the tokens of one picture down to its patches and pixels: the sweep of [`Streaming`](crate::Streaming) goes on through
//! projector and vision tower.
//!
//! A token's relevancy is spread over the patches that its mean was taken of, and the row over patches is pulled back through the
//! layers of the vision tower, `r ← r·(I + Ā)`, with the gradient of the same scalar. No P×P value exists.
//!
//! The tower is any [`PictureTower`] of a [`PictureModel`].
//!
//! Symbols: T goals, t tokens of the picture, P patches, D hidden width of the language model, W that of the vision tower.

mod states;
mod witness;

use crate::budget::PatchCut;
use crate::gemma::Joined;
use crate::model::{TowerLayer, patch_mask};
use crate::rules::pull_rule;
use crate::seam::{AttentionLayer, Layer, PullRule, guard};
use crate::streaming::finite;
use crate::sweep::{self, Folds, Pass, PatchPass, RowFold, Rows, Setting};
use crate::{Error, ImagePart, PictureModel, PictureTower, SweepOptions, convert};
use attention_relevancy::ndarray::{Array2, ArrayView1};
use attention_relevancy::{Backward, HeadFusion, PatchMap, Update, unpool};
pub use states::PatchStates;
use states::check_picture;
use tch::{Kind, Tensor};
pub use witness::witness_patches;

const FLOAT: Kind = Kind::Float;

/// How the relevancy of a token is spread over the k×k patches that its mean was taken of. Either way the patches sum to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// `r_q = r_t / k²`.
    Even,
    /// `r_q = r_t · relu(x_q·∂z/∂x_q) / Σ_q' relu(x_q'·∂z/∂x_q')`, x the patch feature after the last norm; evenly where the sum
    /// is 0. A mean is attention with the weight 1/k², whose gradient is k² times that product: so it is the rule of the layers.
    #[default]
    GradientActivation,
}

/// How a picture is explained.
#[derive(Clone, Debug, Default)]
pub struct PatchOptions {
    /// From tokens to patches.
    pub spread: Spread,
    /// Through the layers of the vision tower.
    pub update: Update,
    /// How the sweep goes back through what is not linear: by the rule that the gradients at the tokens were made by
    /// ([`Rules::backward`](crate::Rules)). By another than the gradient every layer is done by plain products of libtorch.
    pub backward: Backward,
    /// Whether the gradient is pulled back to the pixels, too.
    pub pixels: bool,
    /// Memory beside the model, with what is kept of the vision tower in it, and a flag to stop.
    pub sweep: SweepOptions,
}

/// The sweep over the patches of one picture.
#[derive(Debug)]
pub struct Patches<'a, M: PictureModel = Joined> {
    model: &'a M,
    picture: &'a Tensor,
    states: Option<&'a PatchStates<M>>,
    options: PatchOptions,
}

impl<'a, M: PictureModel> Patches<'a, M> {
    /// `picture` has the shape that [`PictureTower::picture`] tells, float32; for Gemma3 [`gemma3_tch::Gemma3::picture`] gives it.
    pub fn new(model: &'a M, picture: &'a Tensor, options: PatchOptions) -> Self {
        Self { model, picture, states: None, options }
    }

    /// The same sweep over what was kept of a run over this very picture; without it, there is one run more. The budget is for what
    /// comes on top of it.
    #[must_use]
    pub fn over(mut self, states: &'a PatchStates<M>) -> Self {
        self.states = Some(states);
        self
    }

    /// The least [`SweepOptions::memory_budget`] for such a sweep, over states that are kept or not; less is [`Error::Budget`].
    ///
    /// # Errors
    /// Those of [`PictureModel::tower`]: a model that sees no pictures.
    pub fn least_budget(
        model: &M,
        update: Update,
        backward: Backward,
        is_kept: bool,
    ) -> Result<u64, Error> {
        Ok(PatchCut::least(model.tower()?, pass(update, backward), is_kept))
    }

    /// Why a GPU that should have a kernel for such a sweep does without it: the maps are the same, but take longer. `None` where there is
    /// nothing to tell.
    pub fn missing_kernel(model: &M, update: Update, backward: Backward) -> Option<String> {
        let tower = model.tower().ok()?;
        let pass = pass(update, backward);
        let missing = |layer| sweep::missing(&Setting::vision(tower, layer, pass));
        tower.layers().iter().find_map(missing)
    }

    /// Explains each goal from what it left at the tokens of the picture ([`ImageRecorder`](crate::ImageRecorder)): one sweep for as
    /// many goals as fit into memory.
    ///
    /// # Errors
    /// Those of [`PictureModel::tower`]; [`Error::Picture`], [`Error::PatchStates`] and [`Error::ImagePart`] for what is of another model;
    /// [`Error::Budget`], [`Error::Cancelled`], [`Error::VisionGradient`]; and what libtorch fails with.
    pub fn explain(&self, parts: &[ImagePart]) -> Result<Vec<PatchMap>, Error> {
        let tower = self.model.tower()?;
        self.check(tower, parts)?;
        let _no_grad = tch::no_grad_guard();
        let kept = self.states.map(PatchStates::keep);
        let budget = self.options.sweep.memory_budget;
        let pass = pass(self.options.update, self.options.backward);
        let cut = PatchCut::new(tower, pass, parts.len(), kept, budget)?;
        let made;
        let states = if let Some(states) = self.states {
            states
        } else {
            made = PatchStates::record(self.model, self.picture, cut.keep, || self.cancelled())?;
            &made
        };
        let mut maps = Vec::new();
        for parts in parts.chunks(cut.goals) {
            let sweep = Sweep { engine: self, tower, states, parts, pass, block: cut.rows };
            maps.extend(guard("sweeping back through the vision tower", || sweep.run())??);
        }
        Ok(maps)
    }

    fn check(&self, tower: &M::Tower, parts: &[ImagePart]) -> Result<(), Error> {
        check_picture(tower, self.picture)?;
        self.states.map_or(Ok(()), |states| states.check(tower))?;
        let expected = [tower.tokens().into_iter().product(), self.model.width()];
        let fits = |part: &ImagePart| {
            part.relevancy.len() == expected[0]
                && part.gradient.size() == expected.map(|n| n as i64)
        };
        parts.iter().position(|part| !fits(part)).map_or(Ok(()), |index| {
            let (relevancy, gradient) =
                (parts[index].relevancy.len(), parts[index].gradient.size());
            Err(Error::ImagePart { index, expected, relevancy, gradient })
        })
    }

    fn cancelled(&self) -> Result<(), Error> {
        if self.options.sweep.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// One sweep for some goals.
struct Sweep<'a, M: PictureModel> {
    engine: &'a Patches<'a, M>,
    tower: &'a M::Tower,
    states: &'a PatchStates<M>,
    parts: &'a [ImagePart],
    pass: PatchPass,
    block: usize,
}

impl<M: PictureModel> Sweep<'_, M> {
    fn run(&self) -> Result<Vec<PatchMap>, Error> {
        let dfeatures = self.start(); // [T, P, W]
        let mut dy = self.tower.pull_features(&self.states.last, &dfeatures, self.rule());
        let layers = self.tower.layers();
        if !finite([&dy]) {
            return Err(Error::VisionGradient { layer: layers.len().saturating_sub(1) });
        }
        let unpooled = self.unpool(&dfeatures)?;
        drop(dfeatures);
        let mut rows = self.rows(&unpooled);
        for layer in layers.iter().rev() {
            self.engine.cancelled()?;
            (dy, rows) = self.step(layer, &dy, &rows);
            if !finite([&dy, &rows.relevancy]) {
                return Err(Error::VisionGradient { layer: layer.site().layer });
            }
        }
        let pixels = self.engine.options.pixels.then(|| self.pixels(&dy)); // [T, rows, columns]
        let patches = convert::matrix(&rows.relevancy);
        let map = |(goal, unpooled): (usize, Array2<f32>)| {
            PatchMap::new(unpooled, grid(patches.row(goal), self.tower.patches())).with_pixels(
                pixels.as_ref().map(|pixels| convert::matrix(&pixels.get(goal as i64))),
            )
        };
        Ok(unpooled.into_iter().enumerate().map(map).collect())
    }

    /// The gradient of each goal at the patch features, `[T, P, W]`.
    fn start(&self) -> Tensor {
        let device = self.tower.placement().device;
        let gradients: Vec<Tensor> =
            self.parts.iter().map(|part| part.gradient.to_device(device).to_kind(FLOAT)).collect();
        let features = self.tower.features(&self.states.last);
        self.tower.pull_project(&features, &Tensor::stack(&gradients, 0), self.rule())
    }

    /// What is asked of the layers.
    fn rule(&self) -> PullRule {
        pull_rule(self.pass.backward)
    }

    /// The relevancy of each goal's tokens, spread over the patches, a grid of them.
    fn unpool(&self, dfeatures: &Tensor) -> Result<Vec<Array2<f32>>, Error> {
        let features = self.tower.features(&self.states.last);
        let (patches, tokens) = (self.tower.patches(), self.tower.tokens());
        let spread = |(goal, part): (usize, &ImagePart)| {
            let scores = match self.engine.options.spread {
                Spread::Even => features.select(1, 0).zeros_like(),
                Spread::GradientActivation => scores(&features, &dfeatures.get(goal as i64)),
            };
            let scores = convert::matrix(&scores.unsqueeze(0));
            let relevancy = grid(part.relevancy.view(), tokens);
            Ok(unpool(relevancy.view(), grid(scores.row(0), patches).view())?)
        };
        self.parts.iter().enumerate().map(spread).collect()
    }

    /// The rows that the sweep starts with; none is rolled out.
    fn rows(&self, unpooled: &[Array2<f32>]) -> Rows {
        let device = self.tower.placement().device;
        let values: Vec<f32> = unpooled.iter().flatten().copied().collect();
        let relevancy = Tensor::from_slice(&values).view([unpooled.len() as i64, -1]);
        let relevancy = relevancy.to_device(device);
        Rows { relevancy, rollouts: Vec::new() }
    }

    /// One layer down: the gradient at its input, and the rows.
    fn step(&self, layer: &TowerLayer<M>, dy: &Tensor, rows: &Rows) -> (Tensor, Rows) {
        let trace = self.states.trace(layer);
        let merged = layer.pull_merge(&trace, dy, self.rule());
        let mask = patch_mask(layer);
        let qkv = layer.qkv(&trace, mask.place(0));
        let swept = Pass {
            qkv: &qkv,
            mask: &mask,
            queries: 0..qkv.tokens(),
            dheads: &merged.heads,
            backward: self.pass.backward,
            folds: Folds { relevancy: Some(self.pass.fold), rollouts: Vec::new() },
            block: self.block,
        }
        .run(rows);
        let (place, rule) = (mask.place(0), self.rule());
        let dx = layer.pull_project(&trace, place, &swept.gradient, rule).g_add_(&merged.x);
        (dx, swept.rows)
    }

    /// Gradient × input at the pixels, channels summed, `[T, rows, columns]`; `dy` is the gradient at the first layer's input.
    fn pixels(&self, dy: &Tensor) -> Tensor {
        let dpixels = self.tower.pull_embed(self.engine.picture, dy, self.rule()); // [T, channels, rows, columns]
        (dpixels * self.engine.picture).sum_dim_intlist(1, false, FLOAT)
    }
}

/// The passes over the vision tower: every layer is folded by the mean of its heads.
fn pass(update: Update, backward: Backward) -> PatchPass {
    PatchPass { fold: RowFold::new(update, HeadFusion::Mean), backward }
}

/// Gradient × activation of each patch `[P]`: `x·∂z/∂x`. The terms nearly cancel in many patches, and shares magnify what rounding
/// leaves then: sums are double, some patches at a time.
fn scores(features: &Tensor, dfeatures: &Tensor) -> Tensor {
    const ROWS: i64 = 256;
    let pairs = features.split(ROWS, 0).into_iter().zip(dfeatures.split(ROWS, 0));
    let of = |(x, dx): (Tensor, Tensor)| {
        (x.to_kind(Kind::Double) * dx.to_kind(Kind::Double)).sum_dim_intlist(
            -1,
            false,
            Kind::Double,
        )
    };
    Tensor::cat(&pairs.map(of).collect::<Vec<_>>(), 0)
}

/// Cells row by row as their grid of so many rows and columns.
fn grid(cells: ArrayView1<'_, f32>, shape: [usize; 2]) -> Array2<f32> {
    cells.to_owned().into_shape_with_order(shape).expect("tokens and patches fill their grids")
}
