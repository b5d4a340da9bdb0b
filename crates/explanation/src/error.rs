//! What can go wrong while a document is made, written or read.

use std::path::PathBuf;

/// Why a document could not be drawn, written or read. Messages say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The answer was given to fewer images.
    #[error("there is no image {image}; the answer was given to {images}, counted from 0")]
    NoImage {
        /// As asked.
        image: usize,
        /// Images of the question, crops included.
        images: usize,
    },
    /// The figure of a pair was asked for, but there is no pair.
    #[error(
        "the figure `difference` shows the last picture against the first: give two pictures or more; the question has {pictures}"
    )]
    OnePicture {
        /// Pictures of the question.
        pictures: usize,
    },
    /// A figure by layer was asked for, but the relevancy by layer was not kept.
    #[error("the layers figure needs the relevancy by layer: record it")]
    NoLayers,
    /// A figure of heads was asked for, but what they did was not kept.
    #[error("the heads figure needs results by head: record them")]
    NoHeads,
    /// A figure of resolutions was asked for, but the relevancy went no further than tokens.
    #[error("the resolutions figure needs patches or pixels: explain with a finer resolution")]
    NoFiner,
    /// No figure has this name.
    #[error("unknown figure {found:?}; there are {known}")]
    UnknownFigure {
        /// As given.
        found: String,
        /// The names that there are.
        known: String,
    },
    /// No resolution has this name.
    #[error("unknown resolution {found:?}; use tokens, patches or pixels")]
    UnknownResolution {
        /// As given.
        found: String,
    },
    /// The caller ended the work.
    #[error("cancelled")]
    Cancelled,
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// A folder holds files that would be lost.
    #[error(
        "{} holds {}, and {reason}: nothing is replaced that this program did not write; move what is yours, or choose another folder for the results",
        folder.display(), shown(files)
    )]
    Foreign {
        /// The folder that results should go to.
        folder: PathBuf,
        /// Names in it that results have, of files that this program did not write or that changed since.
        files: Vec<String>,
        /// Why they do not count as written by this program.
        reason: String,
    },
    /// A result of an earlier run is an input of this one.
    #[error(
        "{} is an input and at the same time {}, which the results would replace; choose another folder for the results",
        path.display(), result.display()
    )]
    IsInput {
        /// The input.
        path: PathBuf,
        /// The same file among earlier results.
        result: PathBuf,
    },
    /// The page would overwrite something other than a regular file.
    #[error("{} is not a regular file; name a file for the page", path.display())]
    NotAFile {
        /// The folder, device, pipe or link to nothing.
        path: PathBuf,
    },
    /// A page was to take the place of another file.
    #[error(
        "{} already exists and is not a page of this program; remove it or name another file for the page",
        path.display()
    )]
    NotAPage {
        /// The file.
        path: PathBuf,
    },
    /// Two write to one folder at a time.
    #[error("another process is writing to {}; wait for it, or choose another folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A record could not be read, or what it names is not what it says.
    #[error("cannot use {}: {problem}", path.display())]
    ReadRecord {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Arrays could not be read, or do not fit the record beside them.
    #[error("cannot use {}{array}: {problem}", path.display())]
    ReadArrays {
        /// The file.
        path: PathBuf,
        /// The array, after a comma; empty for the file itself.
        array: String,
        /// What is wrong.
        problem: String,
    },
    /// Arrays could not be written.
    #[error("cannot write {}: {source}", path.display())]
    WriteArrays {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ndarray_npy::WriteNpzError,
    },
    /// A row does not fit its sequence.
    #[error(transparent)]
    Relevancy(#[from] attention_relevancy::Error),
    /// A picture could not be drawn.
    #[error(transparent)]
    Picture(#[from] relevancy_visualization::Error),
}

/// Some names, and how many more there are.
fn shown(files: &[String]) -> String {
    const MOST: usize = 6;
    let names = files.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match files.len().saturating_sub(MOST) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

impl Error {
    /// The error for a file or folder that cannot be written.
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }
}
