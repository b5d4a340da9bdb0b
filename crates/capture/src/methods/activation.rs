//! The parts of a token activation map ([`attention_relevancy::tam`]).

use super::collect::Facts;
use crate::Error;
use attention_relevancy::ndarray::Array1;
use attention_relevancy::{MethodRow, Target, Unavailable, tam};
use std::ops::Range;

/// Which positions play which part in the map of one token.
pub(crate) struct Parts {
    tokens: usize,
    /// Images that end before the token.
    pub(crate) images: Vec<Range<usize>>,
    /// Tokens of text before the predicting row, without those of another branch.
    text: Vec<usize>,
    /// Those of them with another id, with the id.
    context: Vec<(usize, u32)>,
}

impl Parts {
    pub(crate) fn new(facts: &Facts<'_>, target: Target) -> Result<Self, Unavailable> {
        let before = facts.layout.images().iter().filter(|image| image.end <= target.position());
        let images: Vec<Range<usize>> = before.cloned().collect();
        if images.is_empty() {
            return Err(Unavailable::NoImage);
        }
        let is_text = |at: &usize| {
            let layout = facts.layout;
            !layout.images().iter().any(|image| image.contains(at))
                && !layout.apart(target.position(), *at)
        };
        let text: Vec<usize> = (0..target.logit_row()).filter(is_text).collect();
        let with_id = text.iter().map(|&at| (at, facts.ids[at]));
        let context = with_id.filter(|&(_, id)| id != target.token()).collect();
        Ok(Self { tokens: facts.ids.len(), images, text, context })
    }

    /// How much each id of the context interferes, in order of the first of its positions; `activation` are the activations of the
    /// explained token at every position before it.
    pub(crate) fn weights(&self, activation: &Array1<f32>) -> Vec<(u32, f32)> {
        let context: Array1<f32> = self.context.iter().map(|&(at, _)| activation[at]).collect();
        let weights = tam::context_weights(context.view());
        self.context.iter().zip(weights).map(|(&(_, id), weight)| (id, weight)).collect()
    }

    /// Values at the image tokens, image by image.
    pub(crate) fn on_images(&self, values: &Array1<f32>) -> Array1<f32> {
        self.images.iter().cloned().flatten().map(|at| values[at]).collect()
    }

    /// The map as a row `[S]`.
    pub(crate) fn row(
        &self,
        activation: &Array1<f32>,
        interference: &Array1<f32>,
    ) -> Result<Array1<f32>, Error> {
        let image = self.on_images(activation);
        let text: Array1<f32> = self.text.iter().map(|&at| activation[at]).collect();
        let grids: Vec<[usize; 2]> = self.images.iter().map(|image| grid(image.len())).collect();
        let map =
            tam::token_activation_map(image.view(), interference.view(), text.view(), &grids)?;
        let mut row = Array1::zeros(self.tokens);
        let positions = self.images.iter().cloned().flatten();
        positions.zip(map.image).for_each(|(at, x)| row[at] = x);
        self.text.iter().zip(map.text).for_each(|(&at, x)| row[at] = x);
        Ok(row)
    }
}

/// The mean of the maps of a goal's tokens; the reason where one of them has none.
pub(crate) fn mean(
    targets: &[Target],
    tokens: usize,
    map: impl Fn(Target) -> Result<MethodRow, Error>,
) -> Result<MethodRow, Error> {
    let mut mean = Array1::zeros(tokens);
    for &target in targets {
        match map(target)? {
            Ok(row) => mean.scaled_add(1.0 / targets.len() as f32, &row),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    Ok(Ok(mean))
}

/// Rows and columns of an image of so many tokens: a square, or else a single row.
fn grid(tokens: usize) -> [usize; 2] {
    let side = tokens.isqrt();
    if side * side == tokens { [side, side] } else { [1, tokens] }
}
