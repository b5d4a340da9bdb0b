//! Colour maps: 256 colours each, from low to high.
//!
//! `viridis`, `inferno` and `magma` are by Nathaniel J. Smith and Stéfan van der Walt (viridis with Eric Firing), released
//! under CC0 1.0; `cividis` is by Jamie Nuñez, Christopher Anderton and Ryan Renslow (2018), as matplotlib has it; `coolwarm` is Kenneth Moreland's, in the public domain; `tables/generate.py` writes their tables. `jet` is computed from
//! its published segments.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// One colour, red, green and blue in sRGB.
pub type Rgb8 = [u8; 3];

/// A colour map: sequential, from zero to the end of the scale, or diverging, from the negative end over zero to the
/// positive one.
///
/// ```
/// use relevancy_visualization::Colormap;
///
/// let map: Colormap = "viridis".parse()?;
/// assert_eq!(map.table()[0], [0x44, 0x01, 0x54]);
/// # Ok::<(), relevancy_visualization::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Colormap {
    /// Blue, green, yellow; perceptually uniform.
    Viridis,
    /// Black, purple, orange, pale yellow; perceptually uniform. The default: its hues stand off from grey, and its lightness
    /// rises with the value.
    #[default]
    Inferno,
    /// Black, purple, pink, near white; perceptually uniform.
    Magma,
    /// Dark blue, grey, yellow; perceptually uniform, and nearly the same to readers with red-green colour blindness.
    Cividis,
    /// Blue, cyan, yellow, red. Not perceptually uniform: it draws edges where the map has none. For comparison with older
    /// figures.
    Jet,
    /// Blue, light grey, red, with zero in the middle: the one for signed maps (differences, gradients).
    Coolwarm,
}

impl Colormap {
    /// Every colour map.
    pub const ALL: [Self; 6] =
        [Self::Viridis, Self::Inferno, Self::Magma, Self::Cividis, Self::Jet, Self::Coolwarm];

    /// The name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viridis => "viridis",
            Self::Inferno => "inferno",
            Self::Magma => "magma",
            Self::Cividis => "cividis",
            Self::Jet => "jet",
            Self::Coolwarm => "coolwarm",
        }
    }

    /// Whether zero has the middle colour, so that negative values can be shown.
    pub fn is_diverging(self) -> bool {
        self == Self::Coolwarm
    }

    /// The 256 colours, from the low to the high end of the scale. A sequential scale begins at zero; a diverging one has zero
    /// between the colours 127 and 128.
    pub fn table(self) -> &'static [Rgb8; 256] {
        match self {
            Self::Viridis => &VIRIDIS,
            Self::Inferno => &INFERNO,
            Self::Magma => &MAGMA,
            Self::Cividis => &CIVIDIS,
            Self::Jet => &JET,
            Self::Coolwarm => &COOLWARM,
        }
    }
}

impl Colormap {
    /// The colour at a part of the scale: within 0 and 1, or −1 and 1 for a diverging one.
    pub(crate) fn at(self, position: f32) -> Rgb8 {
        let position = if self.is_diverging() { 0.5 + 0.5 * position } else { position.abs() };
        self.table()[(position * 255.0).round().clamp(0.0, 255.0) as usize]
    }
}

/// `over` laid on `ground` with this opacity.
pub(crate) fn mix(ground: Rgb8, over: Rgb8, alpha: f32) -> Rgb8 {
    let channel = |g: u8, o: u8| f32::from(g) + (f32::from(o) - f32::from(g)) * alpha;
    std::array::from_fn(|c| channel(ground[c], over[c]).round() as u8)
}

/// Near black or white: the one with more contrast on a ground, by relative luminance (WCAG 2).
pub(crate) fn readable_on(ground: Rgb8) -> Rgb8 {
    let linear = |c: u8| {
        let c = f64::from(c) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let [r, g, b] = ground.map(linear);
    // Equal contrast with black and white is at 0.179.
    if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 { [0x11; 3] } else { [0xff; 3] }
}

impl fmt::Display for Colormap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Colormap {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        crate::error::by_name("colour map", name, &Self::ALL, Self::name)
    }
}

static VIRIDIS: [Rgb8; 256] = from_hex(include_bytes!("tables/viridis.hex"));
static INFERNO: [Rgb8; 256] = from_hex(include_bytes!("tables/inferno.hex"));
static MAGMA: [Rgb8; 256] = from_hex(include_bytes!("tables/magma.hex"));
static CIVIDIS: [Rgb8; 256] = from_hex(include_bytes!("tables/cividis.hex"));
static COOLWARM: [Rgb8; 256] = from_hex(include_bytes!("tables/coolwarm.hex"));
static JET: [Rgb8; 256] = jet();

