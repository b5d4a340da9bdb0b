//! From a scene to a picture.

use crate::mask::Mask;
use crate::phantom::Phantom;
use crate::scene::Scene;

pub(crate) fn render(scene: &Scene, size: u32) -> Phantom {
    let empty = Mask::empty(size, size);
    Phantom {
        size,
        values: vec![0.5; size as usize * size as usize],
        masks: vec![empty.clone(); scene.findings().len()],
        side_letter: empty.clone(),
        portable: empty,
    }
}
