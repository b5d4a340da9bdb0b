//! Weights that bitsandbytes quantised to NF4, in safetensors: the half bytes under the weight's name, and beside it what they stand for.
//!
//! `W` uint8 `[n/2, 1]`, `W.absmax`, `W.quant_map` (16 numbers), with double quantisation `W.nested_absmax` and `W.nested_quant_map` (256),
//! and `W.quant_state.bitsandbytes__nf4`: JSON with the sizes of blocks, an offset, the shape and the type that the weight had
//! (`bitsandbytes/functional.py`, `QuantState`).

use std::sync::Arc;

use quantised_weights::{Nf4, Nf4Scales, RoundTo};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::shard::Shard;
use crate::weight::{Blocks, Code, Weight};
use crate::{Error, Placement};

/// What the name of a quantised weight has behind it, for its description.
const STATE: &str = ".quant_state.bitsandbytes__nf4";
/// The same for what belongs to it.
const BESIDE: [&str; 5] = [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", STATE];
/// Bytes of a description; real ones have 170.
const LONGEST: usize = 4096;

/// The description of one weight.
#[derive(Debug)]
pub(super) struct State {
    /// The weight's name in its file.
    pub(super) stored: String,
    pub(super) shape: [usize; 2],
    block: usize,
    nested: Option<Nested>,
    rounds_to: RoundTo,
}

#[derive(Debug)]
struct Nested {
    block: usize,
    offset: f32,
}

/// The name of the weight that a description belongs to.
pub(super) fn described(stored: &str) -> Option<&str> {
    stored.strip_suffix(STATE)
}

/// The name of the weight that a tensor stands beside.
pub(super) fn beside(stored: &str) -> Option<&str> {
    BESIDE.iter().find_map(|suffix| stored.strip_suffix(suffix))
}

impl State {
    /// Reads the description of the weight `stored` in a file.
    pub(super) fn read(shard: &Shard, stored: &str) -> Result<Self, Error> {
        let name = format!("{stored}{STATE}");
        let wrong = |reason: String| Error::Nf4 { name: name.clone(), reason };
        let bytes = numbers::<u8>(shard, &name, Kind::Uint8)?;
        if LONGEST < bytes.len() {
            return Err(wrong(format!("has {} bytes, over {LONGEST}", bytes.len())));
        }
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("is no JSON: {error}")))?;
        let size = |field: &str| {
            let found = value.get(field).and_then(Value::as_u64);
            let found = found.and_then(|size| usize::try_from(size).ok());
            let found = found.filter(|size| (1..=1 << 20).contains(size));
            found.ok_or_else(|| wrong(format!("has no {field} from 1 to 2²⁰")))
        };
        if value.get("quant_type").and_then(Value::as_str) != Some("nf4") {
            return Err(wrong("is not of quant_type nf4".to_owned()));
        }
        let shape = value.get("shape").and_then(Value::as_array).and_then(|sides| {
            let side = |side: &Value| side.as_u64().and_then(|side| usize::try_from(side).ok());
            let sides: Option<Vec<usize>> = sides.iter().map(side).collect();
            <[usize; 2]>::try_from(sides?).ok()
        });
        let shape = shape.ok_or_else(|| wrong("has no shape of two sides".to_owned()))?;
        let rounds_to = match value.get("dtype").and_then(Value::as_str) {
            Some("bfloat16") => RoundTo::BFloat16,
            Some("float16") => RoundTo::Float16,
            Some("float32") => RoundTo::Float32,
            found => {
                return Err(wrong(format!(
                    "has the dtype {found:?}; bfloat16, float16 and float32 are read"
                )));
            }
        };
        let nested = match value.get("nested_blocksize") {
            None | Some(Value::Null) => None,
            Some(_) => {
                let offset = value.get("nested_offset").and_then(Value::as_f64);
                let offset = offset.map(|offset| offset as f32).filter(|offset| offset.is_finite());
                let offset = offset.ok_or_else(|| wrong("has no nested_offset".to_owned()))?;
                Some(Nested { block: size("nested_blocksize")?, offset })
            }
        };
        Ok(Self { stored: stored.to_owned(), shape, block: size("blocksize")?, nested, rounds_to })
    }

    /// The weight, which stays as it is in the file.
    pub(super) fn weight(&self, shard: &Shard, placement: Placement) -> Result<Weight, Error> {
        let [outputs, inputs] = self.shape;
        let wrong = |part: &str, reason: String| Error::Nf4 {
            name: format!("{}{part}", self.stored),
            reason,
        };
        let weights = outputs.checked_mul(inputs).filter(|_| inputs.is_multiple_of(2));
        let weights = weights.ok_or_else(|| {
            wrong(STATE, format!("has the shape {outputs}×{inputs}; rows of even length are read"))
        })?;
        let bytes = raw(shard, &self.stored, Kind::Uint8)?;
        if bytes.numel() * 2 != weights {
            let reason = format!("has {} bytes for {weights} weights", bytes.numel());
            return Err(wrong("", reason));
        }
        let list = |part: &str, count: usize| {
            let found = numbers::<f32>(shard, &format!("{}{part}", self.stored), Kind::Float)?;
            if found.len() == count {
                Ok(found)
            } else {
                Err(wrong(part, format!("has {} numbers, expected {count}", found.len())))
            }
        };
        let code = <[f32; 16]>::try_from(list(".quant_map", 16)?).expect("16 were counted");
        let blocks = weights.div_ceil(self.block);
        let scales = match &self.nested {
            None => Nf4Scales::Plain(list(".absmax", blocks)?),
            Some(Nested { block, offset }) => {
                let quants = numbers::<u8>(shard, &format!("{}.absmax", self.stored), Kind::Uint8)?;
                if quants.len() != blocks {
                    let reason = format!("has {} bytes, expected {blocks}", quants.len());
                    return Err(wrong(".absmax", reason));
                }
                Nf4Scales::Nested {
                    code: list(".nested_quant_map", 256)?,
                    scales: list(".nested_absmax", blocks.div_ceil(*block))?,
                    quants,
                    block: *block,
                    offset: *offset,
                }
            }
        };
        let code = Nf4 { code, block: self.block, scales, rounds_to: self.rounds_to };
        Ok(Weight::Blocks(Blocks {
            bytes: bytes.view([outputs as i64, inputs as i64 / 2]),
            inputs: inputs as i64,
            code: Code::Nf4(Arc::new(code)),
            kind: placement.kind.unwrap_or(Kind::Float),
            device: placement.device,
        }))
    }
}

