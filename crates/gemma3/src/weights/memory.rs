//! Tensors that are there already, in place of files: what is trained, or what a test makes.

use std::collections::BTreeMap;

use tch::Tensor;

use super::{Placement, Source, missing};
use crate::Error;

/// Tensors by canonical name. They are shared and never copied or moved: a gradient finds its way back to them.
pub(crate) struct InMemory<'a>(pub(crate) &'a BTreeMap<String, Tensor>);

impl Source for InMemory<'_> {
    fn load(&self, name: &str, shape: &[usize], _: Placement) -> Result<Tensor, Error> {
        let Some(tensor) = self.0.get(name) else {
            return Err(missing(name, self.0.keys().map(String::as_str)));
        };
        let found: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
        if found != shape {
            let expected = shape.to_owned();
            return Err(Error::Shape { name: name.to_owned(), expected, found });
        }
        Ok(tensor.shallow_clone())
    }

    fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
