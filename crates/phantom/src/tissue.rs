//! Soft tissue and air: what the bones lie in.

use crate::chest::{Chest, Site};
use crate::curve::{Curve, inside, mix, smooth};
use crate::frame::Frame;
use crate::noise::hills;

/// What lung takes away from the density of the chest.
const AIR: f32 = 0.93;
/// What a large vessel adds to the density of lung.
pub(crate) const VESSEL: f32 = 0.24;
/// Density of a room without anybody in it.
pub(crate) const EMPTY: f32 = 0.12;

/// Soft tissue of one chest.
pub(crate) struct Tissue {
    /// Density in the middle of the body, by height.
    thickness: Curve,
    breasts: f32,
    seed: u64,
    trachea: f32,
    edge: f32,
}

impl Tissue {
    pub(crate) fn new(chest: &Chest, frame: &Frame) -> Self {
        let a = &chest.anatomy;
        let thickness = Curve::new(-0.05, 1.05, |v| {
            let chest = mix(1.22, 1.44, smooth((v - 0.02) / 0.3));
            chest + 0.10 * smooth((v - 0.5) / 0.4) + 1.6 * a.girth * smooth((v - 0.2) / 0.2)
        });
        Self {
            thickness,
            breasts: a.breasts,
            seed: u64::from(a.texture),
            trachea: a.apex + 0.235,
            edge: frame.soft(0.010),
        }
    }

    /// Density at a place of the body; `vessel` is how much vessel is there.
    #[inline]
    pub(crate) fn at(&self, chest: &Chest, site: &Site, vessel: f32) -> f32 {
        let Site { u, v, skin, lung, heart, .. } = *site;
        let q = u.abs() / skin;
        let (q2, q4) = (q * q, q * q * q * q);
        let round = (1.0 - q4 * q2).max(0.0).sqrt();
        let edge = inside(skin - u.abs(), 0.012);
        let mut density = mix(EMPTY, self.thickness.at(v), round * edge);
        density += 0.035 * hills(self.seed, u * 9.0, v * 9.0) * edge + 0.30 * heart;
        if lung > 0.0 {
            let mottle = hills(self.seed + 1, u * 46.0, v * 46.0)
                + 0.6 * hills(self.seed + 2, u * 110.0, v * 110.0);
            let air = AIR * (0.70 + 0.30 * site.depth) * (1.0 - 0.80 * heart);
            let vessel = VESSEL * vessel * (1.0 - 0.6 * heart);
            density += lung * (0.024 * mottle + vessel + self.hilum(site) - air);
        }
        density += 0.40 * self.below(chest, site) - self.air_ways(u, v);
        density + self.breasts * breast(u.abs(), v)
    }

    /// The haze of lymph nodes and vessels where the lungs are hung up.
    #[inline]
    fn hilum(&self, site: &Site) -> f32 {
        let Site { u, v, heart, .. } = *site;
        let (x, y) = ((u.abs() - 0.085) / 0.06, (v - self.trachea - 0.05) / 0.085);
        let square = x * x + y * y;
        if square > 1.0 {
            return 0.0;
        }
        let cloud = 1.0 + 0.5 * hills(self.seed + 3, u * 60.0, v * 60.0);
        0.10 * (1.0 - square) * (1.0 - square) * cloud * (1.0 - heart)
    }

    /// Liver and spleen below the diaphragm, less the gas in the stomach.
    #[inline]
    fn below(&self, chest: &Chest, &Site { u, v, wall, .. }: &Site) -> f32 {
        let depth = v - chest.diaphragm.at(u);
        // Only lung makes the edge of the diaphragm; in the wall beside it there is none.
        let edge = self.edge + 0.35 * smooth(0.2 - wall / 0.05);
        if depth < -edge {
            return 0.0;
        }
        let (x, y) = ((u - 0.165) / 0.065, (depth - 0.062) / 0.036);
        let gas = smooth((1.0 - x * x - y * y) / 0.7);
        inside(depth, edge) * (0.6 + 0.4 * smooth(depth / 0.08)) - 0.85 * gas
    }

    /// Trachea and main bronchi.
    #[inline]
    fn air_ways(&self, u: f32, v: f32) -> f32 {
        let below = v - self.trachea;
        if below > 0.07 || u.abs() > 0.08 {
            return 0.0;
        }
        let u = u + 0.004;
        // Below the fork the two bronchi part.
        let from_axis = (u.abs() - 0.9 * below.max(0.0)).abs();
        let width = mix(0.0155, 0.010, smooth(below / 0.03 + 0.5));
        0.30 * inside(width - from_axis, 0.009) * (1.0 - smooth((below - 0.02) / 0.05))
    }
}

/// Shadow of a breast: soft above, with an edge below.
#[inline]
fn breast(across: f32, v: f32) -> f32 {
    let (x, y) = ((across - 0.20) / 0.16, (v - 0.60) / 0.155);
    let square = x * x + y * y;
    if square > 1.1 {
        return 0.0;
    }
    0.17 * smooth((1.0 - square) / 0.35) * smooth((v - 0.47) / 0.2)
}
