//! The pass of [`Patches`](crate::Patches) held against the plain one, on a model's own numbers.

use super::pass;
use super::states::check_picture;
use crate::model::patch_mask;
use crate::seam::{Fast, Layer, PullRule, guard};
use crate::sweep::{Folds, Pass, Rows};
use crate::witness::difference;
use crate::{Error, PictureModel, PictureTower};
use attention_relevancy::{Backward, Update};
use tch::{Kind, Tensor};

/// Query rows of a block: eight arrays of `H·64·P` numbers are all that is held.
const BLOCK: usize = 64;

/// Sweeps back over the first layer of the vision tower twice, as [`Patches`](crate::Patches) does it here and by plain products of libtorch,
/// on `picture`, of the shape that [`PictureTower::picture`] tells, float32; the gradient at the layer's output is that output. For the row
/// and the gradients of queries, keys and values the largest difference over the largest number; `None` where plain products are all there is.
///
/// # Errors
/// [`Error::Picture`] for another shape, those of [`PictureModel::tower`], and what libtorch fails with.
pub fn witness_patches<M: PictureModel>(
    model: &M,
    picture: &Tensor,
) -> Result<Option<[f64; 4]>, Error> {
    let tower = model.tower()?;
    check_picture(tower, picture)?;
    let _no_grad = tch::no_grad_guard();
    let twice = || {
        let layer = tower.layers().first()?;
        let (x, mask) = (tower.embed(picture), patch_mask(layer));
        let (y, trace) = layer.run(&x, 0, &mask, &mut Fast);
        let dy = y.to_kind(Kind::Float).unsqueeze(0);
        let qkv = layer.qkv(&trace, mask.place(0));
        let patches = qkv.tokens();
        let alike = pass(Update::Additive, Backward::Gradient);
        let pass = Pass {
            qkv: &qkv,
            mask: &mask,
            queries: 0..patches,
            dheads: &layer.pull_merge(&trace, &dy, PullRule::Gradient).heads,
            backward: alike.backward,
            folds: Folds { relevancy: Some(alike.fold), rollouts: Vec::new() },
            block: BLOCK,
        };
        let even = Tensor::ones([1, patches as i64], (Kind::Float, x.device())) / patches as f64;
        let rows = Rows { relevancy: even, rollouts: Vec::new() };
        let (found, expected) = (pass.run_fast(&rows)?, pass.run_by_reference(&rows));
        let pairs = [
            (found.rows.relevancy, expected.rows.relevancy),
            (found.gradient.q, expected.gradient.q),
            (found.gradient.k, expected.gradient.k),
            (found.gradient.v, expected.gradient.v),
        ];
        Some(pairs.map(|(found, expected)| difference(&found, &expected)))
    };
    Ok(guard("sweeping back over a layer of the vision tower", twice)?)
}
