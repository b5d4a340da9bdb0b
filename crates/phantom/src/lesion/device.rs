//! A pacemaker.

use super::Place;
use crate::curve::{inside, mix};
use crate::draw::Draw;
use crate::layer::{Layer, Stroke};
use crate::zone::Side;

/// How many straight pieces a lead is drawn with.
const PIECES: usize = 48;

/// A box below the clavicle, and the lead that runs along the great veins into the heart.
pub(super) fn change(side: Side, strength: f32, place: &Place<'_>, draw: &mut Draw) -> Layer {
    let (chest, frame) = (place.chest, place.frame);
    let sign = side.sign();
    let half = [draw.within(0.038, 0.046), draw.within(0.031, 0.037)];
    let centre = [
        sign * draw.within(0.205, 0.245) * chest.anatomy.width,
        chest.anatomy.apex + draw.within(0.120, 0.145),
    ];
    let (sine, cosine) = (sign * draw.within(0.0, 0.35)).sin_cos();
    let top = chest.anatomy.apex;
    let tip = [draw.within(0.035, 0.075), chest.anatomy.dome - draw.within(0.035, 0.06)];
    let course = [
        [centre[0] - sign * 0.02, centre[1] - half[1]],
        [sign * 0.17, top + 0.035],
        [sign * 0.06, top + 0.055],
        [-0.035, top + 0.15],
        [-0.055, top + 0.30],
        [-0.045, chest.anatomy.dome - 0.06],
        tip,
    ];
    let mut places = course.to_vec();
    places.extend([[centre[0] + half[0], centre[1] + half[0]], [centre[0] - half[0], centre[1]]]);
    let mut layer = Layer::around(frame, &places, 0.05);
    let amount = mix(0.75, 1.6, strength);
    let (soft, shell) = (frame.soft(0.004), 0.005);
    layer.fill(|x, y| {
        let [u, v] = frame.at(x, y);
        let (dx, dy) = (u - centre[0], v - centre[1]);
        let (x, y) = (dx * cosine + dy * sine, dy * cosine - dx * sine);
        let edge = rounded(x, y, half);
        if edge < -soft {
            return 0.0;
        }
        // The battery fills the lower half, circuits and the connector the upper one.
        let battery = inside(rounded(x, y - 0.3 * half[1], [0.82 * half[0], 0.55 * half[1]]), soft);
        let connector =
            inside(rounded(x, y + 0.68 * half[1], [0.7 * half[0], 0.18 * half[1]]), soft);
        let wall = inside(shell - edge, soft);
        let filling = 0.55 + 0.45 * battery.max(wall) - 0.2 * connector;
        amount * inside(edge, soft) * filling
    });
    lead(&mut layer, place, &course, 0.62 * amount);
    layer
}

/// Distance inside the edge of a rectangle with round corners around the origin.
fn rounded(x: f32, y: f32, half: [f32; 2]) -> f32 {
    let corner = 0.35 * half[1].min(half[0]);
    let (x, y) = (x.abs() - half[0] + corner, y.abs() - half[1] + corner);
    let outside = (x.max(0.0) * x.max(0.0) + y.max(0.0) * y.max(0.0)).sqrt();
    corner - outside - x.max(y).min(0.0)
}

/// A smooth line through the points of its course, with an electrode at its tip.
fn lead(layer: &mut Layer, place: &Place<'_>, course: &[[f32; 2]], height: f32) {
    let frame = place.frame;
    let radius = (0.0026 / frame.pixel).max(0.75);
    let point = |piece: usize| {
        let along = piece as f32 / PIECES as f32 * (course.len() - 1) as f32;
        frame.pixel(through(course, along))
    };
    let profile = |x: f32| (1.3 * (1.0 - x)).clamp(0.0, 1.0);
    for piece in 0..PIECES {
        let (from, to) = (point(piece), point(piece + 1));
        // The electrode is thicker.
        let radius = if piece + 3 > PIECES { 1.9 * radius } else { radius };
        layer.stroke(Stroke { from, to, radii: [radius; 2], height }, profile);
    }
}

/// A point of the Catmull-Rom curve through `points`; a whole `along` is one of them.
fn through(points: &[[f32; 2]], along: f32) -> [f32; 2] {
    let index = (along as usize).min(points.len() - 2);
    let t = along - index as f32;
    let p = |offset: usize| points[(index + offset).saturating_sub(1).min(points.len() - 1)];
    let (a, b, c, d) = (p(0), p(1), p(2), p(3));
    std::array::from_fn(|axis| {
        let (a, b, c, d) = (a[axis], b[axis], c[axis], d[axis]);
        let (one, two) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d);
        0.5 * (2.0 * b + t * (one + t * (two + t * (3.0 * (b - c) + d - a))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_is_met() {
        let points = [[0.0, 0.0], [1.0, 0.5], [2.0, -1.0], [3.0, 0.0]];
        for (index, [x, y]) in points.into_iter().enumerate() {
            let [u, v] = through(&points, index as f32);
            assert!((u - x).abs() < 1e-6 && (v - y).abs() < 1e-6);
        }
    }

    #[test]
    fn a_rectangle_has_an_inside() {
        assert!(rounded(0.0, 0.0, [2.0, 1.0]) > 0.0);
        assert!(rounded(1.99, 0.99, [2.0, 1.0]) < 0.0, "the corner is round");
        assert!((rounded(2.5, 0.0, [2.0, 1.0]) + 0.5).abs() < 1e-6);
    }
}
