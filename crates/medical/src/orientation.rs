//! Which way a picture lies in the patient.

use serde::{Deserialize, Serialize};

/// Where an orientation was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OrientationSource {
    /// Patient Orientation (0020,0020), letters in the file.
    PatientOrientation,
    /// Image Orientation (Patient) (0020,0037), direction cosines.
    ImageOrientationPatient,
    /// The sform of a `NIfTI` file.
    NiftiSform,
    /// The qform of a `NIfTI` file.
    NiftiQform,
}

/// A side of the patient, not of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PatientSide {
    /// The patient's left.
    Left,
    /// The patient's right.
    Right,
}

/// Directions of a picture in the patient, as Patient Orientation has them (PS3.3 C.7.6.1.1.1): L left, R right, A anterior,
/// P posterior, H head, F foot; several letters for a direction between them, the main one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Orientation {
    /// Where rows go to, from the left of the picture to its right, and where columns go to, from top to bottom: `["L", "F"]` for a
    /// frontal radiograph that hangs as usual.
    pub directions: [String; 2],
    /// Letters at the left, right, top and bottom side of the picture.
    pub sides: Sides,
    /// Where it was read.
    pub from: OrientationSource,
}

/// What of the patient is at each side of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Sides {
    /// At the picture's left.
    pub left: String,
    /// At its right.
    pub right: String,
    /// At its top.
    pub top: String,
    /// At its bottom.
    pub bottom: String,
}

/// A direction that is less than this part of a vector's length (5 degrees) has no letter of its own.
const SMALLEST_PART: f64 = 0.087;

impl Orientation {
    /// From the letters of the two directions; `None` where they are no letters of directions or one is missing.
    pub fn from_letters(right: &str, down: &str, from: OrientationSource) -> Option<Self> {
        let is_direction =
            |text: &str| (1..=3).contains(&text.len()) && text.chars().all(|c| opposite(c) != c);
        if !is_direction(right) || !is_direction(down) {
            return None;
        }
        let turned = |text: &str| text.chars().map(opposite).collect::<String>();
        let sides = Sides {
            left: turned(right),
            right: right.into(),
            top: turned(down),
            bottom: down.into(),
        };
        Some(Self { directions: [right.into(), down.into()], sides, from })
    }

    /// From the directions of rows and columns in the patient's coordinates of DICOM: x to the left, y to the back, z to the head
    /// (PS3.3 C.7.6.2.1.1). `None` where they are not finite or have no length.
    pub fn from_cosines(
        rows: [f64; 3],
        columns: [f64; 3],
        from: OrientationSource,
    ) -> Option<Self> {
        Self::from_letters(&letters(rows)?, &letters(columns)?, from)
    }

    /// Letters at the left side of the picture.
    pub fn left(&self) -> &str {
        &self.sides.left
    }

    /// Letters at its right side.
    pub fn right(&self) -> &str {
        &self.sides.right
    }

    /// Letters at its top.
    pub fn top(&self) -> &str {
        &self.sides.top
    }

    /// Letters at its bottom.
    pub fn bottom(&self) -> &str {
        &self.sides.bottom
    }

    /// Which side of the patient is at the left of the picture, if that is where one of them is in the main.
    pub fn patient_side_on_the_left(&self) -> Option<PatientSide> {
        match self.sides.left.chars().next() {
            Some('L') => Some(PatientSide::Left),
            Some('R') => Some(PatientSide::Right),
            _ => None,
        }
    }
}

/// The direction against that of a letter of Patient Orientation; another character is its own.
pub fn opposite(letter: char) -> char {
    match letter {
        'L' => 'R',
        'R' => 'L',
        'A' => 'P',
        'P' => 'A',
        'H' => 'F',
        'F' => 'H',
        other => other,
    }
}

fn letters(direction: [f64; 3]) -> Option<String> {
    let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    if !length.is_finite() || length < 1e-6 {
        return None;
    }
    let names = [('L', 'R'), ('P', 'A'), ('H', 'F')];
    let mut parts: Vec<(f64, char)> = direction
        .iter()
        .zip(names)
        .map(|(&x, (positive, negative))| {
            (x.abs() / length, if 0.0 < x { positive } else { negative })
        })
        .filter(|(part, _)| SMALLEST_PART < *part)
        .collect();
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    Some(parts.into_iter().map(|(_, letter)| letter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontal_radiograph_shows_the_patients_right_at_its_left() {
        let from = OrientationSource::PatientOrientation;
        let orientation = Orientation::from_letters("L", "F", from).unwrap();
        let sides =
            [orientation.left(), orientation.right(), orientation.top(), orientation.bottom()];
        assert_eq!(sides, ["R", "L", "H", "F"]);
        assert_eq!(orientation.patient_side_on_the_left(), Some(PatientSide::Right));
        let lateral = Orientation::from_letters("A", "F", from).unwrap();
        assert_eq!(lateral.patient_side_on_the_left(), None);
    }

    #[test]
    fn cosines_become_letters_and_oblique_ones_several() {
        let from = OrientationSource::ImageOrientationPatient;
        let axial = Orientation::from_cosines([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], from).unwrap();
        assert_eq!(axial.directions, ["L", "P"]);
        let tilted = Orientation::from_cosines([1.0, 0.0, 0.02], [0.0, 0.9, -0.43], from).unwrap();
        assert_eq!(tilted.directions, ["L", "PF"]);
        assert_eq!(tilted.top(), "AH");
    }

    #[test]
    fn nothing_is_guessed() {
        let from = OrientationSource::PatientOrientation;
        assert!(Orientation::from_letters("", "F", from).is_none());
        assert!(Orientation::from_letters("LE", "F", from).is_none(), "of animals");
        assert!(Orientation::from_cosines([0.0; 3], [0.0, 1.0, 0.0], from).is_none());
        assert!(Orientation::from_cosines([f64::NAN, 0.0, 0.0], [0.0, 1.0, 0.0], from).is_none());
    }
}
