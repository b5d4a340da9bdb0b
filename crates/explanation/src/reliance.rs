//! Whether an explained text relies on the pictures: what the probability of its tokens gains by them.

use std::fmt;

use serde::{Deserialize, Serialize};

mod verdict;

pub use verdict::{DependsOnPicture, NATS_OF_A_CHANGE};

/// What replaced the pictures of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BlankKind {
    /// A picture of the mean colour.
    Mean,
    /// A blurred picture.
    Blur,
    /// The mean embedding of the picture's tokens.
    MeanEmbedding,
    /// No token behind a picture sees it.
    Knockout,
    /// Another picture.
    Another,
}

impl BlankKind {
    /// The name on the command line and in the record: `mean`, `blur`, `mean-embedding`, `knockout` or `another`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Blur => "blur",
            Self::MeanEmbedding => "mean-embedding",
            Self::Knockout => "knockout",
            Self::Another => "another",
        }
    }

    /// What it is, in words that go on from `as likely with`.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Mean => "an even picture",
            Self::Blur => "a blurred picture",
            Self::MeanEmbedding => "its mean embedding",
            Self::Knockout => "the picture hidden",
            Self::Another => "the other picture",
        }
    }
}

impl From<&BlankKind> for BlankKind {
    fn from(kind: &BlankKind) -> Self {
        *kind
    }
}

impl fmt::Display for BlankKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a word or phrase relies on the pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetReliance {
    /// One for each of the blanks that were tried.
    pub blanks: Vec<Gain>,
    /// Entropy of the relevancy of all image cells, divided by the logarithm of their number: 0 for all in one cell, 1 for an even
    /// map. `None` where no cell has any.
    pub map_entropy: Option<f32>,
    /// What its thinking trace does for it; `None` for an answer without one, and for a target that is part of it.
    pub trace: Option<ThroughTrace>,
}

/// How a word of an answer gets to the picture: by itself, or through the thinking trace before it. Each is what the log-probability of the
/// word loses, in nats, where some tokens do not see others, in any head of any layer (attention knock-out, Geva et al. 2023). What is lost
/// by two ways need not add up to what is lost by both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ThroughTrace {
    /// Nothing behind the pictures sees them.
    pub picture: f64,
    /// The tokens of the trace do not see the pictures; the question and the answer do.
    pub picture_in_trace: f64,
    /// The answer does not see the pictures; the question and the trace do.
    pub picture_in_answer: f64,
    /// The answer does not see the trace.
    pub trace: f64,
    /// The share of its relevancy at tokens of the trace, self terms left out; null where it has none.
    pub relevancy_in_trace: Option<f32>,
    /// The same at the tokens of the pictures.
    pub relevancy_in_pictures: Option<f32>,
}

impl ThroughTrace {
    /// Of these losses in nats, without relevancy.
    pub fn new([picture, picture_in_trace, picture_in_answer, trace]: [f64; 4]) -> Self {
        Self { picture, picture_in_trace, picture_in_answer, trace, ..Self::default() }
    }

    /// With the shares of the relevancy in the trace and in the pictures.
    #[must_use]
    pub fn with_relevancy(mut self, [trace, pictures]: [f32; 2]) -> Self {
        (self.relevancy_in_trace, self.relevancy_in_pictures) = (Some(trace), Some(pictures));
        self
    }

    /// In words: `−0.10 nats where the trace does not see the picture, …`.
    pub fn phrase(&self) -> String {
        let nats = |loss: f64| crate::text::minus(format!("{:+.2}", -loss + 0.0));
        format!(
            "{} nats without the picture; {} where only the trace does not see it, {} where only the answer does not, {} where the answer does not see the trace",
            nats(self.picture),
            nats(self.picture_in_trace),
            nats(self.picture_in_answer),
            nats(self.trace)
        )
    }
}

/// What the pictures add to the log-probability of the tokens of a target, against one blank.
#[derive(Clone, Debug, PartialEq)]
pub struct Gain {
    /// Of each token, given all before it, with the blank in the place of the pictures.
    pub log_probabilities: Vec<f32>,
    /// `log p(token | pictures, text) − log p(token | blank, text)` of each token in nats: its pointwise mutual information with the
    /// pictures.
    pub token_pmi: Vec<f32>,
}

