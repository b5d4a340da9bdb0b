//! How heads and layers are folded into a row, checked against the model.

use crate::Error;
use crate::seam::Dims;
use attention_relevancy::{Folding, HeadFusion, Layers};

/// A fusion of heads in the chosen layers, checked against the model.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    heads: HeadFusion,
    chosen: Vec<bool>,
}

impl Fold {
    /// In a model of layers of these sizes. Every chosen layer must have the heads.
    pub(crate) fn new(heads: HeadFusion, layers: &Layers, dims: &[Dims]) -> Result<Self, Error> {
        let chosen = chosen(layers, dims)?;
        let of_chosen = dims.iter().zip(&chosen).filter(|(_, chosen)| **chosen);
        of_chosen.map(|(dims, _)| dims.heads).try_for_each(|n_heads| heads.check(n_heads))?;
        Ok(Self { heads, chosen })
    }

    pub(crate) fn of(folding: &Folding, dims: &[Dims]) -> Result<Self, Error> {
        Self::new(folding.heads, &folding.layers, dims)
    }

    /// How many layers are chosen, at least one.
    pub(crate) fn count(&self) -> usize {
        self.chosen.iter().filter(|&&chosen| chosen).count()
    }

    /// How `layer` is folded; `None`: not at all.
    pub(crate) fn at(&self, layer: usize) -> Option<HeadFusion> {
        self.chosen[layer].then_some(self.heads)
    }
}

/// Whether each layer is chosen, `[L]`.
fn chosen(layers: &Layers, dims: &[Dims]) -> Result<Vec<bool>, Error> {
    let is_full: Vec<bool> = dims.iter().map(|dims| dims.window.is_none()).collect();
    let none = || Error::LayerChoice { chosen: layers.clone(), layers: is_full.len() };
    layers.chosen(&is_full).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven layers, all but the sixth with a window, the last with more heads than the others.
    fn dims() -> Vec<Dims> {
        let dims = |layer| Dims {
            heads: if layer == 6 { 6 } else { 4 },
            key_heads: 2,
            width: 16,
            window: (layer != 5).then_some(8),
        };
        (0..7).map(dims).collect()
    }

    #[test]
    fn a_choice_that_is_empty_or_beyond_the_model_names_the_number_of_layers() {
        let chosen = |layers: &Layers| chosen(layers, &dims());
        assert_eq!(chosen(&Layers::All).unwrap(), [true; 7]);
        let global = chosen(&Layers::Global).unwrap();
        assert_eq!(global.iter().filter(|&&chosen| chosen).count(), 1);
        assert_eq!(chosen(&Layers::Range(5..7)).unwrap()[4..], [false, true, true]);
        for range in [6..8, 7..9, 3..3] {
            let error = chosen(&Layers::Range(range)).unwrap_err();
            assert!(error.to_string().contains("7 layers"), "{error}");
        }
        assert!(super::chosen(&Layers::Global, &dims()[..5]).is_err());
    }

    #[test]
    fn heads_are_those_of_the_chosen_layers() {
        let fold = |head, layers| Fold::new(HeadFusion::One(head), &layers, &dims());
        assert!(fold(5, Layers::Range(6..7)).is_ok());
        assert!(fold(6, Layers::Range(6..7)).is_err());
        assert!(fold(4, Layers::All).is_err());
        assert!(fold(3, Layers::All).is_ok());
    }
}