/// A tensor as it stands in its file, which must be of that type.
fn raw(shard: &Shard, stored: &str, kind: Kind) -> Result<Tensor, Error> {
    let missing = || Error::Nf4 { name: stored.to_owned(), reason: "is missing".to_owned() };
    let info = shard.info(stored).ok_or_else(missing)?;
    let name = match kind {
        Kind::Uint8 => "U8",
        _ => "F32",
    };
    if info.dtype.to_string() != name {
        let reason = format!("is of type {}, expected {name}", info.dtype);
        return Err(Error::Nf4 { name: stored.to_owned(), reason });
    }
    shard.mapped(info, kind)
}

fn numbers<T: tch::kind::Element + Default + Clone>(
    shard: &Shard,
    stored: &str,
    kind: Kind,
) -> Result<Vec<T>, Error> {
    let tensor = raw(shard, stored, kind)?.reshape([-1]).to_device(Device::Cpu);
    let mut numbers = vec![T::default(); tensor.numel()];
    let count = numbers.len();
    tensor.copy_data(&mut numbers, count);
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::super::{Source as _, Weights};
    use super::*;
    use tempfile::TempDir;

    const FILE: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/quantised/nf4.safetensors");

    /// The file of bitsandbytes as the weights of a folder, after a change of its bytes.
    fn weights(change: impl FnOnce(&mut Vec<u8>)) -> Result<(TempDir, Weights), Error> {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = std::fs::read(FILE).unwrap();
        change(&mut bytes);
        std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
        let weights = Weights::open(dir.path())?;
        weights.weight("plain.weight", [96, 320], Placement::AS_STORED).map(|_| (dir, weights))
    }

    #[test]
    fn weights_are_those_of_bitsandbytes_to_the_last_bit() {
        let (_dir, weights) = weights(|_| {}).unwrap();
        let all: Vec<u32> = (0..96).collect();
        for name in ["plain", "nested"] {
            let weight = format!("{name}.weight");
            let found = weights.weight(&weight, [96, 320], Placement::AS_STORED).unwrap();
            let as_float = Placement { kind: Some(Kind::Float), ..Placement::AS_STORED };
            let expected = weights.load(&format!("{name}.expected"), &[96, 320], as_float).unwrap();
            assert_eq!(found.rows(&all), expected, "{name}");
            let wrong = weights.weight(&weight, [320, 96], Placement::AS_STORED).unwrap_err();
            assert!(matches!(wrong, Error::Shape { .. }), "{wrong}");
        }
        // What stands beside a weight is no tensor of its own.
        let stored: Vec<_> =
            weights.stored().map(|tensor| (tensor.name.to_owned(), tensor.dtype)).collect();
        let pair = |name: &str, dtype: &str| (name.to_owned(), dtype.to_owned());
        let expected = [
            pair("nested.expected", "BF16"),
            pair("nested.weight", "NF4"),
            pair("plain.expected", "BF16"),
            pair("plain.weight", "NF4"),
        ];
        assert_eq!(stored, expected);
    }

    #[test]
    fn what_is_wrong_with_a_weight_is_named() {
        let replace = |from: &'static str, to: &'static str| {
            assert_eq!(from.len(), to.len());
            move |bytes: &mut Vec<u8>| {
                let mut places = 0;
                for at in 0..bytes.len() - from.len() {
                    if bytes[at..].starts_with(from.as_bytes()) {
                        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
                        places += 1;
                    }
                }
                assert!(0 < places, "{from}");
            }
        };
        for (from, to, part) in [
            ("\"quant_type\": \"nf4\"", "\"quant_type\": \"fp4\"", "quant_type nf4"),
            ("\"blocksize\": 64", "\"blocksize\": -4", "has no blocksize"),
            ("\"shape\": [96, 320]", "\"shape\": [95, 321]", ""),
            ("\"dtype\": \"bfloat16\"", "\"dtype\": \"bfloat17\"", "has the dtype"),
            ("{\"quant_type\"", "[\"quant_type\"", "is no JSON"),
            ("plain.weight.quant_map", "plain.weight.quant_mop", "quant_map"),
        ] {
            let error = weights(replace(from, to)).err();
            let message = error.unwrap_or_else(|| panic!("{to} was read")).to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn names_beside_a_weight_are_known() {
        assert_eq!(beside("a.weight.nested_absmax"), Some("a.weight"));
        assert_eq!(described("a.weight.quant_state.bitsandbytes__nf4"), Some("a.weight"));
        assert_eq!(beside("a.weight"), None);
    }
}
