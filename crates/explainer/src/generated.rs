//! How an answer is drawn, and what was generated.

use crate::setters::setters;
use std::time::Duration;

/// How a token is drawn. Applied in transformers' order: temperature, then `top_k`, then `top_p`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// Logits are divided by it; > 0.
    pub temperature: f64,
    /// Only the `k` most likely tokens; 0: all.
    pub top_k: usize,
    /// Only the smallest set of most likely tokens whose probability reaches this; 1: all.
    pub top_p: f64,
    /// Of the random numbers: the same seed gives the same text.
    pub seed: u64,
}

setters!(Sampling {
    with_temperature = temperature: f64,
    with_top_k = top_k: usize,
    with_top_p = top_p: f64,
});

/// What the model generated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Generated {
    /// The answer, without the stop token.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub stop: StopReason,
    /// From the embeddings of the prompt to its last logits.
    pub prefill: Duration,
    /// From there to the end.
    pub decode: Duration,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The model made this stop token.
    Token(u32),
    /// `max_new_tokens` were made.
    Limit,
    /// The model's context is full.
    Context,
    /// The caller asked to stop.
    Caller,
    /// Nothing was generated: the answer was given.
    Given,
}

impl Sampling {
    /// From the probabilities as they are: temperature 1, of all tokens.
    pub fn new(seed: u64) -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, seed }
    }

    /// As the checkpoint's makers advise.
    pub(crate) fn advised(advice: &gemma3_tch::GenerationConfig, seed: u64) -> Self {
        Self {
            temperature: advice.temperature,
            top_k: advice.top_k.unwrap_or(0),
            top_p: advice.top_p,
            seed,
        }
    }

    pub(crate) fn of_model(self) -> gemma3_tch::Sampling {
        let Self { temperature, top_k, top_p, seed } = self;
        gemma3_tch::Sampling { temperature, top_k, top_p, seed }
    }
}

impl Generated {
    pub(crate) fn new(generated: gemma3_tch::Generated) -> Self {
        let gemma3_tch::Generated { tokens, stop, prefill, decode } = generated;
        let stop = match stop {
            gemma3_tch::StopReason::Token(id) => StopReason::Token(id),
            gemma3_tch::StopReason::Limit => StopReason::Limit,
            gemma3_tch::StopReason::Context => StopReason::Context,
            gemma3_tch::StopReason::Caller => StopReason::Caller,
        };
        Self { tokens, stop, prefill, decode }
    }
}
