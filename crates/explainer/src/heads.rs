//! What single heads did for the targets.

use attention_capture::{HeadMaps, HeadShares};

use crate::plan::mean;
use crate::{Explainer, HeadLayer};

impl Explainer {
    /// The layer whose heads have maps.
    pub(crate) fn head_layer(&self, layer: HeadLayer) -> usize {
        match layer {
            HeadLayer::Number(layer) => layer,
            HeadLayer::LastFull => self.model.config().text.last_full_layer(),
        }
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
