//! Regions that need no file.

use super::Region;
use crate::Orientation;
use crate::orientation::PictureSide;

const ROWS: [&str; 3] = ["upper", "middle", "lower"];

pub(super) fn halves(size: (u32, u32)) -> Vec<Region> {
    parts(size, [1, 2], |_, column| format!("picture {}", ["left", "right"][column]))
}

pub(super) fn quadrants(size: (u32, u32)) -> Vec<Region> {
    parts(size, [2, 2], |row, column| {
        format!("picture {} {}", ["upper", "lower"][row], ["left", "right"][column])
    })
}

pub(super) fn grid3x3(size: (u32, u32)) -> Vec<Region> {
    parts(size, [3, 3], |row, column| match (row, column) {
        (1, 1) => "picture centre".to_owned(),
        _ => format!("picture {} {}", ROWS[row], ["left", "middle", "right"][column]),
    })
}

pub(super) fn cxr(size: (u32, u32), orientation: Orientation) -> Vec<Region> {
    let sides = [PictureSide::Left, PictureSide::Right];
    let zones = parts(size, [3, 2], |row, column| {
        let side = match (orientation.letter(sides[column]), sides[column]) {
            (Some('R'), _) => "right",
            (Some(_), _) => "left",
            (None, PictureSide::Left) => "picture left",
            (None, _) => "picture right",
        };
        format!("{side} {} zone", ROWS[row])
    });
    // One side after the other, the patient's right first, so that pictures that hang differently list the same zones in the same order.
    let (left, right): (Vec<_>, Vec<_>) =
        zones.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let (first, second) = match orientation.letter(PictureSide::Left) {
        Some('L') => (right, left),
        _ => (left, right),
    };
    first.into_iter().chain(second).map(|(_, zone)| zone).collect()
}

/// Equal parts of a picture, row by row.
fn parts(
    (width, height): (u32, u32),
    [rows, columns]: [usize; 2],
    name: impl Fn(usize, usize) -> String,
) -> Vec<Region> {
    let edge = |i: usize, n: usize, pixels: u32| f64::from(pixels) * i as f64 / n as f64;
    let part = |(row, column): (usize, usize)| {
        let (x, y) = (|i| edge(i, columns, width), |i| edge(i, rows, height));
        Region::rectangle(name(row, column), [x(column), y(row), x(column + 1), y(row + 1)])
    };
    (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_follow_the_orientation() {
        let first = |orientation| cxr((90, 90), orientation).swap_remove(0);
        assert_eq!(
            first(Orientation::Ap),
            Region::rectangle("right upper zone", [0.0, 0.0, 45.0, 30.0])
        );
        assert_eq!(
            first(Orientation::Flipped),
            Region::rectangle("right upper zone", [45.0, 0.0, 90.0, 30.0])
        );
        assert_eq!(first(Orientation::None).name, "picture left upper zone");
        assert_eq!(cxr((90, 90), Orientation::Pa)[5].name, "left lower zone");
    }

    #[test]
    fn parts_are_named_as_they_lie() {
        assert_eq!(
            quadrants((2, 2))[2],
            Region::rectangle("picture lower left", [0.0, 1.0, 1.0, 2.0])
        );
        let names: Vec<_> = grid3x3((9, 9)).into_iter().map(|r| r.name).collect();
        assert_eq!(names[3..6], ["picture middle left", "picture centre", "picture middle right"]);
        assert_eq!(halves((9, 9)).len(), 2);
    }
}
