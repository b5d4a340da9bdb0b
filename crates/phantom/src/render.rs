//! From a scene to a picture.
//!
//! Densities add up, as along a ray: the chest, then every finding. The film turns their sum into grey. So what a finding does to
//! the picture is known exactly, whatever lies before or behind it.

use crate::bones::Bones;
use crate::chest::Chest;
use crate::film;
use crate::frame::Frame;
use crate::layer::Layer;
use crate::lesion::{self, Place};
use crate::mask::Mask;
use crate::phantom::Phantom;
use crate::scene::Scene;
use crate::tissue::Tissue;
use crate::vessels::vessels;
use crate::{THRESHOLD, letters};

pub(crate) fn render(scene: &Scene, size: u32) -> Phantom {
    let frame = Frame::new(scene.anatomy(), size);
    let chest = Chest::new(scene.anatomy(), &frame);
    let (mut density, lung, vessels) = healthy(&chest, &frame);
    let place = Place { frame: &frame, chest: &chest, lung: &lung, vessels: &vessels };
    let changes: Vec<Layer> = scene.findings().iter().map(|f| lesion::change(f, &place)).collect();
    for (x, y, change) in changes.iter().flat_map(Layer::entries) {
        density[(y * size + x) as usize] += change;
    }
    let exposure = scene.anatomy().exposure;
    let grey = |density: f32| film::develop(exposure * density.max(0.0));
    let masks = changes.iter().map(|change| mask(change, &density, size, grey)).collect();
    let amount = scene.anatomy().grain * film::grain_at(size);
    let mut values = Vec::with_capacity(density.len());
    for (y, row) in (0..size).zip(density.chunks_exact(size as usize)) {
        let pixels = (0..size).zip(row);
        values.extend(pixels.map(|(x, d)| film::grained(grey(*d), amount, scene.seed(), [x, y])));
    }
    let [side_letter, portable] = letters::burn(scene, size, &mut values);
    Phantom { size, values, masks, side_letter, portable }
}

/// Density, lung and vessels at every pixel of the chest without findings.
fn healthy(chest: &Chest, frame: &Frame) -> (Vec<f32>, Vec<f32>, Layer) {
    let (bones, tissue) = (Bones::new(&chest.anatomy, frame), Tissue::new(chest, frame));
    let vessels = vessels(chest, frame);
    let mut density = Vec::with_capacity(vessels.values.len());
    let mut lungs = Vec::with_capacity(vessels.values.len());
    let rows = vessels.values.chunks_exact(frame.size as usize);
    for (y, row) in rows.enumerate() {
        for (x, vessel) in row.iter().enumerate() {
            let at = frame.at(x as u32, y as u32);
            let lung = chest.lung(at);
            lungs.push(lung);
            let tissue = tissue.at(chest, at, lung, *vessel);
            // Nothing has bones where nobody is.
            let within = if at[0].abs() < chest.skin.at(at[1]) { 1.0 } else { 0.0 };
            density.push(tissue + within * bones.at(chest, at));
        }
    }
    (density, lungs, vessels)
}

/// Where the picture with all findings differs from the one without this change by more than the threshold.
fn mask(change: &Layer, density: &[f32], size: u32, grey: impl Fn(f32) -> f32) -> Mask {
    let mut mask = Mask::empty(size, size);
    for (x, y, change) in change.entries() {
        let with = density[(y * size + x) as usize];
        if (grey(with) - grey(with - change)).abs() > THRESHOLD {
            mask.set(x, y);
        }
    }
    mask
}
