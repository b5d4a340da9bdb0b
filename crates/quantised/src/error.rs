//! What can be wrong with a file of quantised weights.

use std::path::PathBuf;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is a file of another kind, or of another byte order.
    #[error("{} is not a GGUF file: {reason}", path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// What stands there.
        reason: String,
    },
    /// Something in its header cannot be.
    #[error("{} is damaged: {place} {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Which field or tensor.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is stored in a type that is not read.
    #[error("{}: {place} is stored as {found}, which is not read; take a file of the model in another type, such as Q4_K_M or Q8_0 ({known} are read)", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// Which tensor.
        place: String,
        /// Its type.
        found: String,
        /// The types that are read.
        known: String,
    },
    /// A metadata field that is needed and not there, or not what it should be.
    #[error("{}: the field {field} {reason}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The key.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}
