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
    /// The tokens that could stand there beside the explained one, each by the product of its probability with the pictures and its
    /// probability with every picture hidden ([`Foils`]). An engine does not know them: whoever asks names them for every token.
    Alternatives,
    /// This token of the vocabulary.
    Token(u32),
}

/// What one token is set against: others of the vocabulary, each with its weight. The contrast is the token's logit minus the weighted mean
/// of theirs.
///
/// ```
/// use attention_relevancy::Foils;
///
/// let foils = Foils::weighted([(7, 3.0), (2, 1.0)]).unwrap();
/// assert_eq!(foils.iter().collect::<Vec<_>>(), [(7, 0.75), (2, 0.25)]);
/// assert_eq!(Foils::from(7).most(), 7);
/// assert!(Foils::weighted([(7, 0.0)]).is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Foils(Vec<(u32, f32)>);

impl Foils {
    /// Tokens with weights, which are divided by their sum. `None` where that is not above zero, or a weight is below zero or not a number.
    pub fn weighted(tokens: impl IntoIterator<Item = (u32, f32)>) -> Option<Self> {
        let tokens: Vec<(u32, f32)> = tokens.into_iter().collect();
        let sum: f32 = tokens.iter().map(|(_, weight)| weight).sum();
        let is_weight = |(_, weight): &(u32, f32)| 0.0 <= *weight;
        let fits = tokens.iter().all(is_weight) && 0.0 < sum && sum.is_finite();
        fits.then(|| Self(tokens.iter().map(|(token, weight)| (*token, weight / sum)).collect()))
    }

    /// The tokens with their weights, which sum to one.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> {
        self.0.iter().copied()
    }

    /// The first of those with the largest weight.
    pub fn most(&self) -> u32 {
        let larger =
            |most: (u32, f32), other: (u32, f32)| if most.1 < other.1 { other } else { most };
        self.iter().fold((0, 0.0), larger).0
    }
}

/// One token with all the weight.
impl From<u32> for Foils {
    fn from(token: u32) -> Self {
        Self(vec![(token, 1.0)])
    }
}

/// The name in lower case, such as `logit`, `log-probability`, `log-odds` or `contrast with token 7`.
impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logit => f.write_str("logit"),
            Self::LogProbability => f.write_str("log-probability"),
            Self::LogOdds => f.write_str("log-odds"),
            Self::Contrast(Foil::RunnerUp) => f.write_str("contrast with the runner-up"),
            Self::Contrast(Foil::Alternatives) => f.write_str("contrast with the alternatives"),
            Self::Contrast(Foil::Token(token)) => write!(f, "contrast with token {token}"),
        }
    }
}
