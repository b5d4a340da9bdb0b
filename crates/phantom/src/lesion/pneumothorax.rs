//! Air beside a lung that has come off the chest wall.

use super::Place;
use crate::curve::{inside, mix, smooth};
use crate::draw::Draw;
use crate::layer::Layer;
use crate::tissue::VESSEL;
use crate::zone::Side;

/// A dark rim at apex and outer wall, without vessels, ended by the bright line of the pleura.
pub(super) fn change(side: Side, strength: f32, place: &Place<'_>, draw: &mut Draw) -> Layer {
    let (chest, frame) = (place.chest, place.frame);
    let apex = chest.anatomy.apex;
    let gap = draw.within(0.045, 0.070);
    let drop = draw.within(0.045, 0.065);
    let extent = draw.within(0.24, 0.29);
    let amount = mix(0.10, 0.24, strength);
    let (soft, line) = (frame.soft(0.003), frame.soft(0.0042));
    let far = side.sign() * 0.37;
    let corners = [
        [0.0, apex - 0.02],
        [far, apex - 0.02],
        [far, apex + extent + 0.01],
        [0.0, apex + extent + 0.01],
    ];
    let mut layer = Layer::around(frame, &corners, 0.01);
    // The edge of the collapsed lung: that of the lung, lowered at the apex and drawn in from the wall.
    let edge = |v: f32| {
        let end = smooth((apex + extent - v) / (0.75 * extent));
        chest.outer.at(v - drop * end) - gap * end
    };
    layer.fill(|x, y| {
        let index = place.index(x, y);
        let [u, v] = frame.at(x, y);
        if place.lung[index] <= 0.0 || u * side.sign() <= 0.0 || v > apex + extent {
            return 0.0;
        }
        let slope = (edge(v + 0.002) - edge(v - 0.002)) / 0.004;
        let within = (edge(v) - u.abs()) / (1.0 + slope * slope).sqrt();
        let within = within.min(v - apex - drop);
        let end = smooth((apex + extent - v) / 0.05);
        let air = (1.0 - inside(within, soft)) * end;
        let pleura = smooth(1.0 - (within / line).abs()) * end;
        let vessel = VESSEL * place.vessels.values[index];
        place.lung[index] * (0.26 * pleura - air * (amount + vessel))
    });
    layer
}
