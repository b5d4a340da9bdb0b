//! Fluid above the diaphragm.

use super::Place;
use crate::curve::{inside, mix, smooth};
use crate::draw::Draw;
use crate::layer::Layer;
use crate::zone::Side;

/// Fills the corner between diaphragm and chest wall up to a meniscus that rises towards the wall.
pub(super) fn change(side: Side, strength: f32, place: &Place<'_>, draw: &mut Draw) -> Layer {
    let chest = place.chest;
    let depth = draw.within(0.15, 0.24);
    let rise = draw.within(0.055, 0.085);
    let amount = mix(0.40, 0.82, strength);
    let bottom = chest.dome(side) + 0.13;
    let soft = place.frame.soft(0.024);
    let level = |u: f32, v: f32| {
        let (outer, inner) = (chest.outer.at(v), chest.inner.at(v));
        let q = ((u.abs() - inner) / (outer - inner)).clamp(0.0, 1.0);
        bottom - depth - rise * (1.25 * q * q * q * q - 0.35)
    };
    let far = side.sign() * 0.37;
    let corners = [
        [0.0, bottom - depth - rise - 0.02],
        [far, bottom - depth - rise - 0.02],
        [far, bottom + 0.02],
        [0.0, bottom + 0.02],
    ];
    let mut layer = Layer::around(place.frame, &corners, 0.01);
    layer.fill(|x, y| {
        let lung = place.lung[place.index(x, y)];
        let [u, v] = place.frame.at(x, y);
        if lung <= 0.0 || u * side.sign() <= 0.0 {
            return 0.0;
        }
        let below = v - level(u, v);
        let behind_heart = 1.0 - 0.75 * chest.heart([u, v]);
        amount * lung * behind_heart * inside(below, soft) * (0.8 + 0.2 * smooth(below / 0.07))
    });
    layer
}
