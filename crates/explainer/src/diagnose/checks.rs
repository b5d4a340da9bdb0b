//! The checks themselves: functions of what they look at, so that each can be shown what it must refuse.

use attention_capture::Score;
use attention_relevancy::ndarray::{ArrayView1, ArrayView3, Axis};
use gemma3_tch::{Bytes, LayerType, check_memory};
use std::ops::Range;

use super::Check;

/// The checks of one forward pass, in this order.
pub(super) const ATTENTION: [&str; 3] = ["attention rows", "masks", "fast attention"];

/// How far numbers that are computed in two ways may lie apart; where nothing else is said the largest difference over the largest
/// number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerances {
    /// The heads' output of a layer.
    pub(super) kernel: f64,
    /// Logits.
    pub(super) scores: f64,
    /// Relevancy without the self term, the sum of all differences over its sum.
    pub(super) rows: f64,
}

impl Tolerances {
    /// For weights of so many bytes a number. Float32 rounds at 6·10⁻⁸ and leaves room for the sums of 34 layers; bfloat16 rounds at
    /// 4·10⁻³, and each layer adds to it.
    pub(super) fn of_width(bytes: usize) -> Self {
        if bytes < 4 {
            Self { kernel: 2e-2, scores: 5e-2, rows: 2e-1 }
        } else {
            Self { kernel: 1e-4, scores: 1e-4, rows: 1e-4 }
        }
    }
}

/// Whether all weights are finite, by the smallest and largest number of each tensor.
pub(super) fn finite(ranges: &[(String, [f64; 2])]) -> Check {
    let broken = |(_, range): &&(String, [f64; 2])| range.iter().any(|value| !value.is_finite());
    let broken: Vec<&str> = ranges.iter().filter(broken).map(|(name, _)| name.as_str()).collect();
    match broken.first() {
        None => {
            let sizes = ranges.iter().flat_map(|(_, range)| range.map(f64::abs));
            let largest = sizes.fold(0.0, f64::max);
            let count = ranges.len();
            Check::ok("weights", format!("{count} tensors, all finite, none beyond ±{largest:.3}"))
        }
        Some(first) => {
            let count = broken.len();
            Check::failed("weights", format!("{count} tensors hold NaN or infinity, {first} first"))
        }
    }
}

/// Whether a prompt begins with `begin` and has it nowhere else.
pub(super) fn one_bos(ids: &[u32], begin: u32) -> Check {
    let found: Vec<usize> = (0..ids.len()).filter(|&at| ids[at] == begin).collect();
    let detail = format!("token {begin} stands at positions {found:?} of {}", ids.len());
    Check::judged("one <bos>", found == [0], detail)
}

/// Whether image tokens (`token`, `per_image` to an image) stand exactly in the spans of the images.
pub(super) fn image_spans(
    ids: &[u32],
    spans: &[Range<usize>],
    (token, per_image): (u32, usize),
) -> Check {
    const NAME: &str = "image spans";
    for (image, span) in spans.iter().enumerate() {
        if span.len() != per_image {
            let found = span.len();
            return Check::failed(
                NAME,
                format!("image {image} has {found} tokens, {per_image} are right"),
            );
        }
        let other = span.clone().find(|&at| ids.get(at) != Some(&token));
        if let Some(at) = other {
            return Check::failed(
                NAME,
                format!("position {at} of image {image} holds no image token"),
            );
        }
    }
    let inside = |at: &usize| spans.iter().any(|span| span.contains(at));
    if let Some(stray) = (0..ids.len()).find(|at| ids[*at] == token && !inside(at)) {
        return Check::failed(NAME, format!("an image token stands at {stray}, in no image"));
    }
    if spans.windows(2).any(|pair| pair[1].start < pair[0].end) {
        return Check::failed(NAME, "images overlap");
    }
    let places: Vec<String> =
        spans.iter().map(|span| format!("{} to {}", span.start, span.end - 1)).collect();
    let detail = match spans.len() {
        0 => "the question has no image".to_owned(),
        1 => format!("1 image of {per_image} tokens, at {}", places[0]),
        count => format!("{count} images of {per_image} tokens, at {}", places.join(", ")),
    };
    Check::ok(NAME, detail)
}

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
            return Check::failed(ATTENTION[0], "no attention was seen");
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
        Check::judged(ATTENTION[0], off <= tolerance, detail)
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
        const NAME: &str = ATTENTION[1];
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
                "layers without a window: {full}, with one of {}: {sliding}{ahead}{edge}",
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

