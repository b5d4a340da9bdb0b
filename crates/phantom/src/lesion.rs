//! What each kind of finding does to the density of a chest.

mod device;
mod effusion;
mod nodule;
mod opacity;
mod pneumothorax;

use crate::chest::Chest;
use crate::curve::mix;
use crate::draw::Draw;
use crate::finding::{Finding, FindingKind};
use crate::frame::Frame;
use crate::layer::Layer;
use crate::zone::Zone;

/// The chest that a finding is put into, pixel by pixel.
pub(crate) struct Place<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) chest: &'a Chest,
    /// How much lung is at each pixel.
    pub(crate) lung: &'a [f32],
    pub(crate) vessels: &'a Layer,
}

impl Place<'_> {
    fn index(&self, x: u32, y: u32) -> usize {
        (y * self.frame.size + x) as usize
    }

    /// A place in the zone, `inset` away from the edges of the lung and the shadow of the heart.
    fn within(&self, zone: Zone, inset: f32, draw: &mut Draw) -> [f32; 2] {
        let [top, bottom] = self.chest.heights(zone);
        let middle = mix(top, bottom, 0.5);
        let room = (0.5 * (bottom - top) - 0.9 * inset).max(0.012);
        let v = middle + draw.within(-room, room);
        let outer = self.chest.outer.at(v) - inset;
        let inner = self.chest.heart_edge(zone.side, v) + inset;
        let (low, high) = if inner < outer { (inner, outer) } else { (outer - 0.01, outer) };
        let across = draw.within(low, high);
        // No deeper than the diaphragm allows at this distance from the middle.
        let floor = self.chest.diaphragm.at(zone.side.sign() * across) - 0.8 * inset;
        [zone.side.sign() * across, v.min(floor)]
    }
}

/// The change of density that a finding makes.
pub(crate) fn change(finding: &Finding, place: &Place<'_>) -> Layer {
    let mut draw = Draw::new(u64::from(finding.shape), finding.kind as u64);
    let strength = finding.strength.clamp(0.0, 1.0);
    match finding.kind {
        FindingKind::Opacity => opacity::change(finding.zone, strength, place, &mut draw),
        FindingKind::Nodule => nodule::change(finding.zone, strength, place, &mut draw),
        FindingKind::Effusion => effusion::change(finding.zone.side, strength, place, &mut draw),
        FindingKind::Pneumothorax => {
            pneumothorax::change(finding.zone.side, strength, place, &mut draw)
        }
        FindingKind::Device => device::change(finding.zone.side, strength, place, &mut draw),
    }
}
