//! How stored values become the 8 bits that the model sees: the recipes of the model's makers, and the plain one.

use serde::{Deserialize, Serialize};

/// A way from stored values to 8-bit RGB.
///
/// The two public programs of MedGemma's makers contradict each other in the green channel of CT: the notebook
/// (Google-Health/medgemma, `notebooks/high_dimensional_ct_hugging_face.ipynb`, d89262c) shows −135…215 HU there, the server
/// (`python/data_accessors/local_file_handlers/generic_dicom_handler.py`, 04b60ac) a window of centre 175 and width 80,
/// which is 135…215 HU. So there is a recipe for each, and a result says which was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Recipe {
    /// Radiographs, as the server: modality LUT; the window where it is tagged, linear between centre ± half the width; without one
    /// the whole range of the picture, unless it has 8 bits; MONOCHROME1 inverted last. VOI LUTs and their functions are not used.
    Cxr,
    /// CT, as the notebook: sorted by `InstanceNumber`, at most 85 slices, HU; red −1024…1024, green −135…215, blue 0…80.
    CtNotebook,
    /// CT, as the server: HU rounded; red −1024…1024, green **135…215**, blue 0…80; all slices.
    CtServer,
    /// MR, as the server: least to greatest stored value of the whole acquisition. At most 85 slices, as for CT.
    Mr,
    /// As a viewer shows it: modality LUT, VOI LUT or window of the file (PS3.3 C.11.2), else the full range; colours as they are.
    Plain,
}

impl Recipe {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cxr, Self::CtNotebook, Self::CtServer, Self::Mr, Self::Plain];

    /// What is chosen where no recipe is given, by Modality (0008,0060).
    pub fn for_modality(modality: &str) -> Self {
        match modality {
            "CR" | "DX" | "RG" => Self::Cxr,
            "CT" => Self::CtNotebook,
            "MR" => Self::Mr,
            _ => Self::Plain,
        }
    }

    /// The name in records and options, `ct-notebook` for instance.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cxr => "cxr",
            Self::CtNotebook => "ct-notebook",
            Self::CtServer => "ct-server",
            Self::Mr => "mr",
            Self::Plain => "plain",
        }
    }

    /// The recipe of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|recipe| recipe.name() == name)
    }

    /// Windows of red, green and blue in HU, lowest and highest value; of CT recipes alone.
    pub fn channel_windows(self) -> Option<[(f64, f64); 3]> {
        match self {
            Self::CtNotebook => Some([(-1024.0, 1024.0), (-135.0, 215.0), (0.0, 80.0)]),
            Self::CtServer => Some([(-1024.0, 1024.0), (135.0, 215.0), (0.0, 80.0)]),
            _ => None,
        }
    }

    /// The most slices or frames that are shown unless options say otherwise; the server shows all.
    pub fn most_slices(self) -> Option<usize> {
        (self != Self::CtServer).then_some(MOST_SLICES)
    }
}

impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What the notebook shows of a CT series.
pub const MOST_SLICES: usize = 85;

/// Which of `n` sorted slices are shown where at most `most` may be: all, or `round(i / most · (n − 1))` for i = 1…most, halves to
/// even as Python rounds (the notebook's line). The first slice is therefore never shown, and the last always.
pub fn spread(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    (1..=most)
        .map(|i| (i as f64 / most as f64 * (n - 1) as f64).round_ties_even() as usize)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_the_notebook() {
        assert_eq!(spread(85, 85), (0..85).collect::<Vec<_>>());
        assert_eq!(spread(3, 85), [0, 1, 2]);
        let of_171 = spread(171, 85);
        assert_eq!((of_171.len(), of_171[0], of_171[84]), (85, 2, 170));
        // 1/2·(6−1) = 2.5 becomes 2 and not 3.
        assert_eq!(spread(6, 2), [2, 5]);
        assert_eq!(spread(0, 85), [0; 0]);
    }

    #[test]
    fn names_are_those_of_the_records() {
        for recipe in Recipe::ALL {
            let written = serde_json::to_string(&recipe).unwrap();
            assert_eq!(written, format!("\"{recipe}\""));
            assert_eq!(Recipe::named(recipe.name()), Some(recipe));
        }
        assert_eq!(Recipe::named("ct"), None);
    }

    #[test]
    fn the_two_programs_contradict_each_other_in_green() {
        let [notebook, server] =
            [Recipe::CtNotebook, Recipe::CtServer].map(|r| r.channel_windows().unwrap());
        assert_eq!((notebook[0], notebook[2]), (server[0], server[2]));
        assert_eq!((notebook[1], server[1]), ((-135.0, 215.0), (135.0, 215.0)));
    }
}
