//! How likely which scene is.

use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::finding::{Finding, FindingKind};
use crate::markers::Markers;
use crate::zone::Zone;

/// What [`Scene::random`](crate::Scene::random) draws from. Every field may be changed.
///
/// ```
/// use phantom_radiograph::{Distribution, FindingKind, Scene};
///
/// // Faint opacities, one in every second picture, and never a tag.
/// let mut distribution = Distribution::only(&[FindingKind::Opacity]);
/// distribution.counts = vec![1.0, 1.0];
/// distribution.set_strength(FindingKind::Opacity, [0.1, 0.3]);
/// distribution.portable = 0.0;
/// let scene = Scene::random(7, &distribution);
/// assert!(scene.findings().iter().all(|finding| finding.strength <= 0.3));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// `counts[n]` is the weight of scenes with n findings. A scene has fewer where kinds or zones run out.
    pub counts: Vec<f32>,
    /// How likely each kind is, and how plain; a kind that is not listed does not occur.
    pub kinds: Vec<KindShare>,
    /// Whether one scene may have several findings of one kind.
    pub repeat_kinds: bool,
    /// Whether several findings may be in one zone. If not, what is there stays apart and in sight.
    pub share_zones: bool,
    /// Probability of the side letter.
    pub side_letter: f32,
    /// Probability of the tag `PORTABLE`, whatever the findings.
    pub portable: f32,
}

/// The part of one kind in a [`Distribution`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindShare {
    /// The kind.
    pub kind: FindingKind,
    /// Its weight among the kinds.
    pub weight: f32,
    /// Least and greatest strength, within 0 and 1.
    pub strength: [f32; 2],
}

impl Default for Distribution {
    /// None to three findings of different kinds in different zones, all plain; a side letter mostly, a tag sometimes.
    fn default() -> Self {
        let share = |kind| KindShare { kind, weight: 1.0, strength: [0.4, 1.0] };
        Self {
            counts: vec![1.0, 2.0, 2.0, 1.0],
            kinds: FindingKind::ALL.map(share).to_vec(),
            repeat_kinds: false,
            share_zones: false,
            side_letter: 0.8,
            portable: 0.3,
        }
    }
}

impl Distribution {
    /// The default with these kinds alone, equally likely.
    pub fn only(kinds: &[FindingKind]) -> Self {
        let mut distribution = Self::default();
        distribution.kinds.retain(|share| kinds.contains(&share.kind));
        distribution
    }

    /// Changes how plain the findings of a kind are; nothing happens where the kind is not listed.
    pub fn set_strength(&mut self, kind: FindingKind, strength: [f32; 2]) {
        for share in self.kinds.iter_mut().filter(|share| share.kind == kind) {
            share.strength = strength;
        }
    }

    pub(crate) fn draw_findings(&self, draw: &mut Draw) -> Vec<Finding> {
        let count = draw.weighted(&self.counts).unwrap_or(0);
        let shares = self.draw_kinds(count, draw);
        let mut findings: Vec<Finding> = Vec::with_capacity(count);
        for share in shares {
            let is_free =
                |zone: &Zone| self.share_zones || findings.iter().all(|f| f.zone != *zone);
            let zones: Vec<Zone> = share.kind.zones().filter(is_free).collect();
            let [low, high] = share.strength;
            let (strength, shape) = (draw.within(low, high).clamp(0.0, 1.0), draw.bits());
            if !zones.is_empty() {
                let zone = zones[draw.index(zones.len())];
                findings.push(Finding { kind: share.kind, zone, strength, shape });
            }
        }
        findings.sort_by_key(|finding| (finding.zone, finding.kind));
        findings
    }

    /// The kinds, those with the fewest zones first: they must find theirs free.
    fn draw_kinds(&self, count: usize, draw: &mut Draw) -> Vec<KindShare> {
        let mut weights: Vec<f32> = self.kinds.iter().map(|share| share.weight).collect();
        let mut drawn = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(index) = draw.weighted(&weights) else { break };
            drawn.push(self.kinds[index]);
            if !self.repeat_kinds {
                weights[index] = 0.0;
            }
        }
        drawn.sort_by_key(|share| share.kind.zones().count());
        drawn
    }

    pub(crate) fn draw_markers(&self, draw: &mut Draw) -> Markers {
        let (side_letter, portable) = (draw.chance(self.side_letter), draw.chance(self.portable));
        Markers { side_letter, portable }
    }
}
