//! The checks themselves: functions of what they look at, so that each can be shown what it must refuse.

use attention_relevancy::ndarray::ArrayView1;
use attention_relevancy::{Objective, Score};
use gemma3_tch::{Bytes, check_memory};
use std::ops::Range;

use super::engines::{Rows, Token};
use super::{Check, Outcome, attention};

/// How far numbers that are computed in two ways may lie apart; where nothing else is said the largest difference over the largest
/// number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerances {
    /// The heads' output of a layer.
    pub(super) kernel: f64,
    /// Logits.
    pub(super) scores: f64,
    /// How much of the relevancy of a token lies elsewhere, the self term apart: half the sum of the differences of shares.
    pub(super) moved: f64,
    /// The logarithm of the ratio of all relevancy, the self term apart.
    pub(super) size: f64,
    /// How far a logit may be off, as a part of it.
    pub(super) logit: f64,
}

impl Tolerances {
    /// For weights of so many bytes a number. Float32 rounds at 6·10⁻⁸ and leaves room for the sums of 34 layers; bfloat16 rounds at
    /// 4·10⁻³, and each layer adds to it.
    pub(super) fn of_width(bytes: usize) -> Self {
        if bytes < 4 {
            Self { kernel: 2e-2, scores: 5e-2, moved: 5e-2, size: 1e-1, logit: 1.0 / 256.0 }
        } else {
            Self { kernel: 1e-4, scores: 1e-4, moved: 1e-4, size: 1e-4, logit: 1e-6 }
        }
    }

