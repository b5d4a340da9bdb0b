//! How heads and layers are folded into a row.

use crate::Error;
use attention_relevancy::HeadFusion;
use gemma3_tch::{LayerType, TextConfig};
use std::fmt;
use std::ops::Range;

/// Some of the L layers of the language model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layers {
    /// All of them: the published rule.
    #[default]
    All,
    /// Those with full attention, which see every token before. The others see a window.
    Global,
    /// These, counted from 0.
    Range(Range<usize>),
}

/// How the relevancy row is made of attention and its gradient, beside the [`Update`](attention_relevancy::Update).
///
/// A layer that is not chosen leaves the row as it is; the gradient goes through every layer all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folding {
    /// How heads become one: `Ā = fuse_h[(A⊙∇A)⁺]`.
    pub heads: HeadFusion,
    /// The layers that the row is taken through.
    pub layers: Layers,
}

impl Layers {
    /// Whether each layer is chosen, `[L]`.
    ///
    /// Fails with [`Error::LayerChoice`] where none is, or where the range does not lie within the layers.
    pub fn chosen(&self, config: &TextConfig) -> Result<Vec<bool>, Error> {
        let layers = config.num_hidden_layers;
        let within = !matches!(self, Self::Range(range) if layers < range.end);
        let chosen = |(layer, kind): (usize, &LayerType)| match self {
            Self::All => true,
            Self::Global => *kind == LayerType::Full,
            Self::Range(range) => range.contains(&layer),
        };
        let chosen: Vec<bool> = config.layers.iter().enumerate().map(chosen).collect();
        if within && chosen.contains(&true) {
            Ok(chosen)
        } else {
            Err(Error::LayerChoice { chosen: self.clone(), layers })
        }
    }
}

/// `all`, `global`, `3..5`.
impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Global => f.write_str("global"),
            Self::Range(range) => write!(f, "{}..{}", range.start, range.end),
        }
    }
}

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
        Ok(Self { heads, chosen: layers.chosen(config)? })
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

impl Folding {
    /// Fails with [`Error::LayerChoice`] or [`Error::Relevancy`] where the model does not have these layers or heads.
    pub fn check(&self, config: &TextConfig) -> Result<(), Error> {
        self.fold(config).map(drop)
    }

    pub(crate) fn fold(&self, config: &TextConfig) -> Result<Fold, Error> {
        Fold::new(self.heads, &self.layers, config)
    }
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
        let chosen = |layers: &Layers| layers.chosen(&config);
        assert_eq!(chosen(&Layers::All).unwrap(), [true; 7]);
        let global = chosen(&Layers::Global).unwrap();
        assert_eq!(global.iter().filter(|&&chosen| chosen).count(), 1);
        assert_eq!(chosen(&Layers::Range(5..7)).unwrap()[4..], [false, true, true]);
        for range in [6..8, 7..9, 3..3] {
            let error = chosen(&Layers::Range(range)).unwrap_err();
            assert!(error.to_string().contains("7 layers"), "{error}");
        }
        let sliding = TextConfig { layers: vec![LayerType::Sliding; 7], ..config.clone() };
        assert!(Layers::Global.chosen(&sliding).is_err());
    }
}
