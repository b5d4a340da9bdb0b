//! Image tokens of pictures that were seen before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::Tensor;

use crate::{Error, Gemma3, Sequence};
use gemma3_processor::{Pixels, Prepared};

/// Image tokens `[t, D]` of pictures by a key that the caller gives, as many as fit into a number of bytes; what was not used for the
/// longest goes first. It belongs to one model: keys say nothing of whose tokens they are.
#[derive(Debug)]
pub struct FeatureCache {
    kept: Mutex<Kept>,
    most_bytes: u64,
}

#[derive(Debug, Default)]
struct Kept {
    features: HashMap<String, (Tensor, u64)>,
    bytes: u64,
    /// Counts uses: the smaller number was used earlier.
    clock: u64,
    hits: u64,
    misses: u64,
}

impl FeatureCache {
    /// Empty, for so many bytes.
    pub fn new(most_bytes: u64) -> Self {
        Self { kept: Mutex::default(), most_bytes }
    }

    /// How many pictures were found in it, and how many were not.
    pub fn counts(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.hits, kept.misses)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner) // nothing in it is half done when it panics
    }

    /// The tokens of a picture: kept ones, or those that `make` makes.
    fn tokens(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        {
            let mut kept = self.kept();
            kept.clock += 1;
            let clock = kept.clock;
            if let Some((features, used)) = kept.features.get_mut(key) {
                *used = clock;
                let features = features.shallow_clone();
                kept.hits += 1;
                return Ok(features);
            }
            kept.misses += 1;
        }
        let features = make()?;
        self.keep(key, &features);
        Ok(features)
    }

    fn keep(&self, key: &str, features: &Tensor) {
        let bytes = bytes_of(features);
        if self.most_bytes < bytes {
            return;
        }
        let mut kept = self.kept();
        while self.most_bytes < kept.bytes + bytes {
            let oldest = kept.features.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some((gone, _)) = kept.features.remove(&oldest) {
                kept.bytes -= bytes_of(&gone);
            }
        }
        let clock = kept.clock;
        if kept.features.insert(key.to_owned(), (features.shallow_clone(), clock)).is_none() {
            kept.bytes += bytes;
        }
    }
}

fn bytes_of(features: &Tensor) -> u64 {
    (features.numel() * features.kind().elt_size_in_bytes()) as u64
}

impl Gemma3 {
    /// As [`Gemma3::encode`], with pictures that were seen before taken from a cache; `key` names a picture by its pixels.
    ///
    /// # Errors
    /// As [`Gemma3::encode`].
    pub fn encode_cached(
        &self,
        prepared: &Prepared,
        cache: &FeatureCache,
        key: impl Fn(&Pixels) -> String,
    ) -> Result<Sequence, Error> {
        let tokens = |pixels: &Pixels| cache.tokens(&key(pixels), || self.encode_image(pixels));
        let features = prepared.pixels.iter().map(tokens).collect::<Result<_, _>>()?;
        let images = prepared.images.iter().map(|image| image.span.clone()).collect();
        self.sequence(prepared.ids.clone(), images, features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard;
    use tch::{Device, Kind};

    fn ones(n: i64) -> Result<Tensor, Error> {
        guard("making a tensor", || Tensor::ones([n], (Kind::Float, Device::Cpu)))
    }

    #[test]
    fn what_was_used_last_stays() {
        let cache = FeatureCache::new(80); // two of ten numbers
        let made = std::cell::Cell::new(0);
        let ask = |key: &str, n| {
            let make = || {
                made.set(made.get() + 1);
                ones(n)
            };
            assert_eq!(cache.tokens(key, make).unwrap().size(), [n]);
        };
        ask("a", 10);
        ask("b", 10);
        ask("a", 10);
        assert_eq!(made.get(), 2);
        ask("c", 10); // in the place of b
        ask("a", 10);
        assert_eq!(made.get(), 3);
        ask("b", 10);
        assert_eq!(made.get(), 4);
        ask("large", 100); // larger than the cache: nothing goes for it
        ask("b", 10);
        assert_eq!(made.get(), 5);
        assert_eq!(cache.counts(), (3, 5));
        assert_eq!(cache.kept().bytes, 80);
    }
}
