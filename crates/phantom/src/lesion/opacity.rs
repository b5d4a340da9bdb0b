//! A patch of filled lung.

use super::Place;
use crate::curve::{mix, smooth};
use crate::draw::Draw;
use crate::layer::Layer;
use crate::noise::hills;
use crate::zone::Zone;

/// A cloud: an ellipse whose outline and density are uneven, cut off where the lung ends.
pub(super) fn change(zone: Zone, strength: f32, place: &Place<'_>, draw: &mut Draw) -> Layer {
    let radii = [draw.within(0.055, 0.085), draw.within(0.050, 0.075)];
    let [cu, cv] = place.within(zone, 0.045, draw);
    let (sine, cosine) = draw.within(-0.8, 0.8).sin_cos();
    let seed = u64::from(draw.bits());
    let amount = mix(0.14, 0.62, strength);
    let mut layer = Layer::around(place.frame, &[[cu, cv]], 1.3 * radii[0].max(radii[1]));
    layer.fill(|x, y| {
        let lung = place.lung[place.index(x, y)];
        if lung <= 0.0 {
            return 0.0;
        }
        let [u, v] = place.frame.at(x, y);
        let (dx, dy) = (u - cu, v - cv);
        let along = (dx * cosine + dy * sine) / radii[0];
        let across = (dy * cosine - dx * sine) / radii[1];
        let square = along * along + across * across;
        if square > 1.6 {
            return 0.0;
        }
        let outline =
            0.30 * hills(seed, u * 22.0, v * 22.0) + 0.12 * hills(seed + 1, u * 60.0, v * 60.0);
        let body = smooth((1.0 - square.sqrt() + outline) / 0.55);
        let patchy = 0.84 + 0.16 * hills(seed + 2, u * 38.0, v * 38.0);
        amount * lung * body * patchy
    });
    layer
}
