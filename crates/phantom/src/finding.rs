//! What may be found in a phantom, and where each may be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::zone::{Level, Zone};

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// A patch of lung that is filled and no longer dark.
    Opacity,
    /// A small round shadow.
    Nodule,
    /// Fluid that fills the space above the diaphragm, higher at the chest wall.
    Effusion,
    /// Air beside a collapsed lung: a dark rim without vessels, and the fine line of the pleura.
    Pneumothorax,
    /// A pacemaker: its box below the clavicle and the lead that runs to the heart.
    Device,
}

impl FindingKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Opacity, Self::Nodule, Self::Effusion, Self::Pneumothorax, Self::Device];

    /// As a report says it: `opacity`, `nodule`, `pleural effusion`, `pneumothorax`, `pacemaker`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opacity => "opacity",
            Self::Nodule => "nodule",
            Self::Effusion => "pleural effusion",
            Self::Pneumothorax => "pneumothorax",
            Self::Device => "pacemaker",
        }
    }

    /// The name with its article: `an opacity`, `a nodule`.
    pub fn with_article(self) -> String {
        let article = if self == Self::Opacity { "an" } else { "a" };
        format!("{article} {}", self.name())
    }

    /// One lower-case word for names of files: `opacity`, `nodule`, `effusion`, `pneumothorax`, `device`.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Opacity => "opacity",
            Self::Nodule => "nodule",
            Self::Effusion => "effusion",
            Self::Pneumothorax => "pneumothorax",
            Self::Device => "device",
        }
    }

    /// Whether it can be in a zone: fluid collects below, air above, a pacemaker lies below the clavicle.
    pub fn occurs_in(self, zone: Zone) -> bool {
        match self {
            Self::Opacity | Self::Nodule => true,
            Self::Effusion => zone.level == Level::Lower,
            Self::Pneumothorax | Self::Device => zone.level == Level::Upper,
        }
    }

    /// The zones it can be in, in the order of [`Zone::ALL`].
    pub fn zones(self) -> impl Iterator<Item = Zone> {
        Zone::ALL.into_iter().filter(move |zone| self.occurs_in(*zone))
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A finding: what, where, how plain, and the seed of its shape.
///
/// It has no coordinates of its own: they follow from the anatomy of the scene that it is put into, so that the same finding
/// lies in the same zone of a wide and of a narrow chest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The zone that its middle lies in.
    pub zone: Zone,
    /// How plain it is, from 0, barely there, to 1.
    pub strength: f32,
    /// Seed of position within the zone, size and outline.
    pub shape: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fluid_is_below_and_air_above() {
        let count = |kind: FindingKind| kind.zones().count();
        assert_eq!(FindingKind::ALL.map(count), [6, 6, 2, 2, 2]);
        assert!(FindingKind::Effusion.zones().all(|zone| zone.level == Level::Lower));
        assert!(FindingKind::Pneumothorax.zones().all(|zone| zone.level == Level::Upper));
    }
}
