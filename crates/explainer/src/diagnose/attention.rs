//! The checks of one forward pass: attention sums to one and is where it may be.

use attention_relevancy::ndarray::{ArrayView3, Axis};
use gemma3_tch::LayerType;
use std::ops::Range;

use super::Check;

/// The checks of one forward pass, in this order.
pub(super) const CHECKS: [&str; 3] = ["attention rows", "masks", "fast attention"];

/// Sums of attention rows.
#[derive(Debug, Default)]
pub(super) struct RowSums {
    rows: usize,
    layers: usize,
    /// The row whose sum is farthest from one: the sum, layer, head and row. A sum that is not a number is farthest.
    worst: Option<(f64, [usize; 3])>,
}

impl RowSums {
    /// Takes in rows `first..` of a layer, `[H, b, S]`.
    pub(super) fn see(&mut self, layer: usize, first: usize, weights: ArrayView3<'_, f32>) {
        self.layers = self.layers.max(layer + 1);
        for (head, rows) in weights.outer_iter().enumerate() {
            for (row, weights) in rows.outer_iter().enumerate() {
                let sum: f64 = weights.iter().copied().map(f64::from).sum();
                self.rows += 1;
                let is_worse = self.worst.is_none_or(|(worst, _)| distance(worst) < distance(sum));
                if is_worse {
                    self.worst = Some((sum, [layer, head, first + row]));
                }
            }
        }
    }

    pub(super) fn check(&self, tolerance: f64) -> Check {
        let Some((sum, [layer, head, row])) = self.worst else {
            return Check::failed(CHECKS[0], "no attention was seen");
        };
        let off = distance(sum);
        let detail = if off <= tolerance {
            let (rows, layers) = (self.rows, self.layers);
            format!(
                "{rows} in {layers} layers sum to one within {off:.0e} (allowed: {tolerance:.0e})"
            )
        } else {
            format!(
                "row {row} of head {head} in layer {layer} sums to {sum} (allowed: 1 ± {tolerance:.0e})"
            )
        };
        Check::judged(CHECKS[0], off <= tolerance, detail)
    }
}

/// How far a sum of weights is from one; nothing is farther than what is no number.
fn distance(sum: f64) -> f64 {
    let distance = (sum - 1.0).abs();
    if distance.is_nan() { f64::INFINITY } else { distance }
}

/// What attention may see by the configuration: `window AND (causal OR same image)`.
#[derive(Debug)]
pub(super) struct Masks<'a> {
    layers: &'a [LayerType],
    window: usize,
    images: Vec<Range<usize>>,
    /// By layer.
    seen: Vec<Seen>,
}

/// What was seen of one layer.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The first pair, query and key, that has weight and may not.
    leak: Option<[usize; 2]>,
    /// Pairs that may have weight, and those of them that have, by [`PAIRS`].
    pairs: [[usize; 2]; 3],
}

/// The kinds of pairs that may have weight. The last two are where masks go wrong: a window that is one short, an image that is
/// causal.
const PAIRS: [&str; 3] =
    ["of a query with its past", "at the far edge of the window", "ahead within an image"];

/// Softmax in float32 rounds weights below 10⁻⁴⁵ to zero, so that a few pairs may be zero in all heads; a mask takes all of a kind.
const LEAST_LIT: f64 = 0.5;

impl<'a> Masks<'a> {
    pub(super) fn new(layers: &'a [LayerType], window: usize, images: Vec<Range<usize>>) -> Self {
        Self { layers, window, images, seen: vec![Seen::default(); layers.len()] }
    }

    /// Takes in rows `first..` of a layer, `[H, b, S]`.
    pub(super) fn see(&mut self, layer: usize, first: usize, weights: ArrayView3<'_, f32>) {
        let Some(seen) = self.seen.get_mut(layer) else { return };
        let window = match self.layers[layer] {
            LayerType::Full => None,
            LayerType::Sliding => Some(self.window),
        };
        let mut lit = vec![false; weights.dim().2];
        for row in 0..weights.dim().1 {
            lit.fill(false);
            for head in weights.index_axis(Axis(1), row).outer_iter() {
                lit.iter_mut().zip(head).for_each(|(lit, &weight)| *lit |= weight != 0.0);
            }
            let query = first + row;
            let image = self.images.iter().find(|image| image.contains(&query));
            for (key, &lit) in lit.iter().enumerate() {
                let kind = if window.is_some_and(|window| key + window <= query) {
                    None
                } else if query < key {
                    image.filter(|image| image.contains(&key)).map(|_| 2)
                } else if window.is_some_and(|window| key + window == query + 1) {
                    Some(1)
                } else {
                    Some(0)
                };
                match kind {
                    Some(kind) => {
                        seen.pairs[kind][0] += 1;
                        seen.pairs[kind][1] += usize::from(lit);
                    }
                    None if lit => _ = seen.leak.get_or_insert([query, key]),
                    None => {}
                }
            }
        }
    }

