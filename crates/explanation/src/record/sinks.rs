//! What a record says of attention sinks.

use attention_relevancy::{SinkRule, Sinks};
use serde::{Deserialize, Serialize};

use crate::Token;

/// Sinks that a summary names.
const MOST: usize = 12;

/// The attention sinks of the run: tokens with a massive activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SinksRecord {
    /// What became of them in the relevancy: keep (they are told) or drop (their columns are taken out of the propagation).
    pub rule: String,
    /// What φ was compared with: as asked for, or that of the model's width, 20·√(D/4096).
    pub threshold: f32,
    /// The massive dimensions of the hidden states, found in the run.
    pub dimensions: Vec<usize>,
    /// The sinks in the order of their positions; empty where no token is one.
    pub tokens: Vec<SinkRecord>,
}

/// A token with a massive activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SinkRecord {
    /// Its position in the sequence.
    pub position: usize,
    /// Its id in the vocabulary.
    pub id: u32,
    /// Its text.
    pub text: String,
    /// The largest activation in a massive dimension, over the root mean square of its hidden state.
    pub phi: f32,
    /// The layer at whose input that is, counted from 0.
    pub layer: usize,
}

impl SinksRecord {
    /// Of the sinks of a run over these tokens.
    pub fn new(rule: SinkRule, sinks: &Sinks, tokens: &[Token]) -> Self {
        let record = |sink: &attention_relevancy::Sink| {
            let token = tokens.get(sink.position)?;
            let (position, id, text) = (sink.position, token.id, token.text.clone());
            Some(SinkRecord { position, id, text, phi: sink.phi, layer: sink.layer })
        };
        Self {
            rule: rule.name().to_owned(),
            threshold: sinks.threshold,
            dimensions: sinks.dimensions.clone(),
            tokens: sinks.tokens.iter().filter_map(record).collect(),
        }
    }

    /// In a line, for people.
    pub fn summary(&self) -> String {
        let limit = format!("φ above {}", (100.0 * self.threshold).round() / 100.0);
        if self.tokens.is_empty() {
            return format!("none: no token has {limit}");
        }
        let what = if self.rule == SinkRule::Drop.name() {
            "taken out of the relevancy"
        } else {
            "in the relevancy"
        };
        let name = |sink: &SinkRecord| {
            format!("{:?} at position {} (φ {:.1})", sink.text, sink.position, sink.phi)
        };
        let names: Vec<String> = self.tokens.iter().take(MOST).map(name).collect();
        let more = match self.tokens.len().saturating_sub(MOST) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("{what}, {limit}: {}{more}", names.join(", "))
    }
}
