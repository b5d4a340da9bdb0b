//! A small round shadow.

use super::Place;
use crate::curve::{mix, smooth};
use crate::draw::Draw;
use crate::layer::Layer;
use crate::noise::hills;
use crate::zone::Zone;

/// A ball, a little lobed: densest in its middle, with a clear edge.
pub(super) fn change(zone: Zone, strength: f32, place: &Place<'_>, draw: &mut Draw) -> Layer {
    let radius = draw.within(0.019, 0.030);
    let [cu, cv] = place.within(zone, radius + 0.020, draw);
    let seed = u64::from(draw.bits());
    let amount = mix(0.20, 0.52, strength);
    let mut layer = Layer::around(place.frame, &[[cu, cv]], 1.2 * radius);
    layer.fill(|x, y| {
        let [u, v] = place.frame.at(x, y);
        let (dx, dy) = ((u - cu) / radius, (v - cv) / radius);
        let square = dx * dx + dy * dy;
        if square > 1.5 {
            return 0.0;
        }
        let lobes = 0.10 * hills(seed, dx * 1.3, dy * 1.3);
        let edge = smooth((1.0 - square.sqrt() + lobes) / 0.30);
        let ball = 0.68 + 0.32 * (1.0 - square).max(0.0);
        amount * edge * ball * place.lung[place.index(x, y)]
    });
    layer
}
