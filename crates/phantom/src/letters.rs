//! Letters burnt into the picture.

use crate::layer::{Layer, Stroke};
use crate::mask::Mask;
use crate::scene::Scene;
use crate::{THRESHOLD, zone::Side};

/// How white a letter is.
const INK: f32 = 0.96;

/// A letter as lines through points, in a box one high and 0.62 wide.
type Glyph = &'static [&'static [[f32; 2]]];

/// Distance from one letter to the next.
const ADVANCE: f32 = 0.88;

const BOWL: &[[f32; 2]] =
    &[[0.0, 0.0], [0.4, 0.0], [0.58, 0.1], [0.62, 0.26], [0.58, 0.42], [0.4, 0.52], [0.0, 0.52]];
const STEM: &[[f32; 2]] = &[[0.0, 0.0], [0.0, 1.0]];
const RING: &[[f32; 2]] = &[
    [0.31, 0.0],
    [0.52, 0.1],
    [0.62, 0.32],
    [0.62, 0.68],
    [0.52, 0.9],
    [0.31, 1.0],
    [0.1, 0.9],
    [0.0, 0.68],
    [0.0, 0.32],
    [0.1, 0.1],
    [0.31, 0.0],
];

fn glyph(letter: char) -> Glyph {
    match letter {
        'L' => &[&[[0.0, 0.0], [0.0, 1.0], [0.58, 1.0]]],
        'R' => &[STEM, BOWL, &[[0.3, 0.52], [0.62, 1.0]]],
        'P' => &[STEM, BOWL],
        'O' => &[RING],
        'T' => &[&[[0.0, 0.0], [0.62, 0.0]], &[[0.31, 0.0], [0.31, 1.0]]],
        'A' => &[&[[0.0, 1.0], [0.31, 0.0], [0.62, 1.0]], &[[0.11, 0.66], [0.51, 0.66]]],
        'B' => &[
            STEM,
            &[[0.0, 0.0], [0.42, 0.0], [0.56, 0.1], [0.56, 0.37], [0.42, 0.47], [0.0, 0.47]],
            &[[0.42, 0.47], [0.6, 0.58], [0.62, 0.75], [0.58, 0.9], [0.42, 1.0], [0.0, 1.0]],
        ],
        'E' => &[&[[0.6, 0.0], [0.0, 0.0], [0.0, 1.0], [0.6, 1.0]], &[[0.0, 0.48], [0.5, 0.48]]],
        _ => &[],
    }
}

/// Burns what the scene says into the picture; gives the masks of side letter and tag.
pub(crate) fn burn(scene: &Scene, size: u32, values: &mut [f32]) -> [Mask; 2] {
    let markers = scene.markers();
    let side = scene.marked_side();
    let letter = match side {
        Side::Right => ("R", [0.055, 0.045], 0.052),
        Side::Left => ("L", [0.912, 0.045], 0.052),
    };
    // The tag is where the letter is not.
    let tag = match side {
        Side::Right => ("PORTABLE", [0.735, 0.038], 0.032),
        Side::Left => ("PORTABLE", [0.035, 0.038], 0.032),
    };
    [(markers.side_letter, letter), (markers.portable, tag)].map(|(wanted, (text, at, height))| {
        if wanted { write(text, at, height, size, values) } else { Mask::empty(size, size) }
    })
}

/// Writes a text with its upper left corner at a place, in sides of the picture.
fn write(text: &str, [left, top]: [f32; 2], height: f32, size: u32, values: &mut [f32]) -> Mask {
    let side = size as f32;
    let radius = (0.075 * height * side).max(0.65);
    let mut layer = Layer::whole(size);
    for (index, letter) in text.chars().enumerate() {
        let start = left + index as f32 * ADVANCE * height;
        let place = |[x, y]: [f32; 2]| [(start + x * height) * side, (top + y * height) * side];
        for line in glyph(letter).iter().flat_map(|lines| lines.windows(2)) {
            let (from, to) = (place(line[0]), place(line[1]));
            let stroke = Stroke { from, to, radii: [radius; 2], height: 1.0 };
            layer.stroke(stroke, |x| ((1.0 - x) * radius + 0.5).clamp(0.0, 1.0));
        }
    }
    let mut mask = Mask::empty(size, size);
    for (x, y, ink) in layer.entries() {
        let value = &mut values[(y * size + x) as usize];
        let written = *value + (INK - *value) * ink;
        if (written - *value).abs() > THRESHOLD {
            mask.set(x, y);
        }
        *value = written;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_that_is_used_has_lines_within_its_box() {
        for letter in "LRPORTABLE".chars() {
            let points = || glyph(letter).iter().copied().flatten();
            assert!(points().count() > 2, "{letter}");
            assert!(points().all(|[x, y]| (0.0..=0.62).contains(x) && (0.0..=1.0).contains(y)));
        }
    }
}
