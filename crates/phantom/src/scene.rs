//! What is to be seen, before it has pixels.

use serde::{Deserialize, Serialize};

use crate::anatomy::Anatomy;
use crate::chest;
use crate::distribution::Distribution;
use crate::draw::Draw;
use crate::finding::{Finding, FindingKind};
use crate::frame::Frame;
use crate::markers::Markers;
use crate::phantom::Phantom;
use crate::render;
use crate::zone::{Side, Zone};

/// Streams of a seed: anatomy, findings and markers do not disturb each other.
const ANATOMY: u64 = 0;
const FINDINGS: u64 = 1;
const MARKERS: u64 = 2;
const LETTER: u64 = 3;

/// A chest, its findings and what is written beside it, at no particular size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    seed: u64,
    anatomy: Anatomy,
    findings: Vec<Finding>,
    markers: Markers,
}

impl Scene {
    /// The chest of a seed, without findings or letters.
    pub fn healthy(seed: u64) -> Self {
        let anatomy = Anatomy::random(&mut Draw::new(seed, ANATOMY));
        Self { seed, anatomy, findings: Vec::new(), markers: Markers::default() }
    }

    /// The chest of a seed, with findings and letters drawn from a distribution.
    ///
    /// The chest depends on the seed alone, and so do the letters where their probabilities are the same.
    pub fn random(seed: u64, distribution: &Distribution) -> Self {
        Self {
            findings: distribution.draw_findings(&mut Draw::new(seed, FINDINGS)),
            markers: distribution.draw_markers(&mut Draw::new(seed, MARKERS)),
            ..Self::healthy(seed)
        }
    }

    /// The seed of chest and noise.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The measures of the chest.
    pub fn anatomy(&self) -> &Anatomy {
        &self.anatomy
    }

    /// The findings; those of a random scene are in the order of their zones.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What is written on the picture.
    pub fn markers(&self) -> Markers {
        self.markers
    }

    /// The same scene with one more finding, the last one.
    #[must_use]
    pub fn with(&self, finding: Finding) -> Self {
        let mut scene = self.clone();
        scene.findings.push(finding);
        scene
    }

    /// The counterfactual twin: the same scene without one finding. Without such a finding it is the scene itself.
    #[must_use]
    pub fn without(&self, index: usize) -> Self {
        let mut scene = self.clone();
        if index < scene.findings.len() {
            scene.findings.remove(index);
        }
        scene
    }

    /// The same scene with other letters.
    #[must_use]
    pub fn with_markers(&self, markers: Markers) -> Self {
        Self { markers, ..self.clone() }
    }

    /// The same scene with the tag `PORTABLE` or without it.
    #[must_use]
    pub fn with_portable(&self, portable: bool) -> Self {
        self.with_markers(Markers { portable, ..self.markers })
    }

    /// Sentences that are true of the scene: one per finding, then one per kind that is not there.
    pub fn report(&self) -> Vec<String> {
        let present = self.findings.iter().map(|finding| {
            format!("There is {} in the {}.", finding.kind.with_article(), finding.zone)
        });
        let is_absent = |kind: &FindingKind| self.findings.iter().all(|f| f.kind != *kind);
        let absent = FindingKind::ALL.into_iter().filter(is_absent);
        present.chain(absent.map(|kind| format!("There is no {kind}."))).collect()
    }

    /// The zone that a place of the picture belongs to, in a lung or beside it; in sides of the picture from its upper left
    /// corner.
    pub fn zone_at(&self, x: f32, y: f32) -> Zone {
        chest::zone_at(&self.anatomy, Frame::new(&self.anatomy, 1).body([x, y]))
    }

    /// The side whose letter the scene has, or would have: `R` or `L`. The seed decides.
    pub fn marked_side(&self) -> Side {
        Side::ALL[Draw::new(self.seed, LETTER).index(Side::ALL.len())]
    }

    /// Draws the scene, `size` pixels wide and high.
    ///
    /// # Panics
    /// Where `size` is not within [`SIZES`](crate::SIZES).
    pub fn render(&self, size: u32) -> Phantom {
        assert!(crate::SIZES.contains(&size), "size {size} is not within {:?}", crate::SIZES);
        render::render(self, size)
    }
}
