//! From the tokens of one picture down to its patches and pixels: the sweep of [`Streaming`](crate::Streaming) goes on through
//! projector and vision tower.
//!
//! A token's relevancy is spread over the patches that its mean was taken of, and the row over patches is pulled back through the
//! layers of the vision tower, `r ← r·(I + Ā)`, with the gradient of the same scalar. No P×P value exists.
//!
//! Symbols: T goals, t tokens of the picture, P patches (side g), D hidden width of the vision tower, s pixels of the picture's side.

mod states;
mod witness;

use crate::budget::PatchCut;
use crate::streaming::finite;
use crate::sweep::{self, Folds, Pass, RowFold, Rows, Setting};
use crate::{Error, ImagePart, SweepOptions, convert};
use attention_relevancy::ndarray::{Array2, ArrayView1};
use attention_relevancy::{HeadFusion, PatchMap, Update, unpool};
use gemma3_tch::{AttentionLayer, EncoderLayer, Gemma3, MaskRule, guard};
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
    /// Whether the gradient is pulled back to the pixels, too.
    pub pixels: bool,
    /// Memory beside the model, with what is kept of the vision tower in it, and a flag to stop.
    pub sweep: SweepOptions,
}

/// The sweep over the patches of one picture.
#[derive(Debug)]
pub struct Patches<'a> {
    model: &'a Gemma3,
    picture: &'a Tensor,
    states: Option<&'a PatchStates>,
    options: PatchOptions,
}

impl<'a> Patches<'a> {
    /// `picture` is `[3, s, s]` float32, as [`Gemma3::picture`] gives it.
    pub fn new(model: &'a Gemma3, picture: &'a Tensor, options: PatchOptions) -> Self {
        Self { model, picture, states: None, options }
    }

    /// The same sweep over what was kept of a run over this very picture; without it, there is one run more. The budget is for what
    /// comes on top of it.
    #[must_use]
    pub fn over(mut self, states: &'a PatchStates) -> Self {
        self.states = Some(states);
        self
    }

    /// The least [`SweepOptions::memory_budget`] for such a sweep, over states that are kept or not; less is [`Error::Budget`].
    pub fn least_budget(model: &Gemma3, update: Update, is_kept: bool) -> u64 {
        PatchCut::least(&model.config().vision, &Self::setting(model, update), is_kept)
    }

    /// Why a GPU that should have a kernel for such a sweep does without it: the maps are the same, but take longer. `None` where there is
    /// nothing to tell.
    pub fn missing_kernel(model: &Gemma3, update: Update) -> Option<String> {
        sweep::missing(&Self::setting(model, update))
    }

    /// Explains each goal from what it left at the tokens of the picture ([`ImageRecorder`](crate::ImageRecorder)): one sweep for as
    /// many goals as fit into memory.
    pub fn explain(&self, parts: &[ImagePart]) -> Result<Vec<PatchMap>, Error> {
        self.check(parts)?;
        let _no_grad = tch::no_grad_guard();
        let config = &self.model.config().vision;
        let kept = self.states.map(PatchStates::keep);
        let budget = self.options.sweep.memory_budget;
        let setting = Self::setting(self.model, self.options.update);
        let cut = PatchCut::new(config, &setting, parts.len(), kept, budget)?;
        let made;
        let states = if let Some(states) = self.states {
            states
        } else {
            made = PatchStates::record(self.model, self.picture, cut.keep, || self.cancelled())?;
            &made
        };
        let mut maps = Vec::new();
        for parts in parts.chunks(cut.goals) {
            let sweep = Sweep { engine: self, states, parts, block: cut.rows };
            maps.extend(guard("sweeping back through the vision tower", || sweep.run())??);
        }
        Ok(maps)
    }

    /// What kind of passes the sweep has.
    fn setting(model: &Gemma3, update: Update) -> Setting {
        Setting::vision(&model.config().vision, model.placement(), fold(update))
    }