    /// The size that relevancy may be off by. That of a log-probability is in proportion to `1 − p`, which is off by a factor where
    /// logits are off by numbers: bfloat16 has 8 bits of a logit, so that of two near 20 the difference is known within 0.16.
    fn size_of(&self, objective: Objective, score: &Score) -> f64 {
        match objective {
            Objective::LogProbability => {
                self.size + 2.0 * self.logit * f64::from(score.logit.abs())
            }
            _ => self.size,
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

/// What is to be looked at in the pictures.
pub(super) fn input(found: &[String], pictures: usize) -> Check {
    const NAME: &str = "pictures";
    match (found, pictures) {
        (_, 0) => Check::skipped(NAME, "the question has no picture"),
        ([], _) => {
            Check::ok(NAME, "no negative, nothing clipped, no lateral view, no burnt-in text found")
        }
        _ => Check { outcome: Outcome::Look, ..Check::ok(NAME, found.join("; ")) },
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
                format!("image {image} has {found} tokens, expected {per_image}"),
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
        return Check::failed(
            NAME,
            format!("there is an image token at {stray}, outside every image"),
        );
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

/// Whether the retained engine can be run at all: it keeps the attention of all layers. Else why not.
pub(super) fn room(tokens: usize, needed: Bytes, available: Option<Bytes>) -> Result<(), String> {
    let what = format!("the retained engine, which this is held against with {tokens} tokens,");
    check_memory(&what, needed, available).map_err(|error| error.to_string())
}

/// Whether two engines found the same rows for some tokens: the same places and the same size. The self term is set apart.
///
/// Places alone are not enough: the log-probability of a sure word lies where its contrast does, a millionth of the size.
pub(super) fn same_rows(
    (name, objective): (&'static str, Objective),
    rows: &[Rows<'_>],
    tolerances: &Tolerances,
) -> Check {
    let certain = |token: &Token| {
        objective == Objective::LogProbability && token.score.log_probability == 0.0
    };
    if rows.iter().all(|rows| certain(rows.token)) {
        let why = "every token is certain in float32, which leaves no gradient to compare";
        return Check::skipped(name, why);
    }
    let mut sound = true;
    let mut details = Vec::new();
    for rows in rows.iter().filter(|rows| !certain(rows.token)) {
        let allowed = tolerances.size_of(objective, &rows.token.score);
        let detail = match Agreement::of(rows) {
            Ok(Agreement { moved, size }) => {
                sound &= moved <= tolerances.moved && size <= allowed;
                format!(
                    "{moved:.0e} of it lies elsewhere (allowed: {:.0e}), the log of the ratio of sizes is {size:.0e} (allowed: {allowed:.0e})",
                    tolerances.moved
                )
            }
            Err(why) => {
                sound = false;
                why
            }
        };
        details.push(format!("relevancy of {}: {detail}", described(rows.token)));
    }
    Check::judged(name, sound, details.join("; "))
}

/// A token with its probability, as far as float32 knows it: `"zone" (p = 1 − 2e-6)`.
fn described(token: &Token) -> String {
    let log_p = token.score.log_probability;
    let (p, rest) = (log_p.exp(), -log_p.exp_m1());
    let p = match rest {
        rest if rest < 1e-3 => format!("1 − {rest:.0e}"),
        _ if p < 1e-3 => format!("{p:.0e}"),
        _ => format!("{p:.3}"),
    };
    format!("{:?} (p = {p})", token.text.trim())
}

/// How far two rows are apart without the self term.
struct Agreement {
    /// Half the sum of the differences of shares.
    moved: f64,
    /// The absolute logarithm of the ratio of their sums.
    size: f64,
}

impl Agreement {
    /// The error says what is wrong with the rows.
    fn of(rows: &Rows<'_>) -> Result<Self, String> {
        if rows.streaming.len() != rows.retained.len() {
            let (one, other) = (rows.streaming.len(), rows.retained.len());
            return Err(format!("rows of {one} and {other} tokens"));
        }
        let own = rows.token.target.logit_row();
        let others = |row: ArrayView1<'_, f32>| -> Vec<f64> {
            let values = row.into_iter().enumerate().filter(|(at, _)| *at != own);
            values.map(|(_, &value)| f64::from(value)).collect()
        };
        let both = [others(rows.streaming), others(rows.retained)];
        let sums = both.each_ref().map(|row| row.iter().sum::<f64>());
        for (engine, sum) in ["streaming", "retained"].into_iter().zip(sums) {
            if sum == 0.0 {
                return Err(format!("the {engine} engine found nothing but the self term"));
            }
            if !sum.is_finite() {
                return Err(format!("the {engine} engine found {sum}"));
            }
        }
        let [one, other] = &both;
        let shares = one.iter().zip(other);
        let moved = shares.map(|(one, other)| (one / sums[0] - other / sums[1]).abs()).sum::<f64>();
        Ok(Self { moved: moved / 2.0, size: (sums[0] / sums[1]).ln().abs() })
    }
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
    use attention_relevancy::Target;
    use attention_relevancy::ndarray::Array1;

    fn assert_failed(check: &Check, part: &str) {
        assert_eq!(check.outcome, Outcome::Failed, "{check:?}");
        assert!(check.detail.contains(part), "{check:?}");
    }

    #[test]
    fn pictures_that_mislead_are_to_be_looked_at() {
        assert_eq!(input(&[], 2).outcome, Outcome::Ok);
        assert_eq!(input(&[], 0).outcome, Outcome::Skipped);
        let found = input(&["a: a negative".to_owned(), "b: text".to_owned()], 2);
        assert_eq!(
            (found.outcome, found.detail.as_str()),
            (Outcome::Look, "a: a negative; b: text")
        );
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
        let why = room(324, needed, Some(little)).unwrap_err();
        let detail = "the retained engine, which this is held against with 324 tokens, needs about 17.2 GB of memory and 8.0 GB is \
            available";
        assert_eq!(why, detail);
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
        assert_failed(&check(&[1..3]), "image token at 4, outside every image");
        assert_failed(&check(&[1..3, 3..5]), "position 3 of image 1 holds no image token");
        assert_failed(&check(&[1..3, 4..7]), "image 1 has 3 tokens, expected 2");
        assert_failed(&check(&[1..3, 4..6, 6..8]), "position 6 of image 2");
        assert_failed(&check(&[4..6, 1..3]), "overlap");
    }

    #[test]
    fn differences_beyond_the_tolerance_fail() {
        assert_eq!(kernel(&[1e-6, 5e-5], 1e-4).outcome, Outcome::Ok);
        assert_failed(&kernel(&[1e-6, 2e-4, 1e-5], 1e-4), "in layer 1");
        assert_failed(&kernel(&[1e-6, f64::NAN, 1e-5], 1e-4), "NaN, in layer 1");
        assert_failed(&kernel(&[], 1e-4), "no attention");

        let score = |logit: f32| Score::new(logit, logit - 12.0, 0);
        let scores = |logits: [f32; 2]| logits.map(score);
        let given = scores([10.0, -4.0]);
        assert_eq!(same_scores(&given, &given, 1e-4).outcome, Outcome::Ok);
        assert_failed(&same_scores(&scores([10.0, -3.0]), &given, 1e-4), "at token 1");
        assert_failed(&same_scores(&scores([f32::NAN, -4.0]), &given, 1e-4), "NaN");
        assert_failed(&same_scores(&given[..1], &given, 1e-4), "1 tokens were generated and 2");
        assert_eq!(same_scores(&[], &[], 1e-4).outcome, Outcome::Skipped);
    }

    #[test]
    fn rows_of_both_engines_lie_alike_and_are_of_one_size() {
        let tolerances = Tolerances::of_width(2);
        let check = |objective, log_probability: f32, streaming: &[f32], retained: &[f32]| {
            let score = Score::new(20.0, log_probability, 0);
            let target = Target::new(3, 7).unwrap();
            let token = Token { text: " zone".to_owned(), target, score };
            let [streaming, retained] = [streaming, retained].map(|row| Array1::from(row.to_vec()));
            let rows =
                Rows { token: &token, streaming: streaming.view(), retained: retained.view() };
            same_rows(("engines", objective), &[rows], &tolerances)
        };
        let (logit, log_p) = (Objective::Logit, Objective::LogProbability);
        let retained = [0.5, 2.0, 1.0, 0.0];
        let found = check(logit, -2e-6, &[0.51, 2.0, 7.0, 0.0], &retained);
        assert_eq!(found.outcome, Outcome::Ok, "the self term: {found:?}");
        assert!(found.detail.contains("\"zone\" (p = 1 − 2e-6)"), "{found:?}");
        let wrong =
            |row: &[f32], part: &str| assert_failed(&check(logit, -0.5, row, &retained), part);
        wrong(&[0.8, 1.7, 1.0, 0.0], "1e-1 of it lies elsewhere");
        wrong(&[0.6, 2.4, 1.0, 0.0], "the log of the ratio of sizes is 2e-1");
        wrong(&[0.0, 0.0, 1.0, 0.0], "the streaming engine found nothing but the self term");
        wrong(&[f32::NAN, 2.0, 1.0, 0.0], "the streaming engine found NaN");
        wrong(&[0.0; 3], "rows of 3 and 4 tokens");
        assert_failed(&check(logit, -0.5, &retained, &[0.0, 0.0, 1.0, 0.0]), "the retained engine");

        // Another objective: the same places, but not the size of a log-probability; a rounded logit is no error.
        let sure = retained.map(|value| value * 2e-6);
        assert_failed(&check(log_p, -2e-6, &retained, &sure), "the log of the ratio of sizes");
        let off = retained.map(|value| value * 1.15);
        assert_eq!(check(log_p, -0.5, &off, &retained).outcome, Outcome::Ok);
        assert_failed(&check(logit, -0.5, &off, &retained), "the log of the ratio of sizes");
        // Nothing is left to compare where the probability is 1 in float32.
        let certain = check(log_p, 0.0, &[0.0; 4], &[0.0; 4]);
        assert_eq!(certain.outcome, Outcome::Skipped, "{certain:?}");
    }

    #[test]
    fn sweeps_that_differ_or_are_no_number_fail() {
        assert_eq!(same_sweep([0.0, 1e-6, 1e-4, 3e-7]).outcome, Outcome::Ok);
        assert_failed(&same_sweep([0.0, 1e-6, 2e-4, 3e-7]), "gradient of keys");
        assert_failed(&same_sweep([f64::NAN, 1e-6, 1e-6, 1e-6]), "row");
    }
}