/// Whether the attention that answers is the one that is explained: differences of the heads' output by layer.
pub(super) fn kernel(differences: &[f64], tolerance: f64) -> Check {
    const NAME: &str = ATTENTION[2];
    let Some((layer, worst)) = farthest(differences.iter().copied()) else {
        return Check::failed(NAME, "no attention was seen");
    };
    let detail = format!(
        "differs from the explained one by {worst:.0e}, in layer {layer} (allowed: {tolerance:.0e})"
    );
    Check::judged(NAME, worst <= tolerance, detail)
}

/// The largest of some values that are not negative, with its index; nothing is larger than what is no number.
fn farthest(values: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
    values.map(f64::abs).enumerate().max_by(|one, other| one.1.total_cmp(&other.1))
}

/// Whether tokens have the logits that they were generated with when the answer is given whole.
pub(super) fn same_scores(generated: &[Score], given: &[Score], tolerance: f64) -> Check {
    const NAME: &str = "generation";
    if generated.is_empty() || generated.len() != given.len() {
        let (one, other) = (generated.len(), given.len());
        return if one == other {
            Check::skipped(NAME, "the answer has no token")
        } else {
            Check::failed(NAME, format!("{one} tokens were generated and {other} given"))
        };
    }
    let largest = given.iter().map(|score| score.logit.abs()).fold(f32::MIN_POSITIVE, f32::max);
    let differences = generated.iter().zip(given).flat_map(|(one, other)| {
        [one.logit - other.logit, one.log_probability - other.log_probability]
    });
    let off = farthest(differences.map(|difference| f64::from(difference / largest)));
    let (index, off) = off.map(|(at, off)| (at / 2, off)).expect("there are tokens");
    let count = given.len();
    let detail = format!(
        "logits of {count} tokens differ by {off:.0e} from those of the answer given whole, at token {index} (allowed: {tolerance:.0e})"
    );
    Check::judged(NAME, off <= tolerance, detail)
}

/// Whether the retained engine can be run at all: it keeps the attention of all layers.
pub(super) fn room(tokens: usize, needed: Bytes, available: Option<Bytes>) -> Result<(), Check> {
    let what = format!("the retained engine, which this is held against with {tokens} tokens,");
    let room = check_memory(&what, needed, available);
    room.map_err(|error| Check::skipped("engines", error.to_string()))
}

/// Whether two engines found the same row; the self term at `own` is set apart.
pub(super) fn same_rows(
    streaming: ArrayView1<'_, f32>,
    retained: ArrayView1<'_, f32>,
    own: usize,
    tolerance: f64,
) -> Check {
    const NAME: &str = "engines";
    if streaming.len() != retained.len() {
        let (one, other) = (streaming.len(), retained.len());
        return Check::failed(NAME, format!("rows of {one} and {other} tokens"));
    }
    let others = |row: ArrayView1<'_, f32>| -> Vec<f64> {
        let values = row.into_iter().enumerate().filter(|(at, _)| *at != own);
        values.map(|(_, &value)| f64::from(value)).collect()
    };
    let (one, other) = (others(streaming), others(retained));
    let total: f64 = other.iter().copied().map(f64::abs).sum();
    if total == 0.0 {
        return Check::failed(NAME, "the retained engine found no relevancy but the self term");
    }
    let off = one.iter().zip(&other).map(|(one, other)| (one - other).abs()).sum::<f64>() / total;
    let detail = format!(
        "streaming and retained differ in {off:.0e} of the relevancy (allowed: {tolerance:.0e})"
    );
    Check::judged(NAME, off <= tolerance, detail)
}

/// Float32 on both ways, whatever the weights are. Where attention is nearly even, the gradient of the scores is a small difference of large
/// numbers: 2·10⁻⁵ was found in a checkpoint of random weights.
const SAME_SWEEP: f64 = 1e-4;

