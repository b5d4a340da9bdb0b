//! How one chest differs from another.

use serde::{Deserialize, Serialize};

use crate::draw::Draw;

/// The measures of one chest, in shares of the side of the picture unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anatomy {
    /// Width of the chest, 1 for the usual one.
    pub width: f32,
}

impl Anatomy {
    pub(crate) fn random(draw: &mut Draw) -> Self {
        Self { width: draw.within(0.93, 1.07) }
    }
}
