//! Synthetic chest radiographs whose findings are known to the pixel.
//!
//! A map that shows where a model looked can only be judged where it is known what there is to see. Here it is: every picture
//! is computed from a seed, every finding comes with its mask, and with the *twin*, the same picture without it. No picture
//! of a patient was used, and none of these looks like one for long: they are for experiments, never for a diagnosis.
//!
//! A chest is drawn as a radiograph is made: densities of tissue, bone and air add up along the ray, and a film turns the sum
//! into grey. The patient faces the reader: the picture's left half is the patient's right, the heart is on the picture's right.
//!
//! # Overview
//! - A [`Scene`] says what is to be seen: the [`Anatomy`] of a chest, [`Finding`]s, each of a [`FindingKind`] and in a [`Zone`],
//!   and [`Markers`], letters that mean nothing. It has no size; [`Scene::without`] is the twin.
//! - A [`Distribution`] says how likely which scene is.
//! - A [`Phantom`] is a drawn scene: grey values and a [`Mask`] per finding. [`THRESHOLD`] and [`margin`] say exactly what a
//!   mask promises.
//! - [`write_set`] writes pictures, masks, twins and a [`Truth`] per picture.
//!
//! The same seed gives the same bytes on the same platform, whatever the number of threads; another platform's sines and powers may
//! differ in the last bit. Grain belongs to its pixel, so twins share it.
//!
//! # Example
//! ```
//! use phantom_radiograph::{Distribution, Finding, FindingKind, Level, Scene, Side, Zone};
//!
//! let zone = Zone { side: Side::Right, level: Level::Upper };
//! let nodule = Finding { kind: FindingKind::Nodule, zone, strength: 0.8, shape: 1 };
//! let scene = Scene::healthy(7).with(nodule);
//! let phantom = scene.render(224);
//!
//! // It is where it was put: in the picture's left half.
//! let [x, y] = phantom.masks()[0].centroid().unwrap();
//! assert!(x < 112.0);
//! assert_eq!(scene.zone_at(x as f32 / 224.0, y as f32 / 224.0), zone);
//! assert_eq!(scene.report()[0], "There is a nodule in the right upper zone.");
//!
//! // Without it, the picture is the same everywhere else.
//! let twin = scene.without(0).render(224);
//! let near = phantom.masks()[0].dilated(phantom_radiograph::margin(224));
//! let pairs = phantom.values().iter().zip(twin.values());
//! assert!(pairs.zip(near.bits()).all(|((with, without), near)| *near || with == without));
//!
//! // Or draw one at random, and see where in a grid of 16 × 16 cells its findings are.
//! let random = Scene::random(1, &Distribution::default()).render(224);
//! for (finding, mask) in random.scene().findings().iter().zip(random.masks()) {
//!     let cells = mask.cells(16);
//!     assert!(cells.iter().any(|share| *share > 0.0), "{}", finding.kind);
//! }
//! ```

use std::ops::RangeInclusive;

pub use image;

pub use crate::{
    anatomy::Anatomy,
    distribution::{Distribution, KindShare},
    error::Error,
    finding::{Finding, FindingKind},
    markers::Markers,
    mask::Mask,
    phantom::Phantom,
    scene::Scene,
    set::{Bits, COUNTS, SetOptions, write_set},
    truth::{Extent, FindingTruth, MarkerTruth, SCHEMA, SCHEMA_VERSION, Truth},
    zone::{Level, Side, Zone},
};

// What is to be seen.
mod anatomy;
mod distribution;
mod finding;
mod markers;
mod scene;
mod zone;

// From a scene to a picture.
mod render;

mod chest;
mod frame;

mod bones;
mod lesion;
mod tissue;
mod vessels;

mod film;
mod letters;

// What is known about it, and files.
mod error;
mod mask;
mod phantom;
mod set;
mod truth;

// Tools.
mod curve;
mod draw;
mod layer;
mod noise;

/// The sizes a picture may have, in pixels along each side.
pub const SIZES: RangeInclusive<u32> = 64..=4096;

/// The least change of a grey value, of which white is 1, that belongs to a mask: one step of an 8-bit picture.
pub const THRESHOLD: f32 = 1.0 / 255.0;

/// How many pixels beyond its mask a finding can change anything, in a picture of this size.
///
/// A finding has soft edges, which reach beyond where it changes the picture by [`THRESHOLD`]. Beyond
/// `mask.dilated(margin(size))` they are cut off: there picture and twin are equal bit for bit.
pub fn margin(size: u32) -> u32 {
    size.div_ceil(112)
}
