//! Which side of a patient the left of a picture is.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// How a patient stands in a picture. It says where the letters R and L go and what `cxr` regions are called; no picture is
/// ever flipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Orientation {
    /// Postero-anterior, shown by convention as if the patient faced the reader: the picture's left is the patient's right.
    Pa,
    /// Antero-posterior: shown as [`Pa`](Self::Pa) is.
    Ap,
    /// Mirrored: the picture's left is the patient's left.
    Flipped,
    /// Unknown, or no patient: no letters, and sides are those of the picture.
    #[default]
    None,
}

/// A side of a picture, as the reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PictureSide {
    /// The reader's left.
    Left,
    /// The reader's right.
    Right,
}

impl Orientation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pa, Self::Ap, Self::Flipped, Self::None];

    /// The name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pa => "pa",
            Self::Ap => "ap",
            Self::Flipped => "flipped",
            Self::None => "none",
        }
    }

    /// The letter for the patient's side that a side of the picture shows, R or L; none where the orientation is unknown.
    pub fn letter(self, side: PictureSide) -> Option<char> {
        match (self, side) {
            (Self::None, _) => None,
            (Self::Pa | Self::Ap, PictureSide::Left) | (Self::Flipped, PictureSide::Right) => {
                Some('R')
            }
            _ => Some('L'),
        }
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Orientation {
    type Err = Error;

    /// Reads `pa`, `ap`, `flipped` or `none`.
    fn from_str(name: &str) -> Result<Self, Error> {
        crate::error::by_name("orientation", name, &Self::ALL, Self::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pictures_left_is_the_patients_right() {
        for orientation in [Orientation::Pa, Orientation::Ap] {
            assert_eq!(orientation.letter(PictureSide::Left), Some('R'));
            assert_eq!(orientation.letter(PictureSide::Right), Some('L'));
        }
        assert_eq!(Orientation::Flipped.letter(PictureSide::Left), Some('L'));
        assert_eq!(Orientation::None.letter(PictureSide::Left), None);
    }

    #[test]
    fn names_are_read_back() {
        for orientation in Orientation::ALL {
            let name = orientation.name();
            assert_eq!(orientation.name(), name);
            assert_eq!(name.to_uppercase().parse::<Orientation>().unwrap(), orientation);
        }
        assert!("lateral".parse::<Orientation>().is_err());
    }
}
