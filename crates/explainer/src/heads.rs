//! What single heads did for the targets.

use attention_relevancy::{HeadMaps, HeadShares};

use crate::plan::mean;
use crate::{Explainer, HeadLayer};

impl Explainer {
    /// The layer whose heads have maps.
    pub(crate) fn head_layer(&self, layer: HeadLayer) -> usize {
        match layer {
            HeadLayer::Number(layer) => layer,
            HeadLayer::LastFull => self.inspection.language_model().last_global_layer(),
        }
    }
}

/// The mean over goals of one model and layer, at least one, with weights that sum to one.
pub(crate) fn mean_shares(weights: &[f64], shares: &[HeadShares]) -> HeadShares {
    let maps: Option<Vec<&HeadMaps>> = shares.iter().map(|shares| shares.maps.as_ref()).collect();
    HeadShares::new(
        mean(weights, shares.iter().map(|shares| &shares.carried)),
        mean(weights, shares.iter().map(|shares| &shares.entropy)),
        mean(weights, shares.iter().map(|shares| &shares.image)),
    )
    .with_maps(maps.map(|maps| {
        HeadMaps::new(
            maps[0].layer,
            mean(weights, maps.iter().map(|maps| &maps.attention)),
            mean(weights, maps.iter().map(|maps| &maps.gradient_attention)),
        )
    }))
}
