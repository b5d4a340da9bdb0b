//! `generation_config.json`: how the makers of a checkpoint sample from it.

use std::path::Path;

use serde_json::Value;

use super::{Config, Fields};
use crate::{Error, files};

/// How to choose tokens and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// Ids that end an answer.
    pub eos_token_ids: Vec<u32>,
    /// Whether to sample; otherwise the most likely token is taken.
    pub do_sample: bool,
    /// Sample among so many most likely tokens; `None` for all.
    pub top_k: Option<usize>,
    /// Sample among the most likely tokens whose probabilities sum to this; in (0, 1].
    pub top_p: f64,
    /// Logits are divided by this; above zero.
    pub temperature: f64,
}

impl GenerationConfig {
    /// Reads the file in a checkpoint directory; where there is none, greedy choice with the stop ids of `config`.
    pub fn from_dir(dir: &Path, config: &Config) -> Result<Self, Error> {
        let found = files::read_json_if_present(&dir.join("generation_config.json"))?;
        let value = found.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        Self::from_value(&value, config).map_err(in_this_file)
    }

    /// Greedy choice with the stop ids of `config`.
    pub(crate) fn greedy(config: &Config) -> Self {
        Self {
            eos_token_ids: config.eos_token_ids.clone(),
            do_sample: false,
            top_k: Some(DEFAULT_TOP_K),
            top_p: 1.0,
            temperature: 1.0,
        }
    }

    fn from_value(value: &Value, config: &Config) -> Result<Self, Error> {
        let fields = Fields::root(value)?;
        let eos = fields.token_ids("eos_token_id")?.filter(|ids| !ids.is_empty());
        let top_k = match fields.value("top_k").and_then(Value::as_u64) {
            Some(0) => None, // transformers: no limit
            _ => Some(fields.size("top_k", 1 << 24)?.unwrap_or(DEFAULT_TOP_K)),
        };
        let greedy = fields.value("temperature").and_then(Value::as_f64) == Some(0.0); // the limit of no randomness
        let temperature = if greedy { None } else { fields.positive("temperature")? };
        let top_p = fields.positive("top_p")?.unwrap_or(1.0);
        if 1.0 < top_p {
            return Err(fields.wrong("top_p", format!("is {top_p}, but must be at most 1")));
        }
        Ok(Self {
            eos_token_ids: eos.unwrap_or_else(|| config.eos_token_ids.clone()),
            do_sample: fields.flag("do_sample")?.unwrap_or(false) && !greedy,
            top_k,
            top_p,
            temperature: temperature.unwrap_or(1.0),
        })
    }
}

/// What transformers takes where the file does not say.
const DEFAULT_TOP_K: usize = 50;

/// Field errors name config.json; here they are about the other file.
fn in_this_file(error: Error) -> Error {
    match error {
        Error::Field { field, reason } => Error::GenerationField { field, reason },
        other => other,
    }
}
