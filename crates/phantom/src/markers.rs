//! Letters burnt into the picture, which mean nothing.

use serde::{Deserialize, Serialize};

/// What is written on the picture. Neither says anything about the patient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markers {
    /// The letter `R` in the upper left corner or `L` in the upper right one.
    pub side_letter: bool,
    /// The tag `PORTABLE` in the other upper corner.
    pub portable: bool,
}
