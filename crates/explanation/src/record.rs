//! `explanation.json`: what was asked, answered and explained, and with what. The only place where output is serialised.
//!
//! All types are plain data with public fields; new fields come with a default, so that records of before are still read.

use medical_pictures::Provenance;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{CertificateSettings, TokenKind};

pub(crate) use build::rounded;
pub use reliance::{
    BlankRecord, ControlRecord, FlagRecord, GainRecord, RelianceRecord, RelianceSettings,
};
pub use settings::{
    AdapterRecord, GenerationRecord, ModelRecord, OtherModelRecord, SamplingRecord, Settings,
    TemplateTokens, Timings, WeightFile,
};
pub use sinks::{SinkRecord, SinksRecord};
pub use target::{
    AgreementRecord, ByHeadRecord, ByLayerRecord, CounterpartRecord, FoilRecord,
    LocalizationRecord, MethodRecord, RegionScoreRecord, TargetRecord,
};
pub use versus::{PhraseRecord, VersusRecord};

mod build;
mod reliance;
mod settings;
mod sinks;
mod target;
mod versus;

/// The name of the record's schema.
pub const SCHEMA: &str = "medgemma-explainer/explanation";
/// Its version; it grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// `explanation.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Record {
    /// The name of the schema, `medgemma-explainer/explanation`.
    pub schema: String,
    /// The version of the schema; it grows when a field changes its meaning or goes.
    pub version: u32,
    /// The texts of the last turn of the question, joined by spaces.
    pub prompt: String,
    /// The system prompt; null where there is none.
    pub system: Option<String>,
    /// The whole prompt as the chat template rendered it.
    pub rendered_prompt: String,
    /// The answer, without the thinking trace.
    pub answer: String,
    /// The thinking trace, empty where there is none.
    pub trace: String,
    /// Why the answer ended, for people.
    pub stop: String,
    /// The S tokens of prompt and answer, in order.
    pub tokens: Vec<TokenRecord>,
    /// The pictures of the question.
    pub pictures: Vec<PictureRecord>,
    /// What the model saw of them: pictures and their crops, in the order of the prompt.
    pub images: Vec<ImageRecord>,
    /// What was asked for and explained, in the order asked.
    pub targets: Vec<TargetRecord>,
    /// What was asked and is not in the answer; records of earlier versions do not say.
    #[serde(default)]
    pub missing: Vec<MissingRecord>,
    /// The words of the answer that were explained for the report, in reading order; those among the targets are not repeated.
    pub words: Vec<TargetRecord>,
    /// Phrases of the answer against others in their place; a record of before there were any has none.
    #[serde(default)]
    pub versus: Vec<VersusRecord>,
    /// The parts of the pictures that relevancy was counted in; null where none were asked for.
    pub regions: Option<RegionsRecord>,
    /// The boxes that the model wrote in its answer.
    pub boxes: Vec<BoxRecord>,
    /// With what the pictures were compared; null where nobody asked.
    #[serde(default)]
    pub reliance: Option<RelianceSettings>,
    /// How the maps were certified; null where nobody asked.
    #[serde(default)]
    pub certificate: Option<CertificateSettings>,
    /// The model that the targets were explained with as well; null where nobody asked.
    #[serde(default)]
    pub other_model: Option<OtherModelRecord>,
    /// The attention sinks of the run; null where nobody asked.
    #[serde(default)]
    pub sinks: Option<SinksRecord>,
    /// Null for an answer that was given and not generated.
    pub generation: Option<GenerationRecord>,
    /// With what the answer was explained, and how that is shown.
    pub settings: Settings,
    /// The checkpoint.
    pub model: ModelRecord,
    /// How long each step took.
    pub timings: Timings,
    /// The most memory that the process had in use at a time, mapped weights included; null where that is not known.
    pub peak_rss_bytes: Option<u64>,
    /// What a reader must know, for people.
    pub notes: Vec<String>,
    /// The files beside the record.
    pub files: Files,
    /// The program and its version.
    pub program: String,
    /// As the caller gave it; null where none was given.
    pub date: Option<String>,
}

/// A token of prompt or answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TokenRecord {
    /// Its position in the sequence, from 0.
    pub position: usize,
    /// Its id in the vocabulary.
    pub id: u32,
    /// Its text for people.
    pub text: String,
    /// What it is.
    pub kind: TokenKind,
    /// First character in `answer` and the one behind the last; null outside the answer.
    pub characters: Option<[usize; 2]>,
}

