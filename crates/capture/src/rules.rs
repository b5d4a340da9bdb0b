//! By which rules goals are explained.

use crate::folding::Fold;
use crate::{Error, LanguageModel};
use attention_relevancy::{Folding, Objective, Update};

/// By which rules goals are explained: the choices that every engine takes. The default is the published rule.
///
/// Write `..Rules::default()` where not all are named: there may be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The scalar whose gradient weights attention.
    pub objective: Objective,
    /// How a layer's fused attention acts on the relevancy row.
    pub update: Update,
    /// How heads and layers are folded into that row. The baselines of an [`Attribution`](crate::Attribution) are not touched by it.
    pub folding: Folding,
}

impl Rules {
    /// With the mean of the heads of all layers.
    pub fn new(objective: Objective, update: Update) -> Self {
        Self { objective, update, folding: Folding::default() }
    }

    /// Fails with [`Error::LayerChoice`] or [`Error::Relevancy`] where the model does not have these layers or heads.
    pub fn check<M: LanguageModel>(&self, model: &M) -> Result<(), Error> {
        Fold::of(&self.folding, &model.dims()).map(drop)
    }
}
