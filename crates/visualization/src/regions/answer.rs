//! Boxes that a model wrote in its answer.

use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::file::from_thousandths;
use super::{Region, Shape};
use crate::Placement;

/// A box that a model wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerBox {
    /// What the model calls it. Empty if it gave no name.
    pub label: String,
    /// `[y0, x0, y1, x1]` in thousandths of the picture that the model saw.
    pub box_2d: [f64; 4],
    /// The bytes of the answer that it stands in.
    pub range: Range<usize>,
}

impl AnswerBox {
    /// The box as a region of the picture; `seen` is the rectangle that the model saw.
    pub fn region(&self, seen: &Placement) -> Region {
        Region {
            name: self.label.clone(),
            shape: Shape::Rectangle(from_thousandths(self.box_2d, seen)),
        }
    }
}

/// The boxes of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerBoxes {
    /// Those that are boxes, in order.
    pub boxes: Vec<AnswerBox>,
    /// Why others are not, each with where it stands.
    pub rejected: Vec<(Range<usize>, String)>,
}

/// The longest answer that is searched, in bytes.
const LONGEST: usize = 1 << 20;

#[derive(Deserialize)]
struct Written {
    box_2d: Vec<f64>,
    #[serde(default)]
    label: Option<String>,
}

/// A list or a number of lists could stand where four numbers should: noticed by its name alone.
#[derive(Deserialize)]
struct Misshapen {
    #[expect(dead_code, reason = "only that the name is there counts")]
    box_2d: IgnoredAny,
}

/// Finds `{"box_2d": [y0, x0, y1, x1], "label": "…"}` in the fenced blocks of an answer:
///
/// ````text
/// ```json
/// [{"box_2d": [512, 603, 790, 848], "label": "pleural effusion"}]
/// ```
/// ````
/// Objects may stand in a list, in another object or alone. A block that is not closed, or whose list is cut off, gives what is
/// whole; without any fence the whole answer is searched. Nothing here fails: text that is not a box is skipped.
pub fn answer_boxes(answer: &str) -> AnswerBoxes {
    let mut found = AnswerBoxes::default();
    let end = (0..=LONGEST.min(answer.len())).rev().find(|&end| answer.is_char_boundary(end));
    let answer = &answer[..end.unwrap_or(0)];
    for block in blocks(answer) {
        let mut at = block.start;
        while let Some(open) = answer[at..block.end].find('{').map(|i| at + i) {
            let text = &answer[open..block.end];
            at = match first::<Written>(text) {
                Some((written, length)) => {
                    add(&mut found, written, open..open + length);
                    open + length
                }
                None => match first::<Misshapen>(text) {
                    Some((_, length)) => {
                        let why = "box_2d is not a list of numbers".to_owned();
                        found.rejected.push((open..open + length, why));
                        open + length
                    }
                    None => open + 1,
                },
            };
        }
    }
    found
}

/// The first JSON value of a text and its length.
fn first<'a, T: Deserialize<'a>>(text: &'a str) -> Option<(T, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

fn add(found: &mut AnswerBoxes, written: Written, range: Range<usize>) {
    let reject = |why: &str| (range.clone(), why.to_owned());
    match <[f64; 4]>::try_from(written.box_2d) {
        Err(list) => {
            found.rejected.push(reject(&format!("{} numbers instead of four", list.len())));
        }
        Ok([y0, x0, y1, x1]) if !(y0 < y1 && x0 < x1) => {
            found.rejected.push(reject(
                "no rectangle: [y0, x0, y1, x1] with y0 < y1 and x0 < x1 is expected",
            ));
        }
        Ok([y0, x0, y1, x1]) if 1000.0 <= y0.max(x0) || y1.min(x1) <= 0.0 => {
            found.rejected.push(reject("beside the picture, which ends at 1000"));
        }
        Ok(box_2d) => {
            let label = written.label.unwrap_or_default();
            found.boxes.push(AnswerBox { label, box_2d, range });
        }
    }
}

/// What stands between fences, the last block open to the end; the whole text if there is no fence.
fn blocks(answer: &str) -> Vec<Range<usize>> {
    const FENCE: &str = "```";
    let fences: Vec<usize> = answer.match_indices(FENCE).map(|(at, _)| at).collect();
    if fences.is_empty() {
        return vec![0..answer.len()];
    }
    let block =
        |pair: &[usize]| pair[0] + FENCE.len()..pair.get(1).copied().unwrap_or(answer.len());
    fences.chunks(2).map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(answer: &str) -> Vec<String> {
        answer_boxes(answer).boxes.into_iter().map(|b| b.label).collect()
    }

    #[test]
    fn boxes_of_a_fenced_list_are_found() {
        let answer = "There is an effusion {here}.\n```json\n[\n  {\"box_2d\": [500, 600, 790, 848], \"label\": \"effusion\"},\n  {\"box_2d\": [0, 0, 100, 100], \"label\": \"tube \\\"A\\\"\"}\n]\n```\nDone.";
        let found = answer_boxes(answer);
        assert_eq!(labels(answer), ["effusion", "tube \"A\""]);
        assert_eq!(answer[found.boxes[0].range.clone()].chars().next(), Some('{'));
        let seen = Placement { x0: -100.0, y0: 0.0, x1: 900.0, y1: 1000.0 };
        let region = found.boxes[0].region(&seen);
        assert_eq!(region.shape, Shape::Rectangle([500.0, 500.0, 748.0, 790.0]));
    }

    #[test]
    fn cut_off_nested_and_unfenced_boxes_are_found() {
        let one = r#"{"box_2d": [1, 2, 3, 4], "label": "a"}"#;
        assert_eq!(labels(&format!("```json\n[{one}, {{\"box_2d\": [5, 6")), ["a"]);
        assert_eq!(labels(&format!("```\n{{\"objects\": [{one}]}}\n```")), ["a"]);
        assert_eq!(labels(one), ["a"]);
        assert_eq!(
            labels(&format!("{one}```json\nnothing\n```")),
            [""; 0],
            "fences, when there are any, decide"
        );
    }

    #[test]
    fn what_is_no_box_is_told() {
        let answer = r#"{"box_2d": [1, 2, 3]} {"box_2d": [9, 2, 3, 4]} {"box_2d": "x"} {"box_2d": [1001, 0, 2000, 5]} {{{"#;
        let found = answer_boxes(answer);
        assert!(found.boxes.is_empty());
        assert_eq!(found.rejected.len(), 4, "{found:?}");
        assert_eq!(found.rejected[0].1, "3 numbers instead of four");
    }

    #[test]
    fn no_text_is_too_wild() {
        for text in
            ["", "```", "``````", "{", &"{".repeat(3000), &"[{\"a\":".repeat(500), "🫁{\"box_2d\":"]
        {
            assert_eq!(answer_boxes(text).boxes, []);
        }
    }
}
