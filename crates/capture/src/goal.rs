//! What is explained, and what comes out.

use attention_relevancy::Target;
use attention_relevancy::ndarray::Array1;
use std::fmt;

/// The scalar whose gradient weights the attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// The logit of the token: the published rule.
    #[default]
    Logit,
    /// The logarithm of the token's probability.
    LogProbability,
}

/// The name in lower case: `logit`, `log-probability`.
impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logit => "logit",
            Self::LogProbability => "log-probability",
        })
    }
}

/// One scalar to explain: the sum of an [`Objective`] over some tokens.
///
/// With one target it is the explanation of that token. With several, gradients add up before the positive part is taken, and the
/// row starts as the mean of the rows that predict the targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    targets: Vec<Target>,
}

impl Goal {
    /// The explanation of one token.
    pub fn token(target: Target) -> Self {
        Self { targets: vec![target] }
    }

    /// One explanation of several tokens together; `None` when there is none.
    pub fn sum(targets: Vec<Target>) -> Option<Self> {
        (!targets.is_empty()).then_some(Self { targets })
    }

    /// The tokens, at least one.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The row that the propagation starts from: the mean of the unit vectors at the predicting positions, `[S]`.
    pub(crate) fn start(&self, tokens: usize) -> Array1<f32> {
        let mut row = Array1::zeros(tokens);
        for target in &self.targets {
            row[target.logit_row()] += 1.0 / self.targets.len() as f32;
        }
        row
    }
}

/// What an engine finds out about one [`Goal`]. Rows are `[S]`, raw, zero past the last predicting position.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// The relevancy row, self term included.
    pub relevancy: Array1<f32>,
    /// Head mean of the last layer's attention at the predicting position (the mean of several).
    pub raw_attention: Array1<f32>,
    /// Attention rollout at the predicting position (the mean of several).
    pub rollout: Array1<f32>,
}

/// How the model rates a token that stands in the sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Its logit.
    pub logit: f32,
    /// The logarithm of its probability.
    pub log_probability: f32,
}