/// Reads 256 codes `rrggbb`, each followed by one space or line end. A bad table fails to compile.
const fn from_hex(text: &[u8]) -> [Rgb8; 256] {
    assert!(text.len() == 256 * 7, "a table holds 256 codes of six digits and one separator");
    let mut table = [[0; 3]; 256];
    let mut i = 0;
    while i < 256 * 3 {
        let at = i / 3 * 7 + i % 3 * 2;
        table[i / 3][i % 3] = digit(text[at]) * 16 + digit(text[at + 1]);
        i += 1;
    }
    table
}

const fn digit(c: u8) -> u8 {
    match c {
        b'0'..=b'9' => c - b'0',
        b'a'..=b'f' => c - b'a' + 10,
        _ => panic!("a code has hexadecimal digits"),
    }
}

/// Knots (position, value) of the three channels, as matplotlib states them (`_cm.py`, `_jet_data`).
const JET_KNOTS: [&[(f64, f64)]; 3] = [
    &[(0.0, 0.0), (0.35, 0.0), (0.66, 1.0), (0.89, 1.0), (1.0, 0.5)],
    &[(0.0, 0.0), (0.125, 0.0), (0.375, 1.0), (0.64, 1.0), (0.91, 0.0), (1.0, 0.0)],
    &[(0.0, 0.5), (0.11, 1.0), (0.34, 1.0), (0.65, 0.0), (1.0, 0.0)],
];

const fn jet() -> [Rgb8; 256] {
    let mut table = [[0; 3]; 256];
    let mut i = 0;
    while i < 256 * 3 {
        let value = piecewise(JET_KNOTS[i % 3], (i / 3) as f64 / 255.0);
        table[i / 3][i % 3] = (value * 255.0 + 0.5) as u8;
        i += 1;
    }
    table
}

const fn piecewise(knots: &[(f64, f64)], x: f64) -> f64 {
    let mut k = 1;
    while k + 1 < knots.len() && x > knots[k].0 {
        k += 1;
    }
    let ((x0, y0), (x1, y1)) = (knots[k - 1], knots[k]);
    y0 + (y1 - y0) * (x - x0) / (x1 - x0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes at 0, 64, 128, 192 and 255 as matplotlib 3.11 gives them, rounded. Jet is computed, and halves may round either
    /// way; the tables must be equal.
    #[test]
    fn tables_hold_the_published_colours() {
        let anchors = [
            (Colormap::Viridis, [0x44_0154_u32, 0x3b_528b, 0x21_918c, 0x5e_c962, 0xfd_e725]),
            (Colormap::Inferno, [0x00_0004, 0x57_106e, 0xbc_3754, 0xf9_8e09, 0xfc_ffa4]),
            (Colormap::Magma, [0x00_0004, 0x51_127c, 0xb7_3779, 0xfc_8961, 0xfc_fdbf]),
            (Colormap::Cividis, [0x00_224e, 0x43_4e6c, 0x7d_7c78, 0xbc_ae6c, 0xfe_e838]),
            (Colormap::Jet, [0x00_0080, 0x00_80ff, 0x7d_ff7a, 0xff_9400, 0x80_0000]),
            (Colormap::Coolwarm, [0x3b_4cc0, 0x8d_b0fe, 0xdd_dcdc, 0xf4_987a, 0xb4_0426]),
        ];
        for (map, codes) in anchors {
            for (index, code) in [0, 64, 128, 192, 255].into_iter().zip(codes) {
                let expected: [u8; 3] = std::array::from_fn(|c| (code >> (16 - 8 * c)) as u8);
                let tolerance = u8::from(map == Colormap::Jet);
                let found = map.table()[index];
                let near = found.iter().zip(expected).all(|(f, e)| f.abs_diff(e) <= tolerance);
                assert!(near, "{map} at {index}: {found:?}, not {expected:?}");
            }
        }
    }

    #[test]
    fn uniform_maps_grow_lighter_with_the_value() {
        for map in [Colormap::Viridis, Colormap::Inferno, Colormap::Magma, Colormap::Cividis] {
            let lightness = map.table().map(|[r, g, b]| {
                0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
            });
            assert!(lightness.windows(2).all(|w| w[1] > w[0] - 0.8), "{map}");
        }
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for map in Colormap::ALL {
            assert_eq!(map.name().to_uppercase().parse::<Colormap>().unwrap(), map);
        }
        let error = "rainbow".parse::<Colormap>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown colour map \"rainbow\": expected one of viridis, inferno, magma, cividis, jet, coolwarm"
        );
    }
}
