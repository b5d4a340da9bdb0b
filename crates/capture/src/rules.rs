//! By which rules goals are explained.

use crate::folding::Fold;
use crate::seam::PullRule;
use crate::{Error, LanguageModel};
use attention_relevancy::{Backward, Folding, Objective, Update};

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
    /// How the sweep goes back through what is not linear. All that is made of gradients, methods of comparison included, is then made of
    /// what that rule gives in their place; what is read off attention alone is not touched by it.
    pub backward: Backward,
    /// Positions of tokens whose columns are taken out of the propagation, such as attention sinks
    /// ([`SinkRule::Drop`](attention_relevancy::SinkRule)): after every layer the relevancy row is zero there, but for rows that predict a
    /// target of its own goal. What passed through heads, and baselines and methods of comparison, are not touched by it.
    pub removed: Vec<usize>,
}

impl Rules {
    /// With the mean of the heads of all layers, by the gradient.
    pub fn new(objective: Objective, update: Update) -> Self {
        Self { objective, update, ..Self::default() }
    }

    /// Fails with [`Error::LayerChoice`] or [`Error::Relevancy`] where the model does not have these layers or heads.
    pub fn check<M: LanguageModel>(&self, model: &M) -> Result<(), Error> {
        Fold::of(&self.folding, &model.dims()).map(drop)
    }
}

/// What a backward rule asks of layers and norms; what it asks of attention is said by whoever does the pass over it.
pub(crate) fn pull_rule(backward: Backward) -> PullRule {
    match backward {
        Backward::Gradient => PullRule::Gradient,
        Backward::CpLrp => PullRule::ConstantGates,
        Backward::AttnLrp => PullRule::SplitGates,
    }
}