/// Whether the two sweeps over a layer of the vision tower are the same: how far apart their rows and the gradients of queries, keys
/// and values are.
pub(super) fn same_sweep(differences: [f64; 4]) -> Check {
    const NAME: &str = "patches";
    const PARTS: [&str; 4] =
        ["row", "gradient of queries", "gradient of keys", "gradient of values"];
    let (part, worst) = farthest(differences.into_iter()).expect("four of them");
    let detail = format!(
        "the fast sweep differs from the plain one by {worst:.0e} in the {} of a layer (allowed: {SAME_SWEEP:.0e})",
        PARTS[part]
    );
    Check::judged(NAME, worst <= SAME_SWEEP, detail)
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use attention_relevancy::ndarray::{Array1, Array3};

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

    #[test]
    fn a_weight_that_is_not_finite_fails() {
        let ranges = |low: f64, high: f64| {
            finite(&[("a".to_owned(), [-1.0, 2.5]), ("b".to_owned(), [low, high])])
        };
        assert_eq!(ranges(0.0, 1.0).outcome, Outcome::Ok);
        assert!(ranges(0.0, 1.0).detail.contains("2 tensors, all finite, none beyond ±2.500"));
        assert_failed(&ranges(f64::NAN, f64::NAN), "1 tensors hold NaN or infinity, b first");
        assert_failed(&ranges(0.0, f64::INFINITY), "b first");
    }

    #[test]
    fn too_little_memory_is_a_reason_with_numbers() {
        let (needed, little) = (Bytes(17_200_000_000), Bytes(8_000_000_000));
        assert_eq!(room(324, needed, Some(Bytes(20_000_000_000))), Ok(()));
        assert_eq!(room(324, needed, None), Ok(()), "memory that cannot be known");
        let skipped = room(324, needed, Some(little)).unwrap_err();
        assert_eq!(skipped.outcome, Outcome::Skipped);
        let detail = "the retained engine, which this is held against with 324 tokens, needs about 17.2 GB of memory and 8.0 GB is \
            available";
        assert_eq!(skipped.detail, detail);
    }

    #[test]
    fn the_prompt_begins_once() {
        assert_eq!(one_bos(&[2, 5, 6], 2).outcome, Outcome::Ok);
        for ids in [&[2, 2, 5][..], &[5, 2], &[5], &[]] {
            assert_failed(&one_bos(ids, 2), "token 2 stands at positions");
        }
    }

    #[test]
    fn image_tokens_fill_the_spans_and_nothing_else() {
        let ids = [2, 9, 9, 3, 9, 9, 4];
        let check = |spans: &[Range<usize>]| image_spans(&ids, spans, (9, 2));
        let sound = check(&[1..3, 4..6]);
        assert_eq!(sound.outcome, Outcome::Ok);
        assert_eq!(sound.detail, "2 images of 2 tokens, at 1 to 2, 4 to 5");
        assert_failed(&check(&[1..3]), "stands at 4, in no image");
        assert_failed(&check(&[1..3, 3..5]), "position 3 of image 1 holds no image token");
        assert_failed(&check(&[1..3, 4..7]), "image 1 has 3 tokens, 2 are right");
        assert_failed(&check(&[1..3, 4..6, 6..8]), "position 6 of image 2");
        assert_failed(&check(&[4..6, 1..3]), "overlap");
    }

    #[test]
    fn differences_beyond_the_tolerance_fail() {
        assert_eq!(kernel(&[1e-6, 5e-5], 1e-4).outcome, Outcome::Ok);
        assert_failed(&kernel(&[1e-6, 2e-4, 1e-5], 1e-4), "in layer 1");
        assert_failed(&kernel(&[1e-6, f64::NAN, 1e-5], 1e-4), "NaN, in layer 1");
        assert_failed(&kernel(&[], 1e-4), "no attention");

        let score = |logit: f32| Score { logit, log_probability: logit - 12.0, runner_up: 0 };
        let scores = |logits: [f32; 2]| logits.map(score);
        let given = scores([10.0, -4.0]);
        assert_eq!(same_scores(&given, &given, 1e-4).outcome, Outcome::Ok);
        assert_failed(&same_scores(&scores([10.0, -3.0]), &given, 1e-4), "at token 1");
        assert_failed(&same_scores(&scores([f32::NAN, -4.0]), &given, 1e-4), "NaN");
        assert_failed(&same_scores(&given[..1], &given, 1e-4), "1 tokens were generated and 2");
        assert_eq!(same_scores(&[], &[], 1e-4).outcome, Outcome::Skipped);

        let row = |values: [f32; 4]| Array1::from_vec(values.to_vec());
        let retained = row([0.5, 2.0, 1.0, 0.0]);
        let rows = |streaming: &Array1<f32>| same_rows(streaming.view(), retained.view(), 2, 1e-4);
        assert_eq!(rows(&row([0.5, 2.0, 7.0, 0.0])).outcome, Outcome::Ok, "the self term");
        assert_failed(&rows(&row([0.5, 2.1, 1.0, 0.0])), "differ in 4e-2");
        assert_failed(&rows(&row([f32::NAN, 2.0, 1.0, 0.0])), "NaN");
        assert_failed(&rows(&Array1::zeros(3)), "rows of 3 and 4 tokens");
        let nothing = row([0.0, 0.0, 1.0, 0.0]);
        assert_failed(&same_rows(nothing.view(), nothing.view(), 2, 1e-4), "no relevancy");
    }

    #[test]
    fn sweeps_that_differ_or_are_no_number_fail() {
        assert_eq!(same_sweep([0.0, 1e-6, 1e-4, 3e-7]).outcome, Outcome::Ok);
        assert_failed(&same_sweep([0.0, 1e-6, 2e-4, 3e-7]), "gradient of keys");
        assert_failed(&same_sweep([f64::NAN, 1e-6, 1e-6, 1e-6]), "row");
    }
}
