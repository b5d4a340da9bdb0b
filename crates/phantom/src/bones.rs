//! Ribs, clavicles, shoulder blades and spine.

use crate::anatomy::Anatomy;
use crate::chest::Chest;
use crate::curve::{Curve, inside, mix, smooth};
use crate::frame::Frame;

/// How many ribs are drawn behind and in front.
const BEHIND: f32 = 10.0;
const IN_FRONT: f32 = 6.0;
/// Half the width of a rib.
const RIB: f32 = 0.0125;
/// Height of a vertebra with its disc.
const VERTEBRA: f32 = 0.052;

/// A family of ribs. Rib `i` runs along `v = start + i·spacing + (bend + i·bend_step)·shape(u)`; because that is linear in i,
/// the rib next to a place is found without a search.
struct Family {
    start: f32,
    spacing: f32,
    bend: f32,
    bend_step: f32,
    shape: Curve,
    slope: Curve,
    count: f32,
}

impl Family {
    /// Density at a place: a tube, brighter at its edges.
    #[inline]
    fn at(&self, across: f32, v: f32, soft: f32) -> f32 {
        let shape = self.shape.at(across);
        let step = self.spacing + self.bend_step * shape;
        let index = (v - self.start - self.bend * shape) / step;
        if !(-0.5..self.count + 0.5).contains(&index) {
            return 0.0;
        }
        let nearest = (index + 0.5) as u32 as f32;
        let distance = (index - nearest).abs() * step * self.slope.at(across);
        tube(distance, RIB, soft)
    }
}

/// Density of a bone across: a shell around marrow.
#[inline]
fn tube(distance: f32, radius: f32, soft: f32) -> f32 {
    let place = (distance / radius).min(1.0);
    inside(radius - distance, soft) * (0.62 + 0.48 * place * place)
}

/// The bones of one chest.
pub(crate) struct Bones {
    density: f32,
    width: f32,
    soft: f32,
    behind: Family,
    in_front: Family,
    clavicle: Curve,
    clavicle_slope: Curve,
    blade: Curve,
    shoulders: f32,
    spine_phase: f32,
}

impl Bones {
    pub(crate) fn new(a: &Anatomy, frame: &Frame) -> Self {
        let behind = Curve::new(0.0, 0.5, |across| {
            let q = (across / a.width - 0.035) / 0.3;
            -0.07 * q + 0.02 * q * q + 0.125 * q * q * q * q
        });
        let in_front = Curve::new(0.0, 0.5, |across| {
            let q = (across / a.width - 0.035) / 0.3;
            0.135 * (1.0 - q) - 0.03 * (1.0 - q) * (1.0 - q) + 0.05 * q * q * q * q
        });
        let clavicle = Curve::new(0.0, 0.5, |across| {
            let q = (across - 0.03) / 0.36;
            let bow = (q * std::f32::consts::TAU).sin();
            0.196 - a.shoulders - 0.095 * q + 0.014 * bow
        });
        Self {
            density: a.bone,
            width: a.width,
            soft: frame.soft(0.006),
            behind: Family {
                start: a.rib_phase,
                spacing: a.rib_spacing,
                bend: 0.8 * a.rib_slope,
                bend_step: 0.09,
                slope: behind.steepness(),
                shape: behind,
                count: BEHIND,
            },
            in_front: Family {
                start: a.rib_phase + 0.075,
                spacing: a.rib_spacing * 1.08,
                bend: 0.9 * a.rib_slope,
                bend_step: 0.06,
                slope: in_front.steepness(),
                shape: in_front,
                count: IN_FRONT,
            },
            clavicle_slope: clavicle.steepness(),
            clavicle,
            blade: Curve::new(0.0, 1.0, |v| {
                let along = (v - 0.15) / 0.33;
                (0.295 + 0.05 * along + 0.03 * along * along) * a.width
            }),
            shoulders: a.shoulders,
            spine_phase: a.rib_phase,
        }
    }

