//! What is asked of the reader, and how much a file may have.

use std::ops::RangeInclusive;

use crate::Recipe;
use crate::error::Bound;
use crate::setters::setters;

/// How files become pictures. `default()` fits trusted and untrusted files alike.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Options {
    /// The recipe; `None` chooses by the modality.
    pub recipe: Option<Recipe>,
    /// What becomes black and white, for all channels; `None` leaves it to the recipe.
    pub window: Option<Window>,
    /// Which slices or frames are shown.
    pub slices: Slices,
    /// Only this frame of a file with several, from 0.
    pub frame: Option<u32>,
    /// Whether the record may hold UIDs, Patient ID and Accession Number.
    pub keep_identifiers: bool,
    /// How much a file may have.
    pub limits: Limits,
}

setters!(Options {
    with_recipe = recipe: Option<Recipe>,
    with_window = window: Option<Window>,
    with_slices = slices: Slices,
    with_frame = frame: Option<u32>,
    with_keep_identifiers = keep_identifiers: bool,
    with_limits = limits: Limits,
});

/// Which values become black and white. Values are those after the modality's rescaling: HU in CT.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Window {
    /// From one value to another.
    Range {
        /// This and less is black.
        low: f64,
        /// This and more is white.
        high: f64,
    },
    /// Centre and width, as LINEAR has them (PS3.3 C.11.2.1.2.1).
    Centre {
        /// The middle.
        centre: f64,
        /// At least 1.
        width: f64,
    },
    /// A usual window of CT.
    Preset(Preset),
    /// One of the windows of the file, from 0.
    OfFile(usize),
}

/// Usual windows of CT in HU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// −1350…150.
    Lung,
    /// −500…1500.
    Bone,
    /// −160…240.
    SoftTissue,
    /// 0…80.
    Brain,
    /// −150…250.
    Mediastinum,
    /// −60…160: centre 50, width 220, rounded.
    Liver,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Lung, Self::Bone, Self::SoftTissue, Self::Brain, Self::Mediastinum, Self::Liver];

    /// The name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lung => "lung",
            Self::Bone => "bone",
            Self::SoftTissue => "soft-tissue",
            Self::Brain => "brain",
            Self::Mediastinum => "mediastinum",
            Self::Liver => "liver",
        }
    }

    /// The preset of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// Lowest and highest value, HU.
    pub fn range(self) -> (f64, f64) {
        match self {
            Self::Lung => (-1350.0, 150.0),
            Self::Bone => (-500.0, 1500.0),
            Self::SoftTissue => (-160.0, 240.0),
            Self::Brain => (0.0, 80.0),
            Self::Mediastinum => (-150.0, 250.0),
            Self::Liver => (-60.0, 160.0),
        }
    }
}

/// Which slices of a series or frames of a file are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Slices {
    /// As the recipe has it: at most 85, spread as the notebook spreads them; all with `ct-server`.
    #[default]
    Recipe,
    /// All of them.
    All,
    /// At most so many, spread in the same way.
    Count(usize),
    /// These places in the sorted series, from 0, in this order.
    List(Vec<RangeInclusive<usize>>),
}

/// How much a file may have; all is checked before anything of that size is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a file; 2 GiB by default.
    pub file_bytes: u64,
    /// Bytes of what is not pixels, in a file; 64 MiB by default.
    pub header_bytes: u64,
    /// Elements of a DICOM file; a million by default.
    pub elements: u64,
    /// Sequences inside each other; 32 by default.
    pub depth: u64,
    /// Pixels of a frame; 67 108 864 (8192 × 8192) by default.
    pub pixels: u64,
    /// Frames of a file; 100 000 by default.
    pub frames: u64,
    /// Bytes of a decoded frame, of an inflated file or of a volume; 1 GiB by default.
    pub decoded_bytes: u64,
    /// Entries of a folder; 20 000 by default.
    pub folder_entries: u64,
    /// Pictures that are made; 4096 by default.
    pub pictures: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 2 << 30,
            header_bytes: 64 << 20,
            elements: 1_000_000,
            depth: 32,
            pixels: 1 << 26,
            frames: 100_000,
            decoded_bytes: 1 << 30,
            folder_entries: 20_000,
            pictures: 4096,
        }
    }
}

setters!(Limits {
    with_file_bytes = file_bytes: u64,
    with_header_bytes = header_bytes: u64,
    with_elements = elements: u64,
    with_depth = depth: u64,
    with_pixels = pixels: u64,
    with_frames = frames: u64,
    with_decoded_bytes = decoded_bytes: u64,
    with_folder_entries = folder_entries: u64,
    with_pictures = pictures: u64,
});

macro_rules! bounds {
    ($($field:ident: $what:literal),+ $(,)?) => {
        #[allow(dead_code, reason = "each format has its own")]
        impl Bound {
            $(
                pub(crate) fn $field(limits: &Limits) -> Self {
                    Self { what: $what, limit: limits.$field, option: stringify!($field) }
                }
            )+
        }
    };
}

bounds! {
    file_bytes: "bytes",
    header_bytes: "bytes beside its pixels",
    elements: "elements",
    depth: "sequences inside each other",
    pixels: "pixels in a frame",
    frames: "frames",
    decoded_bytes: "bytes once decoded",
    folder_entries: "entries",
    pictures: "pictures to be made",
}
