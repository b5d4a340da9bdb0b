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

mod anatomy;
mod distribution;
mod draw;
mod finding;
mod markers;
mod mask;
mod phantom;
mod render;
mod scene;
mod zone;

/// The sizes a picture may have, in pixels along each side.
pub const SIZES: RangeInclusive<u32> = 64..=4096;
