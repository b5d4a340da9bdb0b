//! What callers fill in on any page.

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// What it amounts to.
    pub value: String,
}

impl Fact {
    /// A fact.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// How a badge or a verdict looks. A sign stands beside the colour, so that it can be told without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tone {
    /// What was tested (a map, a model) stands the test.
    Good,
    /// It stands in part.
    Mixed,
    /// It does not.
    Poor,
    /// Nothing can be said.
    #[default]
    Nothing,
}

impl Tone {
    /// The word for it in data and style.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Mixed => "mixed",
            Self::Poor => "poor",
            Self::Nothing => "nothing",
        }
    }

    /// The sign beside the colour; that of the report's script.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Mixed => "◐",
            Self::Poor => "✗",
            Self::Nothing => "–",
        }
    }
}
