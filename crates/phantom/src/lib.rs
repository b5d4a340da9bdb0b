//! Made-up chest radiographs whose findings are known to the pixel.

use std::ops::RangeInclusive;

pub use image;

pub use crate::{
    anatomy::Anatomy,
    distribution::{Distribution, KindShare},
    finding::{Finding, FindingKind},
    markers::Markers,
    mask::Mask,
    phantom::Phantom,
    scene::Scene,
    zone::{Level, Side, Zone},
};

mod zone;

mod finding;
mod markers;

mod distribution;
mod scene;

mod render;

mod anatomy;
mod frame;

mod bones;
mod chest;
mod lesion;
mod tissue;
mod vessels;

mod film;
mod letters;

mod mask;
mod phantom;

mod curve;
mod draw;
mod layer;
mod noise;

/// The sizes a picture may have, in pixels along each side.
pub const SIZES: RangeInclusive<u32> = 64..=4096;

/// The least change of a grey value, of which white is 1, that belongs to a mask: one step of an 8-bit picture.
pub const THRESHOLD: f32 = 1.0 / 255.0;
