//! The outlines of the chest: body, lungs, diaphragm, heart.

use crate::anatomy::Anatomy;
use crate::curve::{Curve, inside, mix, smooth};
use crate::frame::Frame;
use crate::zone::{Level, Side, Zone};

/// Half the width of a lung field at its widest, from the middle line.
const WIDEST: f32 = 0.335;
/// Height at which the lungs are widest.
const WIDEST_AT: f32 = 0.70;
/// Distance of the apex of a lung from the middle line.
const APEX: f32 = 0.125;
/// Distance of the inner edge of a lung from the middle line.
const INNER: f32 = 0.045;
/// Distance of the middle of a dome of the diaphragm from the middle line.
const DOME: f32 = 0.165;

/// The outlines of one chest, ready to be asked per pixel.
pub(crate) struct Chest {
    pub(crate) anatomy: Anatomy,
    /// Outer and inner edge of the lungs by height, as distances from the middle line.
    pub(crate) outer: Curve,
    pub(crate) inner: Curve,
    outer_steepness: Curve,
    inner_steepness: Curve,
    /// Height of the diaphragm by u.
    pub(crate) diaphragm: Curve,
    diaphragm_steepness: Curve,
    /// Half the width of the body by height.
    pub(crate) skin: Curve,
    heart: [Ellipse; 6],
    edge: f32,
    edge_below: f32,
}

/// What is at one place of the body.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    pub(crate) u: f32,
    pub(crate) v: f32,
    /// Half the width of the body at this height.
    pub(crate) skin: f32,
    /// Distance from the wall of the chest, positive within.
    pub(crate) wall: f32,
    /// How much lung: 1 within, 0 outside, soft at the edges.
    pub(crate) lung: f32,
    /// How deep that lung is, from 0 at the wall to 1: a lung is a rounded thing.
    pub(crate) depth: f32,
    /// How much heart and great vessels.
    pub(crate) heart: f32,
}

impl Chest {
    pub(crate) fn new(anatomy: &Anatomy, frame: &Frame) -> Self {
        let a = *anatomy;
        let outer = Curve::new(0.0, 1.0, |v| outer(&a, v));
        let inner = Curve::new(0.0, 1.0, |v| inner(&a, v));
        let diaphragm = Curve::new(-0.5, 0.5, |u| diaphragm(&a, u));
        Self {
            anatomy: a,
            outer_steepness: outer.steepness(),
            inner_steepness: inner.steepness(),
            diaphragm_steepness: diaphragm.steepness(),
            outer,
            inner,
            diaphragm,
            skin: Curve::new(-0.05, 1.05, |v| skin(&a, v)),
            heart: heart(&a),
            edge: frame.soft(0.008),
            edge_below: frame.soft(0.010),
        }
    }

    /// What is at a place of the body; none beside the body.
    #[inline]
    pub(crate) fn site(&self, [u, v]: [f32; 2]) -> Option<Site> {
        let (across, skin) = (u.abs(), self.skin.at(v));
        if across >= skin {
            return None;
        }
        let wall = self.outer.at(v) - across;
        let mut site = Site { u, v, skin, wall, lung: 0.0, depth: 0.0, heart: self.heart([u, v]) };
        let above = v - self.anatomy.apex;
        if above < -0.01 || wall < -self.edge {
            return Some(site);
        }
        let below = (self.diaphragm.at(u) - v) * self.diaphragm_steepness.at(u);
        let inner = (across - self.inner.at(v)) * self.inner_steepness.at(v);
        site.lung = inside(wall * self.outer_steepness.at(v), self.edge)
            * inside(inner, 3.0 * self.edge)
            * inside(below, self.edge_below)
            * inside(above, self.edge);
        site.depth = smooth(wall / 0.16 + 0.25) * smooth(above / 0.22 + 0.35);
        Some(site)
    }

    /// How much of the heart and the great vessels is at a place.
    #[inline]
    pub(crate) fn heart(&self, [u, v]: [f32; 2]) -> f32 {
        if u.abs() > 0.32 || !(0.22..0.86).contains(&v) {
            return 0.0;
        }
        self.heart.iter().map(|ellipse| ellipse.at(u, v)).fold(0.0, f32::max)
    }

    /// Distance of the edge of the heart from the middle line at a height, on a side.
    pub(crate) fn heart_edge(&self, side: Side, v: f32) -> f32 {
        let steps = (0..40).map(|step| step as f32 * 0.0075);
        let within = steps.filter(|across| self.heart([side.sign() * across, v]) > 0.5);
        within.fold(self.inner.at(v), f32::max)
    }

    /// Height of the dome of the diaphragm on a side.
    pub(crate) fn dome(&self, side: Side) -> f32 {
        dome(&self.anatomy, side)
    }

    /// Heights at which a zone begins and ends.
    pub(crate) fn heights(&self, zone: Zone) -> [f32; 2] {
        let [top, upper, middle, bottom] = levels(&self.anatomy, zone.side);
        match zone.level {
            Level::Upper => [top, upper],
            Level::Middle => [upper, middle],
            Level::Lower => [middle, bottom],
        }
    }
}

