//! What a run of the vision tower leaves for the sweep back through it.

use crate::gemma::Joined;
use crate::model::{PatchTraceOf, TowerLayer, patch_count, patch_mask};
use crate::seam::{AttentionLayer, Fast, Layer, Trace, guard};
use crate::{Error, Keep, PictureModel, PictureTower};
use tch::Tensor;

/// What is kept of one run of the vision tower over a picture: [`crate::Patches`] then does not run the tower again.
///
/// Symbols: P patches, W hidden width of the vision tower.
#[derive(Debug)]
pub struct PatchStates<M: PictureModel = Joined> {
    keep: Keep,
    /// First to last.
    layers: Vec<Kept<PatchTraceOf<M>>>,
    /// The last layer's output `[P, W]`.
    pub(super) last: Tensor,
}

/// What is kept of a layer.
#[derive(Debug)]
enum Kept<T> {
    /// Its input `[P, W]`: it is rebuilt when the sweep comes to it.
    Input(Tensor),
    /// All that its pull-back needs.
    Trace(T),
}

impl<M: PictureModel> PatchStates<M> {
    /// Runs the vision tower over `picture`, of the shape that [`PictureTower::picture`] tells, float32 (for Gemma3
    /// [`gemma3_tch::Gemma3::picture`] gives it). With [`Keep::Everything`] what the layers' pull-backs need is kept beside their inputs, so
    /// that no attention is made again for it.
    ///
    /// # Errors
    /// [`Error::Picture`] for another shape, those of [`PictureModel::tower`], and what libtorch fails with.
    pub fn of(model: &M, picture: &Tensor, keep: Keep) -> Result<Self, Error> {
        Self::record(model, picture, keep, || Ok(()))
    }

    /// As [`PatchStates::of`], but calls `go_on` before each layer and stops if it fails.
    pub(super) fn record(
        model: &M,
        picture: &Tensor,
        keep: Keep,
        go_on: impl Fn() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let tower = model.tower()?;
        check_picture(tower, picture)?;
        let _no_grad = tch::no_grad_guard();
        let run = || {
            let mut layers = Vec::new();
            let mut x = tower.embed(picture);
            for layer in tower.layers() {
                go_on()?;
                let (y, trace) = layer.run(&x, 0, &patch_mask(layer), &mut Fast);
                layers.push(match keep {
                    Keep::Inputs => Kept::Input(x),
                    Keep::Everything => Kept::Trace(trace),
                });
                x = y;
            }
            Ok(Self { keep, layers, last: x })
        };
        guard("running the vision tower", run)?
    }

    /// The picture's tokens `[t, D]` in the dtype of the language model, as they stand in a sequence.
    ///
    /// # Errors
    /// Those of [`PictureModel::tower`], and what libtorch fails with.
    pub fn tokens(&self, model: &M) -> Result<Tensor, Error> {
        let _no_grad = tch::no_grad_guard();
        let tower = model.tower()?;
        Ok(guard("projecting the patches of a picture", || {
            let tokens = tower.project(&tower.features(&self.last));
            let kind = model.placement().kind;
            kind.map_or_else(|| tokens.shallow_clone(), |kind| tokens.to_kind(kind))
        })?)
    }

    /// Bytes that it takes; [`Keep::patch_bytes`] tells it beforehand.
    pub fn bytes(&self) -> u64 {
        let of = |tensor: &Tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        let layer = |kept: &Kept<PatchTraceOf<M>>| match kept {
            Kept::Input(x) => of(x),
            Kept::Trace(trace) => trace.tensors().into_iter().map(of).sum(),
        };
        of(&self.last) + self.layers.iter().map(layer).sum::<u64>()
    }

    /// What is kept of it.
    pub(crate) fn keep(&self) -> Keep {
        self.keep
    }

    /// Whether they are of this tower.
    pub(super) fn check(&self, tower: &M::Tower) -> Result<(), Error> {
        let expected = tower.layers().len();
        let expected_shape = [patch_count(tower), tower.width()];
        let (found, shape) = (self.layers.len(), self.last.size());
        if found == expected && shape == expected_shape.map(|n| n as i64) {
            Ok(())
        } else {
            Err(Error::PatchStates { expected, expected_shape, found, shape })
        }
    }

    /// What a layer computed, kept or made again.
    pub(super) fn trace(&self, layer: &TowerLayer<M>) -> PatchTraceOf<M> {
        match &self.layers[layer.site().layer] {
            Kept::Input(x) => layer.trace(x, 0, &patch_mask(layer), &mut Fast),
            Kept::Trace(trace) => trace.rows(&(0..trace.input().size()[0] as usize)),
        }
    }
}

/// Whether `picture` has the shape that the tower takes.
pub(super) fn check_picture(tower: &impl PictureTower, picture: &Tensor) -> Result<(), Error> {
    let (expected, found) = (tower.picture(), picture.size());
    if found == expected.map(|n| n as i64) {
        Ok(())
    } else {
        Err(Error::Picture { expected, found })
    }
}
