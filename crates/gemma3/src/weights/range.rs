//! Between what numbers the weights of a file lie.

use tch::Kind;

use super::{Placement, Source, Weights, missing};
use crate::{Error, guard};

impl Weights {
    /// The smallest and the largest number of a tensor, by canonical name; not finite where one of its numbers is not. An empty
    /// tensor has 0 and 0.
    ///
    /// # Errors
    /// A tensor that is not there or has a type that weights cannot have.
    pub fn range(&self, name: &str) -> Result<[f64; 2], Error> {
        let entry = self.entries.get(name).ok_or_else(|| missing(name, self.names()))?;
        let tensor = self.load(name, &self.info(entry).shape, Placement::AS_STORED)?;
        if tensor.numel() == 0 {
            return Ok([0.0; 2]);
        }
        guard("looking at a weight", || {
            // A NaN among the numbers is both the smallest and the largest.
            let (low, high) = tensor.aminmax(None, false);
            [low, high].map(|value| value.to_kind(Kind::Double).double_value(&[]))
        })
    }
}
