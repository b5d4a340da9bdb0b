//! A forward pass whose attention is shown, layer by layer and block by block, and never held as a whole.

use crate::attention::Float;
use crate::seam::{Attend, Fast, MaskRule, Qkv, Sequence, Site, Watch, guard};
use crate::{Error, LanguageModel, convert};
use attention_relevancy::ndarray::ArrayView3;
use std::ops::Range;
use tch::{Kind, Tensor};

/// Rows of one layer's attention, as the engines make it: float32, over all keys of the sequence.
#[derive(Debug)]
pub struct AttentionBlock<'a> {
    /// The layer.
    pub layer: usize,
    /// Positions of the rows.
    pub queries: Range<usize>,
    /// The weights `[H, queries, S]`.
    pub weights: ArrayView3<'a, f32>,
}

/// Query rows of a block: an array of `H·64·S` numbers is all that is held.
const BLOCK: usize = 64;

/// Runs the language model over `sequence` and shows every row of every layer's attention to `see`, first layer to last. For each
/// layer it returns how far `attention·V` is from what the model's own attention computed, as the largest difference over the
/// largest number. The run itself is the model's: each layer gets what the model computes.
pub fn witness_attention<M: LanguageModel>(
    model: &M,
    sequence: &Sequence,
    see: &mut dyn FnMut(&AttentionBlock<'_>),
) -> Result<Vec<f64>, Error> {
    let _no_grad = tch::no_grad_guard();
    let mut witness = Witness { see, differences: Vec::new() };
    guard("looking at attention", || {
        drop(model.run(&model.embed(sequence), sequence.layout(), &mut witness));
    })?;
    Ok(witness.differences)
}

struct Witness<'a> {
    see: &'a mut dyn FnMut(&AttentionBlock<'_>),
    differences: Vec<f64>,
}

impl Attend for Witness<'_> {
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        let (float, keys) = (Float::new(qkv), 0..qkv.tokens());
        let mut heads = Vec::new();
        for start in keys.clone().step_by(BLOCK) {
            let queries = start..(start + BLOCK).min(keys.end);
            let attention = float.attention(&queries, &keys, mask); // [H, b, S]
            let weights = convert::volume(&attention);
            (self.see)(&AttentionBlock {
                layer: site.layer,
                queries: queries.clone(),
                weights: weights.view(),
            });
            let [h, b, s] = <[i64; 3]>::try_from(attention.size()).expect("attention is [H, b, S]");
            let grouped = attention.view([-1, float.group() * b, s]); // [K, G·b, S]
            heads.push(grouped.bmm(&float.v).view([h, b, -1]));
        }
        let own = Fast.attend(site, qkv, mask);
        self.differences.push(difference(&Tensor::cat(&heads, 1), &own));
        own
    }
}

impl<Trace> Watch<Trace> for Witness<'_> {}

/// The largest difference over the largest number of the second.
pub(crate) fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    let expected = expected.to_kind(Kind::Float);
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    largest(&(found - &expected)) / largest(&expected).max(f64::MIN_POSITIVE)
}
