//! The attention sinks of a run.

use crate::seam::guard;
use crate::{Error, LanguageModel, Retained, States, convert};
use attention_relevancy::{SinkFinder, Sinks};
use std::ops::Range;
use tch::Tensor;

/// The attention sinks of a recorded run, by [`SinkFinder`] over the inputs of all layers but the first. Nothing is computed again.
///
/// # Errors
/// What libtorch fails with.
pub fn find_sinks<M: LanguageModel>(states: &States<M>, threshold: f32) -> Result<Sinks, Error> {
    let all = 0..states.tokens();
    find(states.layers(), threshold, |layer| states.input(layer, &all))
}

impl<M: LanguageModel> Retained<'_, M> {
    /// [`find_sinks`] of the run that was captured.
    ///
    /// # Errors
    /// What libtorch fails with.
    pub fn sinks(&self, threshold: f32) -> Result<Sinks, Error> {
        find(self.inputs().len(), threshold, |layer| self.inputs()[layer].detach())
    }
}

/// In the input `[S, D]` of each of so many layers.
fn find(layers: usize, threshold: f32, input: impl Fn(usize) -> Tensor) -> Result<Sinks, Error> {
    let mut finder = SinkFinder::new(threshold);
    for layer in 1..layers {
        guard("looking for attention sinks", || {
            let hidden = input(layer);
            let rows = |at: Range<usize>| hidden.narrow(0, at.start as i64, at.len() as i64);
            let tokens = hidden.size()[0] as usize;
            finder.see(layer, tokens, |at| convert::matrix(&rows(at)));
        })?;
    }
    Ok(finder.finish())
}
