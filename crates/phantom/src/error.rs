//! What can go wrong while a set of phantoms is written.

use std::path::PathBuf;

/// Why a set could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The size is not one that can be drawn.
    #[error("size {size} is not within {min} and {max} pixels")]
    Size {
        /// The size asked for.
        size: u32,
        /// The smallest one.
        min: u32,
        /// The largest one.
        max: u32,
    },
    /// The number of pictures is none or too large.
    #[error("count {count} is not within 1 and {max}")]
    Count {
        /// The number asked for.
        count: u32,
        /// The largest one.
        max: u32,
    },
    /// The seeds of a set run past the largest number.
    #[error("seed {seed} is too large for {count} pictures: each takes the next number")]
    Seed {
        /// The first seed.
        seed: u64,
        /// The number of pictures.
        count: u32,
    },
    /// The folder holds something already.
    #[error("{} is not empty: give a new or an empty folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("stopped after {written} of {count} pictures")]
    Stopped {
        /// How many pictures are complete.
        written: u32,
        /// How many were asked for.
        count: u32,
    },
    /// A picture or a record could not be encoded.
    #[error("cannot encode {}: {source}", path.display())]
    Encode {
        /// The file wanted.
        path: PathBuf,
        /// What the encoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file or folder could not be read or written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
