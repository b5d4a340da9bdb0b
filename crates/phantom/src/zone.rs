//! The six zones of the lungs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A side of the patient.
///
/// The patient faces the reader: the picture's left half is the patient's right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The patient's right, on the picture's left.
    Right,
    /// The patient's left, where the heart is, on the picture's right.
    Left,
}

impl Side {
    /// Both sides, right first.
    pub const ALL: [Self; 2] = [Self::Right, Self::Left];

    /// `right` or `left`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Left => "left",
        }
    }

    /// The direction of the side in the picture: −1 towards its left edge, +1 towards its right edge.
    pub(crate) fn sign(self) -> f32 {
        match self {
            Self::Right => -1.0,
            Self::Left => 1.0,
        }
    }
}

/// A third of the height of a lung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The third below the apex.
    Upper,
    /// The third of the hilum.
    Middle,
    /// The third above the diaphragm.
    Lower,
}

impl Level {
    /// All levels, from above.
    pub const ALL: [Self; 3] = [Self::Upper, Self::Middle, Self::Lower];

    /// `upper`, `middle` or `lower`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upper => "upper",
            Self::Middle => "middle",
            Self::Lower => "lower",
        }
    }
}

/// One of the six parts that a report divides the lungs into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Zone {
    /// The patient's side.
    pub side: Side,
    /// The third of the lung.
    pub level: Level,
}

impl Zone {
    /// All zones: right upper, right middle, right lower, left upper, left middle, left lower.
    pub const ALL: [Self; 6] = [
        Self { side: Side::Right, level: Level::Upper },
        Self { side: Side::Right, level: Level::Middle },
        Self { side: Side::Right, level: Level::Lower },
        Self { side: Side::Left, level: Level::Upper },
        Self { side: Side::Left, level: Level::Middle },
        Self { side: Side::Left, level: Level::Lower },
    ];

    /// As a report says it: `right upper zone`.
    pub fn name(self) -> &'static str {
        match (self.side, self.level) {
            (Side::Right, Level::Upper) => "right upper zone",
            (Side::Right, Level::Middle) => "right middle zone",
            (Side::Right, Level::Lower) => "right lower zone",
            (Side::Left, Level::Upper) => "left upper zone",
            (Side::Left, Level::Middle) => "left middle zone",
            (Side::Left, Level::Lower) => "left lower zone",
        }
    }

    /// Position in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        self.side as usize * 3 + self.level as usize
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_in_order_and_named() {
        for (index, zone) in Zone::ALL.into_iter().enumerate() {
            assert_eq!(zone.index(), index);
            let name = format!("{} {} zone", zone.side.name(), zone.level.name());
            assert_eq!(zone.name(), name);
        }
    }
}
