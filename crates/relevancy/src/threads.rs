//! Work that is spread over threads with the feature `rayon`, and done in order without it. Pieces are the same either way and none
//! reads what another writes, so the results are equal bit for bit.

use std::ops::Range;

#[cfg(feature = "rayon")]
use rayon::prelude::*;

/// From how many numbers on a loop is worth spreading over threads: below, waking them costs more than it saves.
#[cfg(feature = "rayon")]
const WORTH_THREADS: usize = 1 << 16;

/// Does `work` with every piece and its index; `numbers` is how many numbers all of them go through.
pub(crate) fn for_each<T: Send>(
    numbers: usize,
    pieces: impl Iterator<Item = T>,
    work: impl Fn(usize, T) + Send + Sync,
) {
    #[cfg(feature = "rayon")]
    if WORTH_THREADS <= numbers {
        let pieces: Vec<T> = pieces.collect();
        return pieces.into_par_iter().enumerate().for_each(|(index, piece)| work(index, piece));
    }
    #[cfg(not(feature = "rayon"))]
    let _ = numbers;
    pieces.enumerate().for_each(|(index, piece)| work(index, piece));
}

/// What `look` finds first, in the order of `indices`; `numbers` is how many numbers it goes through.
pub(crate) fn find_first<T: Send>(
    numbers: usize,
    mut indices: Range<usize>,
    look: impl Fn(usize) -> Option<T> + Send + Sync,
) -> Option<T> {
    #[cfg(feature = "rayon")]
    if WORTH_THREADS <= numbers {
        return indices.into_par_iter().find_map_first(look);
    }
    #[cfg(not(feature = "rayon"))]
    let _ = numbers;
    indices.find_map(look)
}