    /// Density of all bones at a place.
    #[inline]
    pub(crate) fn at(&self, chest: &Chest, [u, v]: [f32; 2]) -> f32 {
        let across = u.abs();
        let mut density = 0.0;
        if across < 0.06 {
            density += self.spine(u, v);
        }
        if across < 0.37 && v > 0.05 {
            density += self.ribs(chest, across, v);
        }
        if v < 0.56 {
            density += self.clavicle(across, v) + self.blade(across, v);
        }
        density * self.density
    }

    #[inline]
    fn ribs(&self, chest: &Chest, across: f32, v: f32) -> f32 {
        let wall = chest.outer.at(v) + 0.010;
        let low = smooth((v - chest.anatomy.apex + 0.035) / 0.05) * smooth((0.99 - v) / 0.16);
        let on_cage = inside(wall - across, 0.008) * low;
        if on_cage <= 0.0 {
            return 0.0;
        }
        // At the wall a rib is seen along its length.
        let edge = smooth(1.0 - (wall - across) / 0.09);
        let behind = self.behind.at(across, v, self.soft) * inside(across - 0.04, 0.03);
        // Towards the breast bone ribs are cartilage, which hardly shows.
        let bony = smooth((across / self.width - 0.10) / 0.10);
        let front = if bony > 0.0 { self.in_front.at(across, v, self.soft) * bony } else { 0.0 };
        // Behind the liver little light is left to tell bone from flesh.
        let on_cage = on_cage * (1.0 - 0.45 * smooth((v - chest.anatomy.dome) / 0.1));
        on_cage * (behind * (0.17 + 0.08 * edge) + front * (0.10 + 0.06 * edge) + 0.10 * edge)
    }

    #[inline]
    fn clavicle(&self, across: f32, v: f32) -> f32 {
        if !(0.02..0.42).contains(&across) {
            return 0.0;
        }
        let distance = ((v - self.clavicle.at(across)) * self.clavicle_slope.at(across)).abs();
        let radius = 0.0115 + 0.008 * smooth((0.09 - across) / 0.07);
        if distance > radius + self.soft {
            return 0.0;
        }
        let ends = inside(across - 0.03, 0.012) * inside(0.40 - across, 0.02);
        0.28 * ends * tube(distance, radius, self.soft)
    }

    /// The shoulder blade with its inner border, and the head of the arm.
    #[inline]
    fn blade(&self, across: f32, v: f32) -> f32 {
        let v = v + self.shoulders;
        let (x, y) = (across - 0.475, v - 0.19);
        let shaft = inside(y, 0.02) * inside(0.034 - (x - 0.012).abs(), 0.014);
        let ball = inside(0.055 - (x * x + y * y).sqrt(), 0.022);
        let head = 0.22 * ball.max(shaft) * smooth((0.52 - v) / 0.25);
        let from_border = across - self.blade.at(v);
        if from_border < -0.01 {
            return head;
        }
        let height = smooth((v - 0.13) / 0.05) * smooth((0.52 - v) / 0.12);
        let border = inside(from_border, 0.008) * (1.0 - 0.55 * smooth(from_border / 0.02));
        let outer = 1.0 - smooth((across - 0.40) / 0.05);
        head + 0.15 * height * border * outer
    }

    #[inline]
    fn spine(&self, u: f32, v: f32) -> f32 {
        let across = u.abs();
        let column = inside(0.036 - across, 0.010);
        let phase = (v - self.spine_phase) / VERTEBRA;
        let phase = phase - phase.floor();
        // End plates are bright, the disc between them is not.
        let from_disc = (phase - 0.5).abs() * 2.0;
        let disc = smooth((from_disc - 0.72) / 0.2);
        let plate = smooth(1.0 - (from_disc - 0.66).abs() / 0.12);
        let (x, y) = ((across - 0.021) / 0.007, (phase - 0.42) * VERTEBRA / 0.011);
        let ring = smooth(1.0 - (x * x + y * y - 0.8).abs() / 0.6);
        let (x, y) = (across / 0.005, (phase - 0.62) * VERTEBRA / 0.014);
        let process = smooth(1.2 - (x * x + y * y));
        let body = mix(0.34, 0.20, disc) + 0.06 * plate;
        column * body + 0.10 * ring + 0.09 * process
    }
}
