//! Boxes of a map, and how they overlap with those of radiologists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Item;
use crate::WordMap;

/// Pixels of a side of the square that maps and boxes are drawn into.
pub const SIDE: u32 = 224;

const SIDE_PIXELS: usize = SIDE as usize;
/// Of the values above zero this share is too low to belong to a box.
const QUANTILE: f64 = 0.9;
/// Pixels of the smallest component.
const SMALLEST: usize = 16;
/// Boxes of one map.
const MOST_BOXES: usize = 10;

/// Where a picture lies in the benchmark's square: made so small that its longer side is [`SIDE`] pixels long, with black of the same width
/// on either side of the shorter one, or a pixel more behind it (`medfocus/data/io.py`, `resize_pad`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Square {
    /// Pixels of the square for one of the picture.
    scale: f64,
    /// Columns and rows of the square before the picture.
    padding: [f64; 2],
}

impl Square {
    /// For a picture of this width and height in pixels; none for one without a pixel.
    pub fn of(size: [u32; 2]) -> Option<Self> {
        if size.contains(&0) {
            return None;
        }
        let scale = f64::from(SIDE) / f64::from(size[0].max(size[1]));
        // Halves to the even number, as Python rounds.
        let drawn = size.map(|side| (scale * f64::from(side)).round_ties_even().max(1.0));
        let padding = drawn.map(|drawn| ((f64::from(SIDE) - drawn) / 2.0).floor());
        Some(Self { scale, padding })
    }

    /// A box `[x0, y0, x1, y1]` in pixels of the picture, in those of the square.
    pub fn box_in_square(&self, [x0, y0, x1, y1]: [f64; 4]) -> [f64; 4] {
        let Self { scale, padding: [across, down] } = *self;
        [x0 * scale + across, y0 * scale + down, x1 * scale + across, y1 * scale + down]
    }

    /// The middle of a pixel of the square along one axis, in pixels of the picture.
    fn in_picture(&self, pixel: usize, axis: usize) -> f64 {
        (pixel as f64 + 0.5 - self.padding[axis]) / self.scale
    }
}

/// The boxes of a map in pixels of the square, the best first; `size` is width and height of its picture in pixels.
///
/// The map is drawn into the square with linear interpolation between the middles of cells, and scaled from 0 to 1; where the map is not,
/// there is nothing. Pixels above the 0.9 quantile of the values above 0 hang together over edges and corners; of the components of at
/// least 16 pixels the ten with the highest mean count, each as the smallest box around it. A map that is the same everywhere has none.
///
/// # Errors
/// What is wrong with the map, for people.
pub fn found_boxes(map: &WordMap, size: [u32; 2]) -> Result<Vec<[f64; 4]>, String> {
    let drawn = drawn(map, size)?;
    // NaN, which is where the map is not, is passed over.
    let least = drawn.iter().copied().fold(f64::INFINITY, f64::min);
    let most = drawn.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most <= least {
        return Ok(Vec::new());
    }
    let scaled: Vec<f64> = drawn.iter().map(|value| (value - least) / (most - least)).collect();
    let mut above: Vec<f64> = scaled.iter().copied().filter(|value| 0.0 < *value).collect();
    above.sort_by(f64::total_cmp);
    let threshold = quantile(&above, QUANTILE);
    let mut components = components(&scaled, threshold);
    components.retain(|component| SMALLEST <= component.pixels);
    // Stable: equal ones stay in the order of their first pixels.
    components.sort_by(|a, b| b.mean().total_cmp(&a.mean()));
    Ok(components.iter().take(MOST_BOXES).map(Component::tight).collect())
}