/// The zone that a place of the body belongs to, in a lung or beside it.
pub(crate) fn zone_at(anatomy: &Anatomy, [u, v]: [f32; 2]) -> Zone {
    let side = if u < 0.0 { Side::Right } else { Side::Left };
    let [_, upper, middle, _] = levels(anatomy, side);
    let level = match v {
        v if v < upper => Level::Upper,
        v if v < middle => Level::Middle,
        _ => Level::Lower,
    };
    Zone { side, level }
}

/// Heights that cut the lung of a side into thirds: top, end of the upper and of the middle one, bottom.
fn levels(anatomy: &Anatomy, side: Side) -> [f32; 4] {
    // A lung ends below its dome at the wall and above it in the middle.
    let (top, bottom) = (anatomy.apex, dome(anatomy, side) + 0.05);
    [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0].map(|share| mix(top, bottom, share))
}

fn outer(a: &Anatomy, v: f32) -> f32 {
    let apex = APEX * a.width;
    let widest = WIDEST * a.width;
    if v < WIDEST_AT {
        let up = ((WIDEST_AT - v) / (WIDEST_AT - a.apex)).min(1.0);
        apex + (widest - apex) * (1.0 - up.powf(2.7)).powf(0.52)
    } else {
        let down = (v - WIDEST_AT) / 0.3;
        widest * (1.0 - 0.10 * down * down)
    }
}

fn inner(a: &Anatomy, v: f32) -> f32 {
    let up = ((WIDEST_AT - v) / (WIDEST_AT - a.apex)).clamp(0.0, 1.0);
    let bend = 1.0 - (1.0 - up.powf(7.0)).powf(0.5);
    mix(INNER, APEX * a.width, bend)
}

fn dome(a: &Anatomy, side: Side) -> f32 {
    match side {
        Side::Right => a.dome,
        Side::Left => a.dome + a.dome_step,
    }
}

fn diaphragm(a: &Anatomy, u: f32) -> f32 {
    let height = |side| {
        let from_top = (u.abs() / a.width - DOME) / 0.17;
        let square = from_top * from_top;
        let fall =
            if from_top > 0.0 { 0.055 * square + 0.06 * square * square } else { 0.05 * square };
        dome(a, side) + fall
    };
    // The domes meet below the heart without a step.
    mix(height(Side::Right), height(Side::Left), smooth(u / 0.1 + 0.5))
}

/// Neck, shoulders, chest wall and waist.
fn skin(a: &Anatomy, v: f32) -> f32 {
    let neck = 0.105 + 0.5 * a.girth;
    let wall = 0.415 * a.width + a.girth;
    let shoulders = smooth((v + a.shoulders - 0.035) / 0.15);
    let upper = mix(neck + 0.05 * smooth((v + 0.05) / 0.15), 0.53, shoulders);
    let chest = mix(upper, wall, smooth((v - 0.24) / 0.40));
    chest + 0.02 * smooth((v - 0.75) / 0.3)
}

/// An ellipse with a soft edge.
struct Ellipse {
    centre: [f32; 2],
    radii: [f32; 2],
    cosine: f32,
    sine: f32,
    soft: f32,
}

impl Ellipse {
    #[inline]
    fn at(&self, u: f32, v: f32) -> f32 {
        let (x, y) = (u - self.centre[0], v - self.centre[1]);
        let along = (x * self.cosine + y * self.sine) / self.radii[0];
        let across = (y * self.cosine - x * self.sine) / self.radii[1];
        let square = along * along + across * across;
        if square > 2.0 {
            return 0.0;
        }
        inside((1.0 - square.sqrt()) * self.radii[0].min(self.radii[1]), self.soft)
    }
}

/// Left ventricle, right atrium, pulmonary trunk, aortic arch, superior vena cava, descending aorta.
fn heart(a: &Anatomy) -> [Ellipse; 6] {
    let size = a.heart;
    let (sine, cosine) = a.heart_angle.sin_cos();
    let round = |centre, radii, soft| Ellipse { centre, radii, cosine: 1.0, sine: 0.0, soft };
    let bottom = a.dome + 0.02;
    let ventricle = Ellipse {
        centre: [0.055 * size, bottom - 0.105 * size],
        radii: [0.150 * size, 0.112 * size],
        cosine,
        sine,
        soft: 0.020,
    };
    [
        ventricle,
        round([-0.022 * size, bottom - 0.085 * size], [0.070 * size, 0.115 * size], 0.022),
        round([0.030, bottom - 0.245], [0.062, 0.085], 0.024),
        round([0.030, a.apex + 0.195], [0.046, 0.050], 0.018),
        round([-0.014, a.apex + 0.26], [0.048, 0.19], 0.024),
        round([0.010, a.apex + 0.32], [0.052, 0.22], 0.024),
    ]
}
