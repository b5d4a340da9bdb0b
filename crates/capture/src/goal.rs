//! What is explained, and what comes out.

use crate::Error;
use attention_relevancy::Target;
use attention_relevancy::ndarray::Array1;
use std::fmt;
use tch::{Kind, Tensor};

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

    /// One behind the last predicting position: nothing from there on is needed.
    pub(crate) fn end(&self) -> usize {
        self.targets.iter().map(|target| target.logit_row() + 1).max().unwrap_or(0)
    }

    /// Whether every target stands in the sequence and the row that predicts it was computed.
    pub(crate) fn check(&self, ids: &[u32], computed: usize) -> Result<(), Error> {
        let stands = |target: &&Target| {
            ids.get(target.position()) == Some(&target.token()) && target.logit_row() < computed
        };
        self.targets.iter().find(|target| !stands(target)).map_or(Ok(()), |target| {
            let (position, token) = (target.position(), target.token());
            Err(Error::Target { position, token, tokens: ids.len() })
        })
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

impl Score {
    /// Of each target, from the logits `[targets, V]` of the rows before them.
    pub(crate) fn of(logits: &Tensor, goal: &Goal) -> Result<Vec<Self>, Error> {
        let log_probabilities = logits.log_softmax(-1, Kind::Float);
        let score = |(index, target): (usize, &Target)| {
            let at = [index as i64, i64::from(target.token())];
            let score = Self {
                logit: logits.double_value(&at) as f32,
                log_probability: log_probabilities.double_value(&at) as f32,
            };
            let finite = score.logit.is_finite() && score.log_probability.is_finite();
            if finite { Ok(score) } else { Err(Error::Logit { row: target.logit_row() }) }
        };
        goal.targets().iter().enumerate().map(score).collect()
    }
}