/// A picture of the question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PictureRecord {
    /// Its name; with its path only where that was asked for.
    pub name: String,
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// The upright picture as the model's processor got it, in the folder of the record.
    pub file: String,
    /// Of its pixels: red, green and blue of every pixel, row by row.
    pub pixels_sha256: String,
    /// The EXIF orientation that was undone, 1 to 8; 1 is upright.
    pub exif_orientation: u8,
    /// Grey values of a 16-bit picture that became black and white.
    pub window: Option<[u16; 2]>,
    /// What happened to it that its user should know, for people.
    pub warnings: Vec<String>,
    /// Where it came from and what was done to it: format, recipe, windows, orientation, checks; null in records of older versions.
    #[serde(default)]
    pub source: Option<Provenance>,
    /// The letters at its left, right, upper and lower side, where its file says them and no orientation was asked for; null otherwise:
    /// `settings.orientation` holds.
    #[serde(default)]
    pub sides: Option<[char; 4]>,
    /// What is drawn in outline over it: boxes of the answer, regions of a file.
    #[serde(default)]
    pub outlines: Vec<OutlineRecord>,
}

/// Something drawn in outline over a picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OutlineRecord {
    /// What stands beside it; empty where nothing does.
    pub label: String,
    /// Closed lines in pixels of the picture: x and y of each point in turn.
    pub rings: Vec<Vec<f64>>,
}

/// What the model saw as one image: a picture or a crop of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ImageRecord {
    /// Index in `pictures`.
    pub picture: usize,
    /// First position of its tokens and the one behind the last.
    pub positions: [usize; 2],
    /// Rows and columns of its cells; each is one token, row by row.
    pub grid: [usize; 2],
    /// Rows and columns of its patches; null where their relevancy is not in the arrays.
    pub patches: Option<[usize; 2]>,
    /// Rows and columns of the pixels that the model saw; null where their gradient × input is not in the arrays.
    #[serde(default)]
    pub pixels: Option<[usize; 2]>,
    /// The part of the picture that the grid shows, in pixels: x, y, width, height.
    pub region: [f64; 4],
}

/// Something that was asked and that the answer does not have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct MissingRecord {
    /// What was asked.
    pub asked: String,
    /// Why there is nothing to explain.
    pub reason: String,
}

/// The parts of the pictures that relevancy was counted in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct RegionsRecord {
    /// As asked: a name, or the path of a file.
    pub spec: String,
    /// Whose sides left and right are.
    pub note: Option<String>,
    /// Their names, in the order of the arrays.
    pub names: Vec<String>,
}

/// A box that the model wrote in its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct BoxRecord {
    /// What the model calls it; empty where it gave no name.
    pub label: String,
    /// y0, x0, y1, x1 in thousandths of what the model saw, as it wrote them.
    pub box_2d: [f64; 4],
    /// The same in pixels of the picture: x0, y0, x1, y1.
    pub pixels: [f64; 4],
}

/// The files beside a record, in its folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Files {
    /// The arrays; empty where none were written.
    pub arrays: String,
    /// Overlays, target by target and image by image.
    pub overlays: Vec<String>,
    /// Overlays of patches and of pixels.
    pub finer: Vec<String>,
    /// Charts of regions, differences to the mean picture and the figures that were asked for.
    pub figures: Vec<String>,
    /// The page; null where there is none.
    pub report: Option<String>,
    /// Every file that was written beside the record. A later run replaces and removes these and no others, and only while they are
    /// what was written. Empty in a record of before this was kept.
    #[serde(default)]
    pub written: Vec<WrittenFile>,
    /// The SHA-256 of `explanation.json` with 64 zeros in the place of this.
    #[serde(default)]
    pub record_sha256: String,
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WrittenFile {
    /// In the folder of the record.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Record {
    /// The names of the files that lie beside the record.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        let Files { arrays, overlays, finer, figures, report, .. } = &self.files;
        let pictures = self.pictures.iter().map(|picture| &picture.file);
        let drawn = overlays.iter().chain(finer).chain(figures).chain(report);
        drawn.chain(pictures).chain([arrays]).map(String::as_str)
    }

    /// As JSON for people and programs.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail: all keys are strings")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a record has string keys only")
    }

    /// The JSON Schema of the record, made from these types: `docs/schema/explanation-1.json` of the repository. A record is read if it
    /// keeps it; fields with a default may be missing.
    #[cfg(any(test, feature = "schema"))]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

/// An answer that was not explained, as JSON has it: fields as in [`Record`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct AnswerRecord {
    /// The texts of the last turn of the question.
    pub prompt: String,
    /// The system prompt; null where there is none.
    pub system: Option<String>,
    /// The whole prompt as the chat template rendered it.
    pub rendered_prompt: String,
    /// The answer, without the thinking trace.
    pub answer: String,
    /// The thinking trace, empty where there is none.
    pub trace: String,
    /// Why the answer ended, for people.
    pub stop: String,
    /// The tokens of prompt and answer.
    pub tokens: Vec<TokenRecord>,
}

impl AnswerRecord {
    /// As JSON for people and programs.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail: all keys are strings")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a record has string keys only")
    }
}

/// The SHA-256 of some bytes in hexadecimal, as records hold it.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
