//! Pictures that a model has seen before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use explanation_record::record::sha256;
use gemma3_processor::Pixels;
use gemma3_tch::FeatureCache;

use crate::Explainer;

/// Tells explainers apart.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A number that no other explainer of the process has.
pub(crate) fn number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What the vision tower made of pictures, so that equal ones are looked at once: for many questions about one picture, in many calls
/// ([`crate::Context::pictures`]). Pictures are equal where all numbers that the tower gets are. Clones share what is kept.
///
/// Not used where the states of the tower are kept for finer maps ([`crate::LoadOptions::keep_patches`]).
#[derive(Clone, Debug)]
pub struct PictureCache {
    features: Arc<FeatureCache>,
    owner: u64,
}

impl Explainer {
    /// A cache of pictures for calls of this explainer, of so many bytes: image tokens in the type of the weights, 1.3 MB a picture in
    /// Gemma3 4B.
    pub fn picture_cache(&self, bytes: u64) -> PictureCache {
        PictureCache { features: Arc::new(FeatureCache::new(bytes)), owner: self.number }
    }
}

impl PictureCache {
    /// How many pictures were found in it, and how many the tower had to look at.
    pub fn counts(&self) -> (u64, u64) {
        self.features.counts()
    }

    pub(crate) fn of(&self, explainer: &Explainer) -> Option<&FeatureCache> {
        (self.owner == explainer.number).then_some(&*self.features)
    }
}

/// Names a picture by its numbers.
pub(crate) fn key(pixels: &Pixels) -> String {
    let Pixels { values, channels, height, width } = pixels;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    format!("{channels} {height} {width} {}", sha256(&bytes))
}
