//! The weights of a checkpoint as adapters have changed them, tensor by tensor when they are asked for.

use tch::{Device, Kind, Tensor};

use super::{AppliedAdapter, EMBEDDING, HEAD};
use crate::weight::Weight;
use crate::weight::low_rank::{LowRank, adapted};
use crate::weights::{Source, Weights};
use crate::{Error, Placement};

/// A checkpoint with adapters, applied in this order.
pub(crate) struct AdaptedWeights<'a> {
    weights: &'a Weights,
    adapters: &'a [AppliedAdapter],
    /// Whether the checkpoint's head is its embedding, and the adapters' is not.
    parts_head: bool,
}

impl<'a> AdaptedWeights<'a> {
    /// `is_tied`: whether the checkpoint's head is its embedding.
    pub(crate) fn new(weights: &'a Weights, adapters: &'a [AppliedAdapter], is_tied: bool) -> Self {
        let parts_head = is_tied && adapters.iter().any(|applied| applied.adapter.parts_head());
        Self { weights, adapters, parts_head }
    }

    /// Whether the head has weights of its own only because of the adapters.
    pub(crate) fn parts_head(&self) -> bool {
        self.parts_head
    }

    /// The checkpoint's own tensor that a name begins from.
    fn base<'b>(&self, name: &'b str) -> &'b str {
        if self.parts_head && name == "lm_head.weight" {
            "language_model.embed_tokens.weight"
        } else {
            name
        }
    }

    /// Numbers that adapters hold for a tensor.
    pub(crate) fn added(&self, name: &str) -> u64 {
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let of = |applied: &AppliedAdapter| {
            let pair = applied.adapter.pairs.get(module);
            let stored = pair
                .into_iter()
                .flat_map(|pair| [&pair.down, &pair.up].into_iter().map(String::as_str));
            let numel = |stored: &str| -> u64 {
                applied.adapter.shard.known(stored).shape.iter().map(|&side| side as u64).product()
            };
            stored.chain(applied.whole(name)).map(numel).sum::<u64>()
        };
        self.adapters.iter().map(of).sum()
    }

    /// Whether adapters change a tensor.
    pub(crate) fn is_changed(&self, name: &str) -> bool {
        let module = name.strip_suffix(".weight").unwrap_or(name);
        self.adapters.iter().any(|applied| {
            applied.whole(name).is_some() || applied.adapter.pairs.contains_key(module)
        })
    }
}

impl AppliedAdapter {
    /// The stored name of what replaces a tensor.
    fn whole(&self, name: &str) -> Option<&str> {
        let adapter = &self.adapter;
        let own = adapter.whole.get(name);
        let tied = || {
            adapter
                .whole
                .get(&format!("{EMBEDDING}.weight"))
                .filter(|_| adapter.follows_embedding(name))
        };
        own.or_else(tied).map(String::as_str)
    }

    /// A replaced tensor: this far from `base` to the adapter's.
    fn replaced(
        &self,
        stored: &str,
        base: impl FnOnce() -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        if self.weight == 1.0 {
            return self.adapter.tensor(stored, Placement::AS_STORED);
        }
        let saved = self.adapter.tensor(stored, FLOAT)?;
        let base = base()?;
        Ok(&base + (saved - &base) * self.weight)
    }
}

const FLOAT: Placement = Placement { device: Device::Cpu, kind: Some(Kind::Float) };

/// The tensor in its type and at its place.
fn placed(tensor: &Tensor, placement: Placement, stored: Kind) -> Tensor {
    tensor.to_device_(placement.device, placement.kind.unwrap_or(stored), false, false)
}

impl Source for AdaptedWeights<'_> {
    fn load(&self, name: &str, shape: &[usize], placement: Placement) -> Result<Tensor, Error> {
        let base = self.weights.load(self.base(name), shape, placement)?;
        let changes =
            self.adapters.iter().filter_map(|applied| Some((applied, applied.whole(name)?)));
        let kind = base.kind();
        changes.fold(Ok(base), |before, (applied, stored)| {
            let before = before?;
            let after = applied.replaced(stored, || {
                Ok(before.to_device_(Device::Cpu, Kind::Float, false, false))
            })?;
            Ok(placed(&after, placement, kind))
        })
    }

    fn weight(&self, name: &str, shape: [usize; 2], placement: Placement) -> Result<Weight, Error> {
        if !self.is_changed(name) {
            return self.weights.weight(self.base(name), shape, placement);
        }
        // Numbers are merged as they are stored, on the CPU: rounded once, at the end.
        let base = self.weights.weight(
            self.base(name),
            shape,
            Placement { kind: None, device: Device::Cpu },
        )?;
        let mut base = match base {
            Weight::Dense(_) => base,
            _ => self.weights.weight(self.base(name), shape, placement)?,
        };
        let stored = base.kind();
        let rows = shape[0] as i64;
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let mut parts: Vec<LowRank> = Vec::new();
        for applied in self.adapters {
            if let Some(whole) = applied.whole(name) {
                let before = std::mem::take(&mut parts);
                let after = applied.replaced(whole, || {
                    Ok(adapted(base, before, Kind::Float).stretch(0, rows, Kind::Float))
                })?;
                base = Weight::Dense(after);
            }
            if let Some(pair) = applied.adapter.pairs.get(module) {
                let pair = applied.adapter.pair(pair)?;
                parts.push(LowRank::new(&pair, applied.weight, &base, &parts));
            }
        }
        let kind = placement.kind.unwrap_or(stored);
        Ok(match adapted(base, parts, kind) {
            Weight::Dense(merged) => Weight::Dense(placed(&merged, placement, kind)),
            beside => beside,
        })
    }

    fn gain(&self, name: &str, width: usize, placement: Placement) -> Result<Tensor, Error> {
        let base = self.weights.gain(name, width, placement)?;
        let changes =
            self.adapters.iter().filter_map(|applied| Some((applied, applied.whole(name)?)));
        changes.fold(Ok(base), |before, (applied, stored)| {
            let saved = applied
                .adapter
                .tensor(stored, Placement { kind: Some(Kind::Float), ..placement })?
                + 1.0;
            let before = before?;
            Ok(&before + (saved - &before) * applied.weight)
        })
    }

    fn contains(&self, name: &str) -> bool {
        self.weights.contains(name) || (self.parts_head && name == format!("{HEAD}.weight"))
    }
}
