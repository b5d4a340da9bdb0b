//! Where a picture came from and what was done to it: plain types for a record, without anything that names the patient.

use serde::{Deserialize, Serialize};

use crate::{Check, Orientation, Recipe};

/// What stood in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// DICOM (PS3.10), with or without preamble.
    Dicom,
    /// `NIfTI-1`, `.nii` or `.nii.gz`.
    Nifti,
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// TIFF.
    Tiff,
    /// WebP.
    Webp,
    /// BMP.
    Bmp,
    /// No file: the pixels were given.
    Pixels,
}

/// Where a picture came from and what was done to it. Names, identifiers and dates of patients, UIDs and paths have no place here, but
/// for [`Provenance::identifiers`], which is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Provenance {
    /// The format of the file.
    pub format: Format,
    /// The recipe that made 8 bits.
    pub recipe: Recipe,
    /// Why this one, in a sentence.
    pub recipe_because: String,
    /// What became black and white in each channel; none where values were taken as they are.
    #[serde(default)]
    pub window: Vec<ChannelWindow>,
    /// Photometric Interpretation (0028,0004) as in the file.
    #[serde(default)]
    pub photometric: Option<String>,
    /// Whether grey was inverted, because the file says MONOCHROME1 (or its presentation shape is inverse).
    #[serde(default)]
    pub inverted: bool,
    /// Which way the picture lies in the patient; `None` where the file does not say.
    #[serde(default)]
    pub orientation: Option<Orientation>,
    /// View Position (0018,5101): PA, AP, LL …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// Image Laterality (0020,0062) or Laterality (0020,0060): L, R, B, U.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub laterality: Option<String>,
    /// Modality (0008,0060).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// How pixels were stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_syntax: Option<TransferSyntax>,
    /// Bits of a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<Bits>,
    /// Columns and rows as stored.
    pub size: [u32; 2],
    /// Columns and rows after pixels that are no squares were resampled to squares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resampled: Option<[u32; 2]>,
    /// Distance of the stored rows and of the stored columns in millimetres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 2]>,
    /// Which slice of a series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// Which frame of a file with several, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
    /// What the picture's user should look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What was done or left out beside the recipe, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Identifiers of the file, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifiers: Option<Identifiers>,
}

impl Provenance {
    /// A picture of this format and size, of which nothing else is known yet.
    pub fn new(format: Format, size: [u32; 2], recipe: Recipe, because: impl Into<String>) -> Self {
        Self {
            format,
            recipe,
            recipe_because: because.into(),
            window: vec![],
            photometric: None,
            inverted: false,
            orientation: None,
            view: None,
            laterality: None,
            modality: None,
            transfer_syntax: None,
            bits: None,
            size,
            resampled: None,
            spacing_mm: None,
            slice: None,
            frame: None,
            checks: vec![],
            notes: vec![],
            identifiers: None,
        }
    }

    /// A picture of 8-bit RGB, shown as it is.
    pub fn of_rgb(format: Format, size: [u32; 2]) -> Self {
        Self::new(format, size, Recipe::Plain, "a picture of 8 bits is shown as it is")
    }
}

/// Which channel of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// All three.
    Grey,
    /// Red.
    Red,
    /// Green.
    Green,
    /// Blue.
    Blue,
}

/// Who said which values are black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WindowOrigin {
    /// The options, in numbers.
    Given,
    /// The options, by name.
    Preset,
    /// Window Center and Width of the file.
    Tag,
    /// The VOI LUT Sequence of the file.
    Lut,
    /// The recipe.
    Recipe,
    /// Nobody: least to greatest value.
    FullRange,
}

/// How grey rises within a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WindowShape {
    /// A straight line from `low` to `high`.
    #[default]
    Linear,
    /// An S; `low` and `high` are centre ∓ half the width.
    Sigmoid,
    /// A table of the file; `low` and `high` are its first and last entry.
    Table,
}

/// What became black and white.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ChannelWindow {
    /// Of which channel.
    pub channel: Channel,
    /// This and less is black (white where the picture is inverted).
    pub low: f64,
    /// This and more is white.
    pub high: f64,
    /// Of `low` and `high`: `HU`, another Rescale Type, or `stored`.
    pub unit: String,
    /// How grey rises between them.
    #[serde(default)]
    pub shape: WindowShape,
    /// Who said so.
    pub origin: WindowOrigin,
}

impl ChannelWindow {
    /// A linear window of all channels.
    pub fn grey(low: f64, high: f64, unit: &str, origin: WindowOrigin) -> Self {
        Self {
            channel: Channel::Grey,
            low,
            high,
            unit: unit.into(),
            shape: WindowShape::Linear,
            origin,
        }
    }
}

/// How pixels were stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TransferSyntax {
    /// Its UID (PS3.6 Annex A), the same for all files of its kind.
    pub uid: String,
    /// Its name.
    pub name: String,
}

/// Bits of a sample (PS3.3 C.7.6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bits {
    /// Bits Allocated.
    pub allocated: u16,
    /// Bits Stored.
    pub stored: u16,
    /// Whether values may be negative.
    pub signed: bool,
}

/// Which slice of a series or volume.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Slice {
    /// The number that the model is told, from 1: its place among the slices that are shown.
    pub number: u32,
    /// Its place in the sorted series, from 0.
    pub index: u32,
    /// Slices of the series.
    pub of: u32,
    /// Where it lies along the normal of the slices, in millimetres, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_mm: Option<f64>,
    /// Its thickness in millimetres, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thickness_mm: Option<f64>,
}

impl Slice {
    /// The text that the notebook puts behind the slice.
    pub fn label(&self) -> String {
        format!("SLICE {}", self.number)
    }
}

/// Identifiers of a file. They may name a patient: only where asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Identifiers {
    /// Study Instance UID (0020,000D).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study_instance_uid: Option<String>,
    /// Series Instance UID (0020,000E).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series_instance_uid: Option<String>,
    /// SOP Instance UID (0008,0018).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sop_instance_uid: Option<String>,
    /// Patient ID (0010,0020).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<String>,
    /// Accession Number (0008,0050).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accession_number: Option<String>,
}