    pub(super) fn check(&self) -> Check {
        const NAME: &str = CHECKS[1];
        for (layer, seen) in self.seen.iter().enumerate() {
            let kind = self.kind(layer);
            if let Some([query, key]) = seen.leak {
                return Check::failed(
                    NAME,
                    format!(
                        "layer {layer} ({kind}): position {query} sees {key}, which it must not"
                    ),
                );
            }
            if seen.pairs[0][0] == 0 {
                return Check::failed(NAME, format!("no attention of layer {layer} was seen"));
            }
            for (what, [all, lit]) in PAIRS.iter().zip(seen.pairs) {
                if (lit as f64) < LEAST_LIT * all as f64 {
                    return Check::failed(
                        NAME,
                        format!(
                            "layer {layer} ({kind}): {} of {all} pairs {what} have no weight",
                            all - lit
                        ),
                    );
                }
            }
        }
        let count = |kind| self.layers.iter().filter(|layer| **layer == kind).count();
        let (full, sliding) = (count(LayerType::Full), count(LayerType::Sliding));
        let ahead: usize = self.seen.iter().map(|seen| seen.pairs[2][0]).sum();
        let edge: usize = self.seen.iter().map(|seen| seen.pairs[1][0]).sum();
        let edge = if edge == 0 { "; the window is longer than the text" } else { "" };
        let ahead = if ahead == 0 { "" } else { ", images in both directions" };
        Check::ok(
            NAME,
            format!(
                "global layers: {full}, layers with a window of {}: {sliding}{ahead}{edge}",
                self.window
            ),
        )
    }

    fn kind(&self, layer: usize) -> String {
        match self.layers[layer] {
            LayerType::Full => "full".to_owned(),
            LayerType::Sliding => format!("window of {}", self.window),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use attention_relevancy::ndarray::Array3;

    /// Two heads over six tokens, an image at 1 to 3, as a rule allows, each row even over what it sees.
    fn attention(visible: impl Fn(usize, usize) -> bool) -> Array3<f32> {
        Array3::from_shape_fn((2, 6, 6), |(_, query, key)| {
            let seen = (0..6).filter(|&key| visible(query, key)).count();
            if visible(query, key) { 1.0 / seen as f32 } else { 0.0 }
        })
    }

    const IMAGE: Range<usize> = 1..4;

    fn right(window: usize) -> impl Fn(usize, usize) -> bool {
        move |query, key| {
            query < key + window && (key <= query || IMAGE.contains(&query) && IMAGE.contains(&key))
        }
    }

    fn masks(full: &Array3<f32>, sliding: &Array3<f32>) -> Check {
        let layers = [LayerType::Full, LayerType::Sliding];
        let mut masks = Masks::new(&layers, 3, vec![IMAGE]);
        for (layer, attention) in [full, sliding].into_iter().enumerate() {
            // In two blocks, as they come.
            let (above, below) = attention.view().split_at(Axis(1), 4);
            masks.see(layer, 0, above);
            masks.see(layer, 4, below);
        }
        masks.check()
    }

    fn assert_failed(check: &Check, part: &str) {
        assert_eq!(check.outcome, Outcome::Failed, "{check:?}");
        assert!(check.detail.contains(part), "{check:?}");
    }

    #[test]
    fn declared_masks_pass_and_every_usual_mistake_fails() {
        let (full, sliding) = (attention(right(100)), attention(right(3)));
        let check = masks(&full, &sliding);
        assert_eq!(check.outcome, Outcome::Ok, "{check:?}");
        let causal = |window: usize| attention(move |q, k| q < k + window && k <= q);
        assert_failed(&masks(&causal(100), &sliding), "layer 0 (full): 3 of 3 pairs ahead");
        assert_failed(&masks(&full, &causal(3)), "layer 1 (window of 3): 3 of 3 pairs ahead");
        let short = attention(right(2));
        assert_failed(&masks(&full, &short), "4 of 4 pairs at the far edge of the window");
        assert_failed(&masks(&full, &attention(right(4))), "position 3 sees 0, which it must not");
        let everything = attention(|_, _| true);
        assert_failed(&masks(&everything, &sliding), "position 0 sees 1, which it must not");
        let one_head = {
            let mut attention = full.clone();
            attention[[1, 4, 5]] = 1e-30;
            attention
        };
        assert_failed(&masks(&one_head, &sliding), "position 4 sees 5");
        let unseen = Masks::new(&[LayerType::Full], 3, vec![]).check();
        assert_failed(&unseen, "no attention of layer 0");
    }

    #[test]
    fn rows_that_do_not_sum_to_one_fail() {
        let check = |attention: &Array3<f32>| {
            let mut rows = RowSums::default();
            rows.see(3, 10, attention.view());
            rows.check(1e-4)
        };
        let good = attention(right(100));
        assert_eq!(check(&good).outcome, Outcome::Ok, "{:?}", check(&good));
        let mut wrong = good.clone();
        wrong[[1, 4, 0]] += 0.01;
        assert_failed(&check(&wrong), "row 14 of head 1 in layer 3 sums to 1.0");
        wrong[[0, 2, 0]] = f32::NAN;
        assert_failed(&check(&wrong), "row 12 of head 0 in layer 3 sums to NaN");
        assert_failed(&RowSums::default().check(1e-4), "no attention");
    }
}
