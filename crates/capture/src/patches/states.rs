//! What a run of the vision tower leaves for the sweep back through it.

use crate::{Error, Keep};
use gemma3_tch::{Attend, AttentionLayer, EncoderLayer, Fast, Gemma3, MaskRule, guard};
use tch::Tensor;

/// What is kept of one run of the vision tower over a picture: [`crate::Patches`] then does not run the tower again.
///
/// Symbols: P patches, D hidden width of the vision tower.
#[derive(Debug)]
pub struct PatchStates {
    /// The layers' inputs `[P, D]`.
    pub(super) inputs: Vec<Tensor>,
    /// What stands between attention and MLP of each layer, `[P, D]`; `None` if it is recomputed.
    pub(super) hidden: Vec<Tensor>,
    /// The last layer's output `[P, D]`.
    pub(super) last: Tensor,
}

impl PatchStates {
    /// Runs the vision tower over `picture`, `[3, s, s]` float32 as [`Gemma3::picture`] gives it. With [`Keep::Everything`] what stands
    /// between attention and MLP is kept beside the layers' inputs, so that no attention is made again for it.
    ///
    /// # Errors
    /// [`Error::Picture`] for another shape, and what libtorch fails with.
    pub fn of(model: &Gemma3, picture: &Tensor, keep: Keep) -> Result<Self, Error> {
        Self::record(model, picture, keep, || Ok(()))
    }

    /// As [`PatchStates::of`], but calls `go_on` before each layer and stops if it fails.
    pub(super) fn record(
        model: &Gemma3,
        picture: &Tensor,
        keep: Keep,
        go_on: impl Fn() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        check_picture(model, picture)?;
        let _no_grad = tch::no_grad_guard();
        let run = || {
            let vision = &model.vision()?.tower;
            let (mut inputs, mut kept) = (Vec::new(), Vec::new());
            let mut x = vision.embed(picture);
            for layer in vision.layers() {
                go_on()?;
                let hidden = attended(layer, &x);
                inputs.push(x);
                x = layer.output(&hidden);
                if keep == Keep::Everything {
                    kept.push(hidden);
                }
            }
            Ok(Self { inputs, hidden: kept, last: x })
        };
        guard("running the vision tower", run)?
    }

    /// The picture's tokens `[t, hidden]`, as [`Gemma3::encode_image`] gives them.
    pub fn tokens(&self, model: &Gemma3) -> Result<Tensor, Error> {
        let _no_grad = tch::no_grad_guard();
        let vision = model.vision()?;
        Ok(guard("projecting the patches of a picture", || {
            let features = vision.tower.features(&self.last);
            vision.projector.forward(&features).to_kind(model.kind())
        })?)
    }

    /// Bytes that it takes; [`Keep::patch_bytes`] tells it beforehand.
    pub fn bytes(&self) -> u64 {
        let of = |tensor: &Tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        let layers = self.inputs.iter().chain(&self.hidden);
        of(&self.last) + layers.map(of).sum::<u64>()
    }

    /// What is kept of it.
    pub(crate) fn keep(&self) -> Keep {
        if self.hidden.is_empty() { Keep::Inputs } else { Keep::Everything }
    }

    /// Whether they are of this model.
    pub(super) fn check(&self, model: &Gemma3) -> Result<(), Error> {
        let config = &model.vision()?.config;
        let expected = config.num_hidden_layers;
        let expected_shape = [config.patches(), config.hidden_size];
        let (found, shape) = (self.inputs.len(), self.last.size());
        if found == expected && shape == expected_shape.map(|n| n as i64) {
            Ok(())
        } else {
            Err(Error::PatchStates { expected, expected_shape, found, shape })
        }
    }

    /// What stands between attention and MLP of a layer, kept or made again, `[P, D]`.
    pub(super) fn hidden(&self, layer: &EncoderLayer) -> Tensor {
        let index = layer.site().layer;
        let kept = self.hidden.get(index).map(Tensor::shallow_clone);
        kept.unwrap_or_else(|| attended(layer, &self.inputs[index]))
    }
}

pub(super) fn check_picture(model: &Gemma3, picture: &Tensor) -> Result<(), Error> {
    let config = &model.vision()?.config;
    let expected = [config.num_channels, config.image_size, config.image_size];
    let found = picture.size();
    if found == expected.map(|n| n as i64) {
        Ok(())
    } else {
        Err(Error::Picture { expected, found })
    }
}

/// What stands between attention and MLP of a layer, `[P, D]`, from its input.
pub(super) fn attended(layer: &EncoderLayer, x: &Tensor) -> Tensor {
    let mask = MaskRule::all();
    let heads = Fast.attend(layer.site(), &layer.project(x, mask.place(0)), &mask);
    layer.hidden(x, &heads)
}
