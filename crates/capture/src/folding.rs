//! How heads and layers are folded into a row, checked against the model.

use crate::Error;
use attention_relevancy::{Folding, HeadFusion, Layers};
use gemma3_tch::{LayerType, TextConfig};

/// A fusion of heads in the chosen layers, checked against the model.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    heads: HeadFusion,
    chosen: Vec<bool>,
}

impl Fold {
    pub(crate) fn new(
        heads: HeadFusion,
        layers: &Layers,
        config: &TextConfig,
    ) -> Result<Self, Error> {
        heads.check(config.num_attention_heads)?;
        Ok(Self { heads, chosen: chosen(layers, config)? })
    }

    pub(crate) fn of(folding: &Folding, config: &TextConfig) -> Result<Self, Error> {
        Self::new(folding.heads, &folding.layers, config)
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
fn chosen(layers: &Layers, config: &TextConfig) -> Result<Vec<bool>, Error> {
    let is_full: Vec<bool> = config.layers.iter().map(|kind| *kind == LayerType::Full).collect();
    let none = || Error::LayerChoice { chosen: layers.clone(), layers: is_full.len() };
    layers.chosen(&is_full).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gemma3_tch::Config;
    use std::path::Path;

    #[test]
    fn a_choice_that_is_empty_or_beyond_the_model_names_the_number_of_layers() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/layout/model");
        let config = Config::from_dir(&dir).unwrap().text;
        let chosen = |layers: &Layers| chosen(layers, &config);
        assert_eq!(chosen(&Layers::All).unwrap(), [true; 7]);
        let global = chosen(&Layers::Global).unwrap();
        assert_eq!(global.iter().filter(|&&chosen| chosen).count(), 1);
        assert_eq!(chosen(&Layers::Range(5..7)).unwrap()[4..], [false, true, true]);
        for range in [6..8, 7..9, 3..3] {
            let error = chosen(&Layers::Range(range)).unwrap_err();
            assert!(error.to_string().contains("7 layers"), "{error}");
        }
        let sliding = TextConfig { layers: vec![LayerType::Sliding; 7], ..config.clone() };
        assert!(super::chosen(&Layers::Global, &sliding).is_err());
    }
}
