//! Between what numbers the weights of a file lie.

use super::{Placement, Source, Weights, missing};
use crate::weight::range;
use crate::{Error, guard};

impl Weights {
    /// The smallest and the largest number of a tensor, by canonical name; not finite where one of its numbers is not. An empty
    /// tensor has 0 and 0.
    ///
    /// # Errors
    /// A tensor that is not there or has a type that weights cannot have.
    pub fn range(&self, name: &str) -> Result<[f64; 2], Error> {
        let entry = self.entries.get(name).ok_or_else(|| missing(name, self.names()))?;
        let shape = match self.nf4.get(name) {
            Some(state) => &state.shape[..],
            None => self.holders[entry.holder].shape(&entry.stored),
        };
        if let &[outputs, inputs] = shape {
            let weight = self.weight(name, [outputs, inputs], Placement::AS_STORED)?;
            return guard("looking at a weight", || weight.range());
        }
        let tensor = self.load(name, shape, Placement::AS_STORED)?;
        guard("looking at a weight", || range(&tensor))
    }
}
