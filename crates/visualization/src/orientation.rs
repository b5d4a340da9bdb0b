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
    /// What a file says of each side: any view, any plane.
    Sides(Sides),
    /// Unknown, or no patient: no letters, and sides are those of the picture.
    #[default]
    None,
}

/// The letter of the patient's side at each side of a picture: R and L, A (front) and P (back), H (head) and F (feet), as DICOM names them
/// (PS3.3 C.7.6.1.1.1). Where a side lies between two the nearer one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sides {
    /// At the reader's left.
    pub left: char,
    /// At the reader's right.
    pub right: char,
    /// Above.
    pub top: char,
    /// Below.
    pub bottom: char,
}

/// A side of a picture, as the reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PictureSide {
    /// The reader's left.
    Left,
    /// The reader's right.
    Right,
    /// Above.
    Top,
    /// Below.
    Bottom,
}

impl PictureSide {
    /// All of them, in the order in which pages list letters.
    pub const ALL: [Self; 4] = [Self::Left, Self::Right, Self::Top, Self::Bottom];
}

impl Orientation {
    /// Those that have a name to be asked for by.
    pub const ALL: [Self; 4] = [Self::Pa, Self::Ap, Self::Flipped, Self::None];

    /// The name that [`FromStr`] reads; `sides` for [`Sides`](Self::Sides), which only files say.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pa => "pa",
            Self::Ap => "ap",
            Self::Flipped => "flipped",
            Self::Sides(_) => "sides",
            Self::None => "none",
        }
    }

    /// The letter for the patient's side that a side of the picture shows, if it is known. Above and below have one only where a file says so.
    pub fn letter(self, side: PictureSide) -> Option<char> {
        let [left, right] = match self {
            Self::None => return None,
            Self::Pa | Self::Ap => ['R', 'L'],
            Self::Flipped => ['L', 'R'],
            Self::Sides(Sides { left, right, top, bottom }) => {
                return Some(match side {
                    PictureSide::Left => left,
                    PictureSide::Right => right,
                    PictureSide::Top => top,
                    PictureSide::Bottom => bottom,
                });
            }
        };
        match side {
            PictureSide::Left => Some(left),
            PictureSide::Right => Some(right),
            PictureSide::Top | PictureSide::Bottom => None,
        }
    }

    /// Whether one side of the picture is the patient's right and the other the left, or nothing is known.
    pub fn may_be_frontal(self) -> bool {
        matches!(self.letter(PictureSide::Left), None | Some('R' | 'L'))
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
        assert_eq!(Orientation::Pa.letter(PictureSide::Top), None);
    }

    #[test]
    fn files_say_all_four_sides() {
        let lateral = Orientation::Sides(Sides { left: 'A', right: 'P', top: 'H', bottom: 'F' });
        let letters = PictureSide::ALL.map(|side| lateral.letter(side).unwrap());
        assert_eq!(letters, ['A', 'P', 'H', 'F']);
        assert!(!lateral.may_be_frontal() && Orientation::Flipped.may_be_frontal());
        assert!(lateral.name().parse::<Orientation>().is_err(), "only files say it");
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
