//! The checks themselves: functions of what they look at, so that each can be shown what it must refuse.

use attention_capture::Score;
use attention_relevancy::ndarray::ArrayView1;
use gemma3_tch::{Bytes, check_memory};
use std::ops::Range;

use super::{Check, attention};

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

/// Whether the attention that answers is the one that is explained: differences of the heads' output by layer.
pub(super) fn kernel(differences: &[f64], tolerance: f64) -> Check {
    const NAME: &str = attention::CHECKS[2];
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
    use attention_relevancy::ndarray::Array1;

    fn assert_failed(check: &Check, part: &str) {
        assert_eq!(check.outcome, Outcome::Failed, "{check:?}");
        assert!(check.detail.contains(part), "{check:?}");
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
