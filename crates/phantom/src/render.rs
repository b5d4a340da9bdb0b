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
use crate::tissue::{EMPTY, Tissue};
use crate::vessels::vessels;
use crate::{THRESHOLD, letters, margin};

pub(crate) fn render(scene: &Scene, size: u32) -> Phantom {
    let frame = Frame::new(scene.anatomy(), size);
    let chest = Chest::new(scene.anatomy(), &frame);
    let (mut density, lung, vessels) = healthy(&chest, &frame);
    let place = Place { frame: &frame, chest: &chest, lung: &lung, vessels: &vessels };
    let exposure = scene.anatomy().exposure;
    let grey = |density: f32| film::develop(exposure * density.max(0.0));
    let (masks, changes): (Vec<Mask>, Vec<Layer>) = scene
        .findings()
        .iter()
        .map(|finding| {
            let mut change = lesion::change(finding, &place);
            let mask = mask(&change, &density, size, grey);
            cut(&mut change, &mask.dilated(margin(size)));
            (mask, change)
        })
        .unzip();
    for (x, y, change) in changes.iter().flat_map(Layer::entries) {
        density[(y * size + x) as usize] += change;
    }
    let amount = scene.anatomy().grain * film::grain_at(size);
    let mut values = Vec::with_capacity(density.len());
    for (y, row) in (0..size).zip(density.chunks_exact(size as usize)) {
        let pixels = (0..size).zip(row);
        values.extend(pixels.map(|(x, d)| film::grained(grey(*d), amount, scene.seed(), [x, y])));
    }
    let [side_letter, portable] = letters::burn(scene, size, &mut values);
    Phantom { scene: scene.clone(), size, values, masks, side_letter, portable }
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
            let site = chest.site(frame.at(x as u32, y as u32));
            lungs.push(site.map_or(0.0, |site| site.lung));
            density.push(site.map_or(EMPTY, |site| {
                tissue.at(chest, &site, *vessel) + bones.at(chest, [site.u, site.v])
            }));
        }
    }
    (density, lungs, vessels)
}

/// Where the chest with this change alone differs from the healthy one by more than the threshold: what else is found in the
/// chest has no part in it.
fn mask(change: &Layer, healthy: &[f32], size: u32, grey: impl Fn(f32) -> f32) -> Mask {
    let mut mask = Mask::empty(size, size);
    for (x, y, change) in change.entries() {
        let without = healthy[(y * size + x) as usize];
        if (grey(without + change) - grey(without)).abs() > THRESHOLD {
            mask.set(x, y);
        }
    }
    mask
}

/// Takes away what lies beyond the mask and its margin. It is below the threshold, so nobody misses it, and without it twins
/// are equal there to the last bit.
fn cut(change: &mut Layer, near: &Mask) {
    let (left, top, width) = (change.x, change.y, change.width.max(1) as usize);
    for (index, value) in change.values.iter_mut().enumerate() {
        let (x, y) = (left + (index % width) as u32, top + (index / width) as u32);
        if !near.contains(x, y) {
            *value = 0.0;
        }
    }
}
