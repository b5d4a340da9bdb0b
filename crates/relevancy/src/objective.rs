//! The scalar that is differentiated.

use std::fmt;

/// The scalar whose gradient weights the attention.
///
/// Closed, as [`Foil`] is: an engine that matches it has said what it does with every scalar there is, and does not compile when there is
/// one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// The logit of the token: the published rule.
    #[default]
    Logit,
    /// The logarithm of the token's probability.
    LogProbability,
    /// The logarithm of the odds that it is this token and no other, `ln(p/(1 − p))`: its logit minus the logarithm of the sum of the
    /// exponentials of all others. So it is a contrast with every other token at once, each by its probability among the others. Its
    /// gradient is that of the log-probability over `1 − p`: it does not vanish where the model is sure.
    LogOdds,
    /// The logit of the token minus that of another one: why this and not that. Like the logarithm of the probability, and unlike
    /// the logit, it does not change when the same number is added to all logits, which changes no answer.
    Contrast(Foil),
}

/// What a token is contrasted with. Which one it is, is fixed before the gradient is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foil {
    /// The token with the highest logit beside the explained one, for each token its own ([`Score::runner_up`](crate::Score)), unless
    /// the engine is told another.
    RunnerUp,
    /// The token that would most likely stand there, beside the explained one, if nothing behind the pictures saw them. An engine does not
    /// know it: whoever asks names it for every token.
    Unseen,
    /// This token of the vocabulary.
    Token(u32),
}

/// The name in lower case, such as `logit`, `log-probability`, `log-odds` or `contrast with token 7`.
impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logit => f.write_str("logit"),
            Self::LogProbability => f.write_str("log-probability"),
            Self::LogOdds => f.write_str("log-odds"),
            Self::Contrast(Foil::RunnerUp) => f.write_str("contrast with the runner-up"),
            Self::Contrast(Foil::Unseen) => {
                f.write_str("contrast with the answer without a look at the pictures")
            }
            Self::Contrast(Foil::Token(token)) => write!(f, "contrast with token {token}"),
        }
    }
}