/// The value of each pixel of the square, row by row; NaN where the map is not.
fn drawn(map: &WordMap, size: [u32; 2]) -> Result<Vec<f64>, String> {
    let square = Square::of(size).ok_or("the picture has no pixel")?;
    let [rows, columns] = map.grid;
    let [x0, y0, x1, y1] = map.placement;
    let fits = rows.checked_mul(columns) == Some(map.values.len()) && !map.values.is_empty();
    if !fits || map.values.iter().any(|value| !value.is_finite()) {
        return Err("a map must have a finite value for each cell of its grid".to_owned());
    }
    if map.placement.iter().any(|side| !side.is_finite()) || x1 <= x0 || y1 <= y0 {
        return Err(format!("{:?} is no rectangle to draw a map into", map.placement));
    }
    // For each pixel of an axis the two cells around it, and the share of the second.
    let axis =
        |axis: usize, from: f64, to: f64, cells: usize| -> Vec<Option<(usize, usize, f64)>> {
            let tap = |pixel: usize| {
                let at = square.in_picture(pixel, axis);
                if !(from <= at && at < to) {
                    return None;
                }
                let cell = (at - from) * cells as f64 / (to - from) - 0.5;
                // In the middle of a cell but for rounding: nothing of its neighbour, which may be zero, is to come in.
                let middle = cell.round();
                let cell = if (cell - middle).abs() < 1e-9 { middle } else { cell };
                let cell = cell.clamp(0.0, (cells - 1) as f64);
                let first = cell as usize;
                Some((first, (first + 1).min(cells - 1), cell - first as f64))
            };
            (0..SIDE_PIXELS).map(tap).collect()
        };
    let (across, down) = (axis(0, x0, x1, columns), axis(1, y0, y1, rows));
    let value = |row: usize, column: usize| f64::from(map.values[row * columns + column]);
    let blend = |a: f64, b: f64, share: f64| a + share * (b - a);
    let pixel = |x: &Option<(usize, usize, f64)>, y: &Option<(usize, usize, f64)>| {
        let (Some((left, right, x)), Some((upper, lower, y))) = (*x, *y) else { return f64::NAN };
        let line = |row| blend(value(row, left), value(row, right), x);
        blend(line(upper), line(lower), y)
    };
    Ok(down.iter().flat_map(|y| across.iter().map(|x| pixel(x, y)).collect::<Vec<_>>()).collect())
}

/// Between the two values around it, linearly, as `NumPy` does; `sorted` has a value.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let first = at as usize;
    let next = (first + 1).min(sorted.len() - 1);
    sorted[first] + (at - first as f64) * (sorted[next] - sorted[first])
}

/// Pixels that hang together.
#[derive(Debug)]
struct Component {
    pixels: usize,
    sum: f64,
    /// Left, top, right, bottom, each that of a pixel inside.
    bounds: [usize; 4],
}

impl Component {
    fn mean(&self) -> f64 {
        self.sum / self.pixels as f64
    }

    /// The smallest box around it: to behind the last pixel.
    fn tight(&self) -> [f64; 4] {
        let [left, top, right, bottom] = self.bounds;
        [left, top, right + 1, bottom + 1].map(|side| side as f64)
    }
}

/// Components of the pixels of at least this value, over edges and corners.
fn components(values: &[f64], threshold: f64) -> Vec<Component> {
    let mut is_left: Vec<bool> = values.iter().map(|value| threshold <= *value).collect();
    let mut found = Vec::new();
    for start in 0..values.len() {
        if !is_left[start] {
            continue;
        }
        is_left[start] = false;
        let (mut open, mut component) = (
            vec![start],
            Component { pixels: 0, sum: 0.0, bounds: [usize::MAX, usize::MAX, 0, 0] },
        );
        while let Some(at) = open.pop() {
            let (x, y) = (at % SIDE_PIXELS, at / SIDE_PIXELS);
            let [left, top, right, bottom] = component.bounds;
            component.pixels += 1;
            component.sum += values[at];
            component.bounds = [left.min(x), top.min(y), right.max(x), bottom.max(y)];
            for y in y.saturating_sub(1)..(y + 2).min(SIDE_PIXELS) {
                for x in x.saturating_sub(1)..(x + 2).min(SIDE_PIXELS) {
                    let next = y * SIDE_PIXELS + x;
                    if std::mem::take(&mut is_left[next]) {
                        open.push(next);
                    }
                }
            }
        }
        found.push(component);
    }
    found
}

/// How the area under some boxes agrees with that under others, each from 0 to 1. What lies under several boxes counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// The area under both over that under either.
    pub iou: f64,
    /// The share of the predicted area that is right.
    pub precision: f64,
    /// The share of the right area that is predicted.
    pub recall: f64,
    /// The harmonic mean of precision and recall (Dice).
    pub f1: f64,
}

impl Overlap {
    /// Of boxes `[x0, y0, x1, y1]`, both in the same pixels. Boxes without an area, or with a side that is no finite number, are passed over;
    /// nothing predicted where nothing is right is wholly right, as the benchmark has it.
    pub fn of(predicted: &[[f64; 4]], right: &[[f64; 4]]) -> Self {
        let (a, b) = (area(predicted), area(right));
        let either = area(&[predicted, right].concat());
        let both = (a + b - either).max(0.0);
        let share = |part: f64, whole: f64| match (either == 0.0, whole == 0.0) {
            (true, _) => 1.0,
            (false, true) => 0.0,
            (false, false) => part / whole,
        };
        let (precision, recall) = (share(both, a), share(both, b));
        let sum = precision + recall;
        let f1 = if sum == 0.0 { 0.0 } else { 2.0 * precision * recall / sum };
        Self { iou: share(both, either), precision, recall, f1 }
    }
}