/// What a reader should know before looking at the map of a target. A flag is about the blanks that raise it and no others;
/// whether the target depends on the picture at all is for [`DependsOnPicture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flag {
    /// The gain is below zero by [`NATS_OF_A_CHANGE`] or more: the model finds it less likely with the picture than with the blank.
    Against,
    /// The gain is within [`NATS_OF_A_CHANGE`] of zero: it is as likely with the blank.
    AsLikely,
}

/// A flag with the blanks that raise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flagged {
    /// The flag.
    pub flag: Flag,
    /// Indices into the blanks that were tried, at least one.
    pub blanks: Vec<usize>,
}

impl TargetReliance {
    /// Whether it depends on the picture, by all `blanks` together, those that it was tried with in order.
    pub fn depends_on_picture<B>(&self, blanks: &[B]) -> DependsOnPicture
    where
        BlankKind: for<'b> From<&'b B>,
    {
        DependsOnPicture::of(blanks.iter().zip(self.blanks.iter().map(Gain::pmi)))
    }

    /// What to beware of, and which of `blanks` say so. Empty where the picture makes it likelier than every blank does.
    pub fn flags<B>(&self, blanks: &[B]) -> Vec<Flagged> {
        let those = |flag: Flag| -> Flagged {
            let gains = self.blanks.iter().take(blanks.len()).enumerate();
            let raising = gains.filter(|(_, gain)| gain.flag() == Some(flag));
            Flagged { flag, blanks: raising.map(|(index, _)| index).collect() }
        };
        let found = [Flag::Against, Flag::AsLikely].map(those);
        found.into_iter().filter(|flagged| !flagged.blanks.is_empty()).collect()
    }

    /// The same in words: `as likely with a blurred picture`. Where all blanks together show that it does not depend on the picture,
    /// this alone, and whether the text is enough for it without any picture.
    pub fn beware<B>(&self, blanks: &[B]) -> Vec<String>
    where
        BlankKind: for<'b> From<&'b B>,
    {
        self.remarks(&blanks.iter().map(BlankKind::from).collect::<Vec<_>>())
    }

    fn remarks(&self, blanks: &[BlankKind]) -> Vec<String> {
        let flags = self.flags(blanks);
        if self.depends_on_picture(blanks) == DependsOnPicture::No {
            let knockout = |flagged: &Flagged| {
                flagged.flag == Flag::AsLikely
                    && flagged.blanks.iter().any(|&index| blanks[index] == BlankKind::Knockout)
            };
            let text = flags.iter().any(knockout).then_some("the text alone gives it");
            let verdict = ["does not depend on the picture"].into_iter().chain(text);
            return verdict.map(str::to_owned).collect();
        }
        let words = |flagged: &Flagged| {
            let names: Vec<&str> =
                flagged.blanks.iter().map(|&index| blanks[index].phrase()).collect();
            match flagged.flag {
                Flag::Against if names.len() == blanks.len() => flagged.flag.to_string(),
                Flag::Against => format!("{} (compared with {})", flagged.flag, listed(&names)),
                Flag::AsLikely => format!("{} {}", flagged.flag, listed(&names)),
            }
        };
        flags.iter().map(words).collect()
    }
}

/// `a`, `a or b`, `a, b or c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

impl Gain {
    /// Sum over the tokens: what the pictures add to the log-probability of the target, in nats.
    pub fn pmi(&self) -> f32 {
        self.token_pmi.iter().sum()
    }

    /// What it warns of; `None` where the pictures add [`NATS_OF_A_CHANGE`] or more.
    pub fn flag(&self) -> Option<Flag> {
        let pmi = self.pmi();
        if pmi.abs() < NATS_OF_A_CHANGE {
            Some(Flag::AsLikely)
        } else {
            (pmi < 0.0).then_some(Flag::Against)
        }
    }
}

impl Flag {
    /// The name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Against => "against",
            Self::AsLikely => "as-likely",
        }
    }
}

/// The flag in words; those of [`Flag::AsLikely`] want the name of a blank behind them.
impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Against => "the picture argues against it",
            Self::AsLikely => "as likely with",
        })
    }
}

#[cfg(test)]
mod tests;
