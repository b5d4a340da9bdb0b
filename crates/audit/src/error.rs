//! What can go wrong.

use std::path::PathBuf;

/// Why cases could not be read, or results not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that has nothing but blank lines.
    #[error(
        "{} has no case: each line is a JSON object such as {{\"id\": \"a\", \"image\": \"a.png\", \"question\": \"Is there an effusion?\"}}",
        path.display()
    )]
    NoCases {
        /// The file.
        path: PathBuf,
    },
    /// More cases than one audit takes.
    #[error("{} has more than {most} cases: divide it", path.display())]
    TooManyCases {
        /// The file.
        path: PathBuf,
        /// How many are allowed.
        most: usize,
    },
    /// A file of a benchmark that is not as it was released.
    #[error("{}: {reason}", path.display())]
    Benchmark {
        /// The file.
        path: PathBuf,
        /// What is wrong, for people.
        reason: String,
    },
    /// A model that no record of a benchmark names.
    #[error("{} has no record of the model {model:?}; its models are {}", path.display(), known.join(", "))]
    UnknownModel {
        /// The file.
        path: PathBuf,
        /// The name that was given.
        model: String,
        /// The names that records have.
        known: Vec<String>,
    },
}
