//! The pass of [`Patches`](crate::Patches) held against the plain one, on a model's own numbers.

use super::states::{attended, check_picture};
use crate::Error;
use crate::sweep::{Folds, Pass, RowFold, Rows};
use crate::witness::difference;
use attention_relevancy::{HeadFusion, Update};
use gemma3_tch::{AttentionLayer, Gemma3, MaskRule, guard};
use tch::{Kind, Tensor};

/// Query rows of a block: eight arrays of `H·64·P` numbers are all that is held.
const BLOCK: usize = 64;

/// Sweeps back over the first layer of the vision tower twice, as [`Patches`](crate::Patches) does it here and by plain products of libtorch,
/// on `picture`, `[3, s, s]` float32 as [`Gemma3::picture`] gives it; the gradient at the layer's output is that output. For the row and the
/// gradients of queries, keys and values the largest difference over the largest number; `None` where plain products are all there is.
///
/// # Errors
/// [`Error::Picture`] for another shape, and what libtorch fails with.
pub fn witness_patches(model: &Gemma3, picture: &Tensor) -> Result<Option<[f64; 4]>, Error> {
    check_picture(model, picture)?;
    let _no_grad = tch::no_grad_guard();
    let tower = &model.vision()?.tower;
    let twice = || {
        let layer = tower.layers().first()?;
        let x = tower.embed(picture);
        let hidden = attended(layer, &x);
        let dy = layer.output(&hidden).to_kind(Kind::Float).unsqueeze(0);
        let mask = MaskRule::all();
        let qkv = layer.project(&x, mask.place(0));
        let patches = qkv.tokens();
        let pass = Pass {
            qkv: &qkv,
            mask: &mask,
            queries: 0..patches,
            dheads: &layer.pull_merge(&hidden, &dy).heads,
            folds: Folds {
                relevancy: Some(RowFold::new(Update::Additive, HeadFusion::Mean)),
                rollouts: Vec::new(),
            },
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