    fn check(&self, parts: &[ImagePart]) -> Result<(), Error> {
        check_picture(self.model, self.picture)?;
        self.states.map_or(Ok(()), |states| states.check(self.model))?;
        let config = self.model.config();
        let expected = [config.mm_tokens_per_image, config.text.hidden_size];
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
struct Sweep<'a> {
    engine: &'a Patches<'a>,
    states: &'a PatchStates,
    parts: &'a [ImagePart],
    block: usize,
}

impl Sweep<'_> {
    fn run(&self) -> Result<Vec<PatchMap>, Error> {
        let vision = self.engine.model.vision();
        let dfeatures = self.start(); // [T, P, D]
        let mut dy = vision.pull_features(&self.states.last, &dfeatures);
        if !finite([&dy]) {
            return Err(Error::VisionGradient { layer: vision.layers().len().saturating_sub(1) });
        }
        let unpooled = self.unpool(&dfeatures)?;
        drop(dfeatures);
        let mut rows = self.rows(&unpooled);
        for layer in vision.layers().iter().rev() {
            self.engine.cancelled()?;
            (dy, rows) = self.step(layer, &dy, &rows);
            if !finite([&dy, &rows.relevancy]) {
                return Err(Error::VisionGradient { layer: layer.site().layer });
            }
        }
        let pixels = self.engine.options.pixels.then(|| self.pixels(&dy)); // [T, s, s]
        let patches = convert::matrix(&rows.relevancy);
        let map = |(goal, unpooled): (usize, Array2<f32>)| {
            PatchMap::new(unpooled, square(patches.row(goal))).with_pixels(
                pixels.as_ref().map(|pixels| convert::matrix(&pixels.get(goal as i64))),
            )
        };
        Ok(unpooled.into_iter().enumerate().map(map).collect())
    }

    /// The gradient of each goal at the patch features, `[T, P, D]`.
    fn start(&self) -> Tensor {
        let (model, device) = (self.engine.model, self.engine.model.placement().device);
        let gradients: Vec<Tensor> =
            self.parts.iter().map(|part| part.gradient.to_device(device).to_kind(FLOAT)).collect();
        let features = model.vision().features(&self.states.last);
        model.projector().pull_back(&features, &Tensor::stack(&gradients, 0))
    }

    /// The relevancy of each goal's tokens, spread over the patches, `[g, g]`.
    fn unpool(&self, dfeatures: &Tensor) -> Result<Vec<Array2<f32>>, Error> {
        let features = self.engine.model.vision().features(&self.states.last);
        let spread = |(goal, part): (usize, &ImagePart)| {
            let scores = match self.engine.options.spread {
                Spread::Even => features.select(1, 0).zeros_like(),
                Spread::GradientActivation => scores(&features, &dfeatures.get(goal as i64)),
            };
            let scores = convert::matrix(&scores.unsqueeze(0));
            Ok(unpool(square(part.relevancy.view()).view(), square(scores.row(0)).view())?)
        };
        self.parts.iter().enumerate().map(spread).collect()
    }

    /// The rows that the sweep starts with; none is rolled out.
    fn rows(&self, unpooled: &[Array2<f32>]) -> Rows {
        let device = self.engine.model.placement().device;
        let values: Vec<f32> = unpooled.iter().flatten().copied().collect();
        let relevancy = Tensor::from_slice(&values).view([unpooled.len() as i64, -1]);
        let relevancy = relevancy.to_device(device);
        Rows { relevancy, rollouts: Vec::new() }
    }

    /// One layer down: the gradient at its input, and the rows.
    fn step(&self, layer: &EncoderLayer, dy: &Tensor, rows: &Rows) -> (Tensor, Rows) {
        let x = &self.states.inputs[layer.site().layer];
        let merged = layer.pull_merge(&self.states.hidden(layer), dy);
        let mask = MaskRule::all();
        let qkv = layer.project(x, mask.place(0));
        let swept = Pass {
            qkv: &qkv,
            mask: &mask,
            queries: 0..qkv.tokens(),
            dheads: &merged.heads,
            folds: Folds {
                relevancy: Some(fold(self.engine.options.update)),
                rollouts: Vec::new(),
            },
            block: self.block,
        }
        .run(rows);
        let dx = layer.pull_project(x, &swept.gradient).g_add_(&merged.x);
        (dx, swept.rows)
    }

    /// Gradient × input at the pixels, channels summed, `[T, s, s]`; `dy` is the gradient at the first layer's input.
    fn pixels(&self, dy: &Tensor) -> Tensor {
        let dpixels = self.engine.model.vision().pull_embed(dy); // [T, 3, s, s]
        (dpixels * self.engine.picture).sum_dim_intlist(1, false, FLOAT)
    }
}

/// How every layer of the vision tower is folded: by the mean of its heads.
fn fold(update: Update) -> RowFold {
    RowFold::new(update, HeadFusion::Mean)
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

/// The cells of a square grid, row by row, as the grid.
fn square(cells: ArrayView1<'_, f32>) -> Array2<f32> {
    let side = cells.len().isqrt();
    cells.to_owned().into_shape_with_order((side, side)).expect("tokens and patches fill a square")
}
