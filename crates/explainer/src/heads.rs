//! What single heads did for the targets.

use attention_capture::{Error, HeadMaps, HeadShares, Streaming};
use gemma3_tch::LayerType;

use crate::explain::{Plan, mean};
use crate::{ExplainOptions, Explainer, HeadLayer};

impl Explainer {
    /// For each plan what the heads did for its goals: one more sweep, for the plans that were asked for.
    pub(crate) fn heads(
        &self,
        engine: &Streaming<'_>,
        plans: &[Plan],
        options: &ExplainOptions,
    ) -> Result<Vec<Vec<HeadShares>>, Error> {
        let mut heads = vec![Vec::new(); plans.len()];
        let Some(layer) = options.by_head else { return Ok(heads) };
        let asked = plans.iter().filter(|plan| plan.asked);
        let goals: Vec<_> = asked.clone().flat_map(|plan| plan.goals.clone()).collect();
        let layer = match layer {
            HeadLayer::Number(layer) => layer,
            HeadLayer::LastFull => self.last_full_layer(),
        };
        let how = (options.objective, options.update);
        let mut found = engine.explain_by_head(&goals, how, Some(layer))?.into_iter();
        for (plan, heads) in plans.iter().zip(&mut heads).filter(|(plan, _)| plan.asked) {
            heads.extend(found.by_ref().take(plan.goals.len()).map(|(_, shares)| shares));
        }
        Ok(heads)
    }

    /// The last layer without a window; the last of all where all have one.
    fn last_full_layer(&self) -> usize {
        let types = &self.model.config().text.layers;
        let full = types.iter().rposition(|&kind| kind == LayerType::Full);
        full.unwrap_or(types.len().saturating_sub(1))
    }
}

/// The mean over goals of one model and layer, at least one, with weights that sum to one.
pub(crate) fn mean_shares(weights: &[f64], shares: &[HeadShares]) -> HeadShares {
    let maps: Option<Vec<&HeadMaps>> = shares.iter().map(|shares| shares.maps.as_ref()).collect();
    HeadShares {
        carried: mean(weights, shares.iter().map(|shares| &shares.carried)),
        entropy: mean(weights, shares.iter().map(|shares| &shares.entropy)),
        image: mean(weights, shares.iter().map(|shares| &shares.image)),
        maps: maps.map(|maps| HeadMaps {
            layer: maps[0].layer,
            attention: mean(weights, maps.iter().map(|maps| &maps.attention)),
            gradient_attention: mean(weights, maps.iter().map(|maps| &maps.gradient_attention)),
        }),
    }
}
