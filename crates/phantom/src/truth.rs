//! What is known about a picture, as it is written beside it.

use serde::{Deserialize, Serialize};

use crate::finding::FindingKind;
use crate::mask::Mask;
use crate::phantom::Phantom;
use crate::scene::Scene;
use crate::zone::{Level, Side, Zone};

/// The name of the schema of [`Truth`].
pub const SCHEMA: &str = "phantom-radiograph/truth";
/// Its version; it grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// `NNN.json`: everything that is true of one picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`SCHEMA_VERSION`].
    pub version: u32,
    /// The seed of [`Scene::random`].
    pub seed: u64,
    /// Pixels along each side.
    pub size: u32,
    /// File of the picture; null before it is written.
    pub picture: Option<String>,
    /// The findings, in the order of the scene.
    pub findings: Vec<FindingTruth>,
    /// The letters burnt into the picture.
    pub markers: Vec<MarkerTruth>,
    /// Sentences that are true of the picture.
    pub report: Vec<String>,
    /// The scene, which can be drawn again at any size.
    pub scene: Scene,
}

/// What is known about one finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingTruth {
    /// What it is.
    pub kind: FindingKind,
    /// As a report says it.
    pub name: String,
    /// Where it is, as a report says it: `right upper zone`.
    pub zone: String,
    /// The patient's side.
    pub side: Side,
    /// The third of the lung.
    pub level: Level,
    /// How plain it is, from 0 to 1.
    pub strength: f32,
    /// Its extent.
    #[serde(flatten)]
    pub extent: Extent,
    /// File of its mask: white where it is; null before it is written.
    pub mask: Option<String>,
    /// File of the picture without it; null before it is written.
    pub twin: Option<String>,
}

/// What is known about letters burnt into the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkerTruth {
    /// What is written: `R`, `L` or `PORTABLE`.
    pub text: String,
    /// Its extent.
    #[serde(flatten)]
    pub extent: Extent,
    /// File of its mask; null before it is written.
    pub mask: Option<String>,
    /// File of the picture without it; null before it is written.
    pub twin: Option<String>,
}

/// Which part of the picture something covers. The boxes are null where it cannot be seen at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Number of pixels.
    pub area: usize,
    /// The smallest rectangle in pixels, `[x0, y0, x1, y1]`, x1 and y1 exclusive.
    pub box_pixels: Option<[u32; 4]>,
    /// The same as `[y0, x0, y1, x1]` in thousandths of the side, rounded: the order and unit that Gemma answers in.
    pub box_thousandths: Option<[u32; 4]>,
}

impl Extent {
    fn of(mask: &Mask) -> Self {
        let box_pixels = mask.tight_box();
        let thousandths = |pixel: u32| (2000 * pixel + mask.width()) / (2 * mask.width());
        let box_thousandths = box_pixels.map(|[x0, y0, x1, y1]| [y0, x0, y1, x1].map(thousandths));
        Self { area: mask.area(), box_pixels, box_thousandths }
    }
}

impl Truth {
    pub(crate) fn of(phantom: &Phantom) -> Self {
        let scene = phantom.scene();
        let findings = scene.findings().iter().zip(phantom.masks());
        let findings = findings.map(|(finding, mask)| {
            let Zone { side, level } = finding.zone;
            FindingTruth {
                kind: finding.kind,
                name: finding.kind.name().to_owned(),
                zone: finding.zone.name().to_owned(),
                side,
                level,
                strength: finding.strength,
                extent: Extent::of(mask),
                mask: None,
                twin: None,
            }
        });
        let letter = match scene.marked_side() {
            Side::Right => "R",
            Side::Left => "L",
        };
        let markers = [
            (scene.markers().side_letter, letter, phantom.side_letter_mask()),
            (scene.markers().portable, "PORTABLE", phantom.portable_mask()),
        ];
        let markers = markers.into_iter().filter(|(written, ..)| *written);
        let markers = markers.map(|(_, text, mask)| MarkerTruth {
            text: text.to_owned(),
            extent: Extent::of(mask),
            mask: None,
            twin: None,
        });
        Self {
            schema: SCHEMA.to_owned(),
            version: SCHEMA_VERSION,
            seed: scene.seed(),
            size: phantom.size(),
            picture: None,
            findings: findings.collect(),
            markers: markers.collect(),
            report: scene.report(),
            scene: scene.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_rounded_to_thousandths_with_y_first() {
        let mut mask = Mask::empty(896, 896);
        mask.set(0, 448);
        mask.set(447, 895);
        let extent = Extent::of(&mask);
        assert_eq!(extent.box_pixels, Some([0, 448, 448, 896]));
        assert_eq!(extent.box_thousandths, Some([500, 0, 1000, 500]));
        assert_eq!(extent.area, 2);
    }
}