/// The area under boxes: in each strip between neighbouring left and right sides the length of what they cover.
fn area(boxes: &[[f64; 4]]) -> f64 {
    let is_box = |[x0, y0, x1, y1]: &[f64; 4]| {
        [x0, y0, x1, y1].into_iter().all(|side| side.is_finite()) && x0 < x1 && y0 < y1
    };
    let mut boxes: Vec<[f64; 4]> = boxes.iter().copied().filter(is_box).collect();
    boxes.sort_by(|a, b| a[1].total_cmp(&b[1]));
    let mut sides: Vec<f64> = boxes.iter().flat_map(|&[x0, _, x1, _]| [x0, x1]).collect();
    sides.sort_by(f64::total_cmp);
    let strip = |ends: &[f64]| {
        let (mut covered, mut reached) = (0.0, f64::NEG_INFINITY);
        for [_, y0, _, y1] in boxes.iter().filter(|it| it[0] <= ends[0] && ends[1] <= it[2]) {
            covered += (y1 - y0.max(reached)).max(0.0);
            reached = reached.max(*y1);
        }
        covered * (ends[1] - ends[0])
    };
    sides.windows(2).filter(|ends| ends[0] < ends[1]).map(strip).sum()
}

/// One row of results, with the names that the benchmark's `scripts/eval_attribution.py` reads. Both kinds of boxes are in pixels of the
/// square.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkRow {
    /// The name of the method that made the map.
    pub method: String,
    /// The name of the model, as the benchmark has it.
    pub model: String,
    /// The half of the benchmark: `direct`.
    pub split: String,
    /// The data set.
    pub dataset: String,
    /// The number in the data set.
    pub index: usize,
    /// Boxes of the map, `[x0, y0, x1, y1]`.
    pub pred_boxes: Vec<[f64; 4]>,
    /// Boxes of the radiologists, `[x0, y0, x1, y1]`.
    pub gt_boxes: Vec<[f64; 4]>,
}

impl BenchmarkRow {
    /// The row of a case. Where nothing speaks for the word there is no map: such a case has no box and must stay in the mean, or a method
    /// that is silent where it is wrong would seem better.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn new(
        method: &str,
        model: &str,
        item: &Item,
        map: Option<&WordMap>,
    ) -> Result<Self, String> {
        let case = item.case.as_ref().map_err(|bad| bad.reason.clone())?;
        let size = item.size.ok_or("the size of the picture is not known")?;
        let square = Square::of(size).ok_or("the picture has no pixel")?;
        if map.is_some_and(|map| map.picture != case.picture) {
            return Err("the map is that of another picture".to_owned());
        }
        let pred_boxes = map.map_or(Ok(Vec::new()), |map| found_boxes(map, size))?;
        Ok(Self {
            method: method.to_owned(),
            model: model.to_owned(),
            split: "direct".to_owned(),
            dataset: item.dataset.clone(),
            index: item.index,
            pred_boxes,
            gt_boxes: case.boxes.iter().map(|&sides| square.box_in_square(sides)).collect(),
        })
    }
}

/// Means over the rows of one method, model, split and data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The method.
    pub method: String,
    /// The model.
    pub model: String,
    /// The half of the benchmark.
    pub split: String,
    /// The data set.
    pub dataset: String,
    /// How many rows there are.
    pub rows: usize,
    /// The mean of each measure, in percent.
    pub percent: Overlap,
}

/// Scores, sorted by method, model, split and data set. The benchmark's own table takes all models together; give it rows of one.
pub fn score(rows: &[BenchmarkRow]) -> Vec<Score> {
    let mut groups: BTreeMap<[&str; 4], Vec<Overlap>> = BTreeMap::new();
    for row in rows {
        let key = [&row.method, &row.model, &row.split, &row.dataset].map(String::as_str);
        groups.entry(key).or_default().push(Overlap::of(&row.pred_boxes, &row.gt_boxes));
    }
    let score = |([method, model, split, dataset], overlaps): ([&str; 4], Vec<Overlap>)| {
        let percent = |of: fn(&Overlap) -> f64| {
            100.0 * overlaps.iter().map(of).sum::<f64>() / overlaps.len() as f64
        };
        Score {
            method: method.to_owned(),
            model: model.to_owned(),
            split: split.to_owned(),
            dataset: dataset.to_owned(),
            rows: overlaps.len(),
            percent: Overlap {
                iou: percent(|it| it.iou),
                precision: percent(|it| it.precision),
                recall: percent(|it| it.recall),
                f1: percent(|it| it.f1),
            },
        }
    };
    groups.into_iter().map(score).collect()
}
