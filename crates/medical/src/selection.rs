//! Which of the sorted slices are shown.

use std::path::Path;

use crate::error::{At, Bound};
use crate::recipe::spread;
use crate::{Error, MOST_SLICES, Options, Recipe, Slices};

/// Places in the sorted series of `n` slices, from 0, in the order in which they are shown.
pub(crate) fn chosen(
    path: &Path,
    n: usize,
    recipe: Recipe,
    options: &Options,
) -> Result<Vec<usize>, Error> {
    let at = At(path);
    let places = match (&options.slices, options.frame) {
        (_, Some(frame)) if (frame as usize) < n => vec![frame as usize],
        (_, Some(frame)) => {
            return Err(at.option("frame", format!("is {frame}, and there are {n}, from 0")));
        }
        (Slices::Recipe, None) => spread(n, recipe.most_slices().unwrap_or(n)),
        (Slices::All, None) => (0..n).collect(),
        (Slices::Count(0), None) => return Err(at.option("slices", "asks for no slice")),
        (Slices::Count(most), None) => spread(n, *most),
        (Slices::List(ranges), None) => {
            if let Some(beyond) = ranges.iter().find(|range| n <= *range.end() || range.is_empty())
            {
                let reason = format!(
                    "asks for {}-{}, and there are {n}, from 0",
                    beyond.start(),
                    beyond.end()
                );
                return Err(at.option("slices", reason));
            }
            // Each range lies within n, so their sum is bounded once their number is.
            at.limit(&Bound::pictures(&options.limits), ranges.len() as u64)?;
            ranges.iter().cloned().flatten().collect()
        }
    };
    at.limit(&Bound::pictures(&options.limits), places.len() as u64)?;
    Ok(places)
}

/// Why fewer slices are shown than there are, if so.
pub(crate) fn note(n: usize, shown: usize) -> Option<String> {
    let reason = if shown == MOST_SLICES { ", spread over the series" } else { "" };
    (shown < n).then(|| format!("{shown} of {n} slices are shown{reason}"))
}
