//! Tensors that are there already, in place of files: what is trained, or what a test makes.

use std::collections::BTreeMap;

use tch::Tensor;

use super::{Placement, Source, missing};
use crate::Error;
use crate::weight::Weight;
use crate::weight::low_rank::beside;

/// Tensors by canonical name. They are shared and never copied or moved: a gradient finds its way back to them.
pub(crate) struct InMemory<'a> {
    /// All of them.
    pub(crate) tensors: &'a BTreeMap<String, Tensor>,
    /// What is added to matrices, by the canonical name of their module.
    pub(crate) pairs: &'a BTreeMap<String, LowRankPair>,
}

/// A low-rank part of a matrix `[outputs, inputs]`: `W + B·A`.
#[derive(Debug)]
pub struct LowRankPair {
    /// A, `[r, inputs]`.
    pub down: Tensor,
    /// B with its scale in it, `[outputs, r]`.
    pub up: Tensor,
}

impl Source for InMemory<'_> {
    fn load(&self, name: &str, shape: &[usize], _: Placement) -> Result<Tensor, Error> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(missing(name, self.tensors.keys().map(String::as_str)));
        };
        check(name, tensor, shape)?;
        Ok(tensor.shallow_clone())
    }

    fn weight(&self, name: &str, shape: [usize; 2], placement: Placement) -> Result<Weight, Error> {
        let base = Weight::Dense(self.load(name, &shape, placement)?);
        let Some(pair) = name.strip_suffix(".weight").and_then(|module| self.pairs.get(module))
        else {
            return Ok(base);
        };
        let rank = pair.down.size().first().map_or(0, |&rank| rank as usize);
        check(&format!("{name}, A"), &pair.down, &[rank, shape[1]])?;
        check(&format!("{name}, B"), &pair.up, &[shape[0], rank])?;
        Ok(beside(base, pair))
    }

    fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}

fn check(name: &str, tensor: &Tensor, shape: &[usize]) -> Result<(), Error> {
    let found: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
    if found == shape {
        return Ok(());
    }
    let expected = shape.to_owned();
    Err(Error::Shape { name: name.to_owned(), expected, found })
}
