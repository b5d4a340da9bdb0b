//! Whether a word depends on the picture: what several blanks say together.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::BlankKind;

/// A gain nearer to zero than this, in nats, counts as no change: 0.1 nat is a factor of 1.1 in the probability, and rounding in bfloat16
/// alone can move it by some hundredths of a nat.
pub const NATS_OF_A_CHANGE: f32 = 0.1;

/// Whether a word or phrase depends on the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DependsOnPicture {
    /// With other pixels or other image embeddings its probability changes: one blank is enough to show that.
    Yes,
    /// It is as likely with an even picture, with a blurred one and with the mean embedding, and with another picture if one was
    /// tried. One of these alone shows nothing: a model may see a finding in an even grey, and a blur leaves large ones.
    No,
    /// Nothing that was tried changes it, but not enough was tried for [`DependsOnPicture::No`].
    Undecided,
}

impl DependsOnPicture {
    /// By the gain against each blank, in nats.
    ///
    /// [`BlankKind::Knockout`] decides nothing. Where it changes a word, the word may need an image whatever it shows: a checkpoint that
    /// was never without image tokens loses its way when it cannot see them, in words that only the text decides too.
    pub fn of<'a, B: 'a>(gains: impl IntoIterator<Item = (&'a B, f32)>) -> Self
    where
        BlankKind: From<&'a B>,
    {
        let mut needed = vec![BlankKind::Mean, BlankKind::Blur, BlankKind::MeanEmbedding];
        for (blank, nats) in gains {
            let blank = BlankKind::from(blank);
            // A number that is not one shows no agreement.
            let same = nats.abs() < NATS_OF_A_CHANGE;
            if !same && blank != BlankKind::Knockout {
                return Self::Yes;
            }
            needed.retain(|needed| *needed != blank);
        }
        if needed.is_empty() { Self::No } else { Self::Undecided }
    }

    /// The name in terminal and record: `yes`, `no`, `undecided`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for DependsOnPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
