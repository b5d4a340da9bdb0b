//! How one chest differs from another.

use serde::{Deserialize, Serialize};

use crate::draw::Draw;

/// The measures of one chest and of how it was taken. Lengths are in sides of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anatomy {
    /// Width of the rib cage, 1 for the usual one.
    pub width: f32,
    /// Thickness of the soft tissue around it, added on either side.
    pub girth: f32,
    /// Height of the apex of the lungs, from the top.
    pub apex: f32,
    /// Height of the right dome of the diaphragm, from the top; the left one is a little lower.
    pub dome: f32,
    /// How much lower the left dome is.
    pub dome_step: f32,
    /// Size of the heart, 1 for the usual one.
    pub heart: f32,
    /// Slope of the long axis of the heart, in radians.
    pub heart_angle: f32,
    /// Height of the first rib at the spine.
    pub rib_phase: f32,
    /// Distance from one rib to the next.
    pub rib_spacing: f32,
    /// How steeply ribs fall, 1 for the usual way.
    pub rib_slope: f32,
    /// Density of bone, 1 for the usual one.
    pub bone: f32,
    /// Shadow of the breasts, 0 for none.
    pub breasts: f32,
    /// How much higher the clavicles are than usual.
    pub shoulders: f32,
    /// Turn of the body in the picture, in radians.
    pub tilt: f32,
    /// Shift of the body in the picture.
    pub shift: [f32; 2],
    /// Magnification of the body.
    pub zoom: f32,
    /// Exposure, 1 for the usual one; more is whiter.
    pub exposure: f32,
    /// Grain of the picture, 1 for the usual one.
    pub grain: f32,
    /// Seed of vessels and of the texture of the lungs.
    pub texture: u32,
}

impl Anatomy {
    pub(crate) fn random(draw: &mut Draw) -> Self {
        Self {
            width: draw.within(0.92, 1.06),
            girth: draw.within(-0.005, 0.06),
            apex: draw.within(0.115, 0.145),
            dome: draw.within(0.665, 0.73),
            dome_step: draw.within(0.015, 0.035),
            heart: draw.within(0.9, 1.1),
            heart_angle: draw.within(0.5, 0.75),
            rib_phase: draw.within(0.09, 0.15),
            rib_spacing: draw.within(0.064, 0.073),
            rib_slope: draw.within(0.75, 1.3),
            bone: draw.within(0.85, 1.15),
            breasts: if draw.chance(0.45) { draw.within(0.4, 1.0) } else { 0.0 },
            shoulders: draw.within(-0.012, 0.018),
            tilt: draw.within(-0.04, 0.04),
            shift: [draw.within(-0.018, 0.018), draw.within(-0.012, 0.018)],
            zoom: draw.within(0.97, 1.04),
            exposure: draw.within(0.93, 1.08),
            grain: draw.within(0.7, 1.3),
            texture: draw.bits(),
        }
    }
}
