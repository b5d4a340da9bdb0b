//! How the tokens of a sequence are laid out: where its images stand and where it forks.

use crate::{Fork, Place};
use std::ops::Range;

/// Spans of image tokens and the fork of one sequence. Masks and places are made from it and from nothing else, so that neither can
/// lose the fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceLayout {
    images: Vec<Range<usize>>,
    fork: Option<Fork>,
}

impl SequenceLayout {
    /// The layout of a sequence that does not fork. `images` are the spans of image tokens, in order and disjoint.
    pub fn unforked(images: Vec<Range<usize>>) -> Self {
        Self { images, fork: None }
    }

    /// The same images in a sequence that forks behind them.
    #[must_use]
    pub(crate) fn forked(self, fork: Fork) -> Self {
        Self { fork: Some(fork), ..self }
    }

    /// Every image token as an image of its own.
    #[must_use]
    pub(crate) fn with_split_images(&self) -> Self {
        let images = self.images.iter().flat_map(|span| span.clone().map(|at| at..at + 1));
        Self { images: images.collect(), fork: self.fork }
    }

    /// The spans of image tokens, in order and disjoint.
    pub fn images(&self) -> &[Range<usize>] {
        &self.images
    }

    /// Where the sequence goes on in two ways; `None`: nowhere.
    pub fn fork(&self) -> Option<Fork> {
        self.fork
    }

    /// The place of the token at `index`.
    pub fn place(&self, index: usize) -> Place {
        Place::new(index, self.fork)
    }

    /// The position of the token at `index`, which rotation and windows count.
    pub(crate) fn position(&self, index: usize) -> usize {
        self.fork.map_or(index, |fork| fork.position(index))
    }

    /// Whether two tokens stand in different branches of a fork, `query` in the second: it does not see `key`.
    pub fn apart(&self, query: usize, key: usize) -> bool {
        self.fork.is_some_and(|fork| fork.apart(query, key))
    }
}
