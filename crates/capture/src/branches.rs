//! The tokens of a sequence that forks, as targets.

use crate::Error;
use crate::seam::{Fork, Sequence};
use attention_relevancy::{ErrorKind, Target};

/// The tokens of both branches of a sequence that forks, as targets, the first branch first: what [`crate::Goal::contrast`] sets
/// against each other. Both branches' first tokens are chosen by the last row of the prefix, although the second's stands behind the
/// whole first branch.
///
/// A sequence that does not fork has no targets in either. Fails with [`ErrorKind::FirstPosition`] without a
/// prefix.
pub fn branch_targets(sequence: &Sequence) -> Result<[Vec<Target>; 2], Error> {
    let Some(Fork { at, second }) = sequence.fork() else { return Ok([Vec::new(), Vec::new()]) };
    let last =
        at.checked_sub(1).ok_or(attention_relevancy::Error::from(ErrorKind::FirstPosition))?;
    let ids = sequence.ids();
    let target = |start: usize, index: usize| {
        let row = if index == start { last } else { index - 1 };
        Target::after(row, index, ids[index])
    };
    let branch = |start: usize, end: usize| {
        (start..end).map(|index| target(start, index)).collect::<Result<_, _>>()
    };
    Ok([branch(at, second)?, branch(second, ids.len())?])
}
